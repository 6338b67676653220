from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import AwareDatetime, Field

from backyard.console.forms.form import InputForm, input_of
from backyard.console.forms.options import OptionsForm
from backyard.console.forms.patterns import browser_pattern
from backyard.console.forms.texts import moment_texts, moment_value
from backyard.console.forms.words import rows_of
from backyard.core.definition import define
from backyard.core.errors import InvalidInputError
from support.every_kind import Everything
from support.forms import SentForm

Shown = Callable[[Any], SentForm]


def run(  # noqa: PLR0913, PLR0917 - a form has so many fields
    count: Annotated[int, Field(ge=1, le=300, description="How many.", examples=[5])],
    above: Annotated[int, Field(gt=1, lt=9, multiple_of=2)] = 4,
    share: Annotated[float, Field(ge=0, lt=1)] = 0.5,
    price: Annotated[decimal.Decimal, Field(gt=0)] = decimal.Decimal("9.90"),
    name: Annotated[str, Field(min_length=2, max_length=9, pattern=r"^\w+$")] = "ab",
    free: str = "",
    prose: Annotated[str, Field(max_length=10_000)] = "",
    mail: Annotated[str, Field(json_schema_extra={"format": "email"})] = "a@b.example",
    day: dt.date | None = None,
    at: dt.time = dt.time(12),
    when: AwareDatetime = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC),
    kind: Literal["a", "b"] = "a",
) -> None:
    """Take what has bounds."""


RUN = define(run, None, None)


@pytest.fixture
def page(shown: Shown) -> SentForm:
    return shown(InputForm.of(RUN))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("count", {"type": "number", "min": "1", "max": "300", "step": "1", "required": ""}),
        ("above", {"type": "number", "min": "2", "max": "8", "step": "2"}),
        ("share", {"type": "number", "min": "0", "step": "any"}),
        ("price", {"type": "number", "step": "any", "value": "9.90"}),
        ("name", {"type": "text", "minlength": "2", "maxlength": "9"}),
        ("free", {"tag": "textarea"}),
        ("prose", {"tag": "textarea", "maxlength": "10000"}),
        ("mail", {"type": "email"}),
        ("day", {"type": "date"}),
        ("at", {"type": "time", "step": "1", "value": "12:00:00"}),
        ("when", {"type": "datetime-local", "step": "any", "value": "2026-01-31T12:00:00"}),
        ("when~zone", {"value": "Z"}),
        ("kind", {"tag": "select"}),
    ],
)
def test_what_the_browser_offers_and_checks(page: SentForm, name: str, wanted: dict[str, str]) -> None:
    found = page.attributes[f"input.{name}"]

    assert {key: re.sub(r"\.0$", "", str(found.get(key))) for key in wanted} == wanted
    assert ("required" in found) == ("required" in wanted)


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("", None),
        ("^[A-Z]{3}$", "^[A-Z]{3}$"),
        ("[a-z-]", r"[^]*(?:[a-z\-])[^]*"),
        (r"^[^\x00-\x1f\x7f/\\]+$", r"^[^\x00-\x1f\x7f\/\\]+$"),
        (r"^[A-Za-z0-9!#$&^_.+-]*$", r"^[A-Za-z0-9!#$&^_.+\-]*$"),
        ("^a|b$", "[^]*(?:^a|b$)[^]*"),
        (r"^\d+$", r"^[\p{Nd}]+$"),
        (r"^[\w.]+$", r"^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}.]+$"),
        (r"^[]a]$", r"^[\]a]$"),
        (r"^\@\_$", "^@_$"),
        (r"\bword", None),
        ("(?i)a", None),
        ("(?P<a>b)", None),
        ("[[:alpha:]]", None),
        ("[a&&b]", None),
        ("a++", None),
        ("(", None),
        ("a" * 501, None),
    ],
)
def test_patterns_as_browsers_read_them(pattern: str, wanted: str | None) -> None:
    assert browser_pattern(pattern) == wanted


@pytest.mark.parametrize(
    ("value", "controls"),
    [
        ("2026-01-31T12:00:00Z", ("2026-01-31T12:00:00", "Z")),
        ("2026-01-31T12:00:00.5+02:00", ("2026-01-31T12:00:00.5", "+02:00")),
        ("2026-01-31T12:00", ("2026-01-31T12:00", "")),
        ("2026-01-31T12:00:00.123456Z", ("2026-01-31T12:00:00.123456Z", None)),
        ("tomorrow", ("tomorrow", None)),
    ],
)
def test_a_moment_is_two_controls_where_they_can_hold_it(value: str, controls: tuple[str, str | None]) -> None:
    assert moment_texts(value) == controls
    assert moment_value(*controls) == value


@pytest.mark.parametrize(
    ("zone", "wanted"),
    [
        ("Europe/Berlin", "2026-07-01T12:00+02:00"),
        ("America/New_York", "2026-07-01T12:00-04:00"),
        ("utc", "2026-07-01T12:00Z"),
        ("+0530", "2026-07-01T12:00+0530"),
        ("Europe", "2026-07-01T12:00 Europe"),
        ("../../etc/passwd", "2026-07-01T12:00 ../../etc/passwd"),
        ("Nowhere/Land", "2026-07-01T12:00 Nowhere/Land"),
    ],
)
def test_zones_by_name_become_their_offset_at_that_time(zone: str, wanted: str) -> None:
    assert moment_value("2026-07-01T12:00", zone) == wanted


def test_the_table_of_fields_has_those_of_models_within() -> None:
    def everything(everything: Everything) -> None:
        """Take everything."""

    rows = {(row.level, row.name): row for row in rows_of(input_of(define(everything, None, None)))}

    assert rows[0, "everything"].required
    assert rows[1, "whole"].kind == "whole number"
    assert rows[1, "code"].bounds == "like ^[A-Z]{3}$"
    assert rows[1, "code"].default == '"EUR"'
    assert rows[1, "numbers"].kind == "set of whole number"
    assert rows[1, "payment"].kind == "Card or Transfer"
    assert rows[2, "iban"].bounds == "5 to 34 characters"
    assert rows[2, "children"].kind == "list of Node"
    assert (3, "children") not in rows


# -- the options of a submit ----------------------------------------------------------------------------------------


def options_sent(shown: Shown, **values: str) -> OptionsForm:
    page = shown(OptionsForm())
    for name, value in values.items():
        page.set(f"options.{name.replace('__', '~')}", value)
    return OptionsForm(page.data())


def test_nothing_chosen_is_nothing_said(extra: Shown) -> None:
    sent = options_sent(extra)

    assert not sent.used
    assert sent.options() == type(sent.options())()


def test_options_are_read(extra: Shown) -> None:
    page = extra(OptionsForm())
    added = OptionsForm(page.data(("options~do", "add:options.tags")))
    assert added.redraw
    page = extra(added)
    page.set("options.tags.0", "vip")
    page.set("options.at", "2031-01-31T12:00")
    page.set("options.at~zone", "Europe/Berlin")
    page.set("options.priority", '"high"')
    page.set("options.idempotency_key", "once")

    chosen = OptionsForm(page.data()).options()

    assert (chosen.tags, chosen.priority, chosen.idempotency_key) == (("vip",), "high", "once")
    assert chosen.at == dt.datetime(2031, 1, 31, 11, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"delay": "-1"}, "options.delay"),
        ({"delay": "soon"}, "options.delay"),
        ({"expires": "0"}, "options.expires"),
        ({"at": "2031-01-31T12:00", "at__zone": ""}, "options.at"),
        ({"at": "2031-01-31T12:00", "delay": "5"}, "options.at"),
        ({"idempotency_key": "k" * 256}, "options.idempotency_key"),
    ],
)
def test_options_that_cannot_be_stand_at_their_fields(extra: Shown, values: dict[str, str], place: str) -> None:
    sent = options_sent(extra, **values)

    with pytest.raises(InvalidInputError) as caught:
        sent.options()
    sent.refuse(caught.value)

    assert [one.name for one in sent.wrong] == [place]
    assert sent.used

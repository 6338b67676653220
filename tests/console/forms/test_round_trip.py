from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from backyard.console.forms.form import InputForm
from backyard.core.definition import Definition, define
from support.every_kind import Address, Card, Colour, Everything, Node, Number, Open, Point, Sum, Transfer
from support.forms import SentForm

Shown = Callable[[InputForm], SentForm]


def run(everything: Everything) -> None:
    """Take everything."""


DEFINITION = define(run, None, None)

#: A failure says all of its input; making that smaller would take minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
CHECKS = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)
TEXT = st.text(max_size=12) | st.sampled_from(
    ["", "two\nlines", "\nleads", "tab\there", "\x00", "a\rb", "<b>&amp;", " x "]
)
NODES = st.recursive(
    st.builds(Node, name=TEXT, children=st.just([]), beside=st.none()),
    lambda inner: st.builds(Node, name=TEXT, children=st.lists(inner, max_size=2), beside=st.none() | inner),
    max_leaves=4,
)
NUMBERS = st.builds(Number, number=st.integers())
SUMS = st.recursive(
    st.builds(Sum, left=NUMBERS, right=NUMBERS),
    lambda inner: st.builds(Sum, left=inner | NUMBERS, right=inner | NUMBERS),
    max_leaves=3,
)
CARDS = st.builds(Card, kind=st.just("card"), number=st.from_regex(r"\A[0-9]{4}\Z"), holder=st.none() | TEXT)
TRANSFERS = st.builds(Transfer, iban=st.text("ABC123", min_size=5, max_size=34), urgent=st.booleans())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
TIMES = st.datetimes(timezones=st.none() | st.timezones())
EVERYTHING = st.fixed_dictionaries(
    {
        "text": TEXT,
        "short": st.text(max_size=20),
        "maybe_text": st.none() | TEXT,
        "maybe_filled": st.none() | TEXT,
        "code": st.from_regex(r"\A[A-Z]{3}\Z"),
        "flag": st.booleans(),
        "maybe_flag": st.none() | st.booleans(),
        "made_flag": st.booleans(),
        "whole": st.integers(-1_000, 10**30 - 1),
        "maybe_whole": st.none() | st.integers(),
        "made_whole": st.none() | st.integers(),
        "number": st.floats(),
        "exact": st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**20), max_value=10**20),
        "raw": st.binary(max_size=20),
        "day": st.dates(),
        "maybe_day": st.none() | st.dates(),
        "clock": st.times(),
        "moment": TIMES,
        "aware": st.none() | st.datetimes(timezones=st.timezones()),
        "length": st.timedeltas(),
        "key": st.uuids(),
        "url": st.sampled_from([None, "https://example.com/a?b=c", "http://localhost:80/"]),
        "address": st.ip_addresses(v=4),
        "colour": st.sampled_from(Colour),
        "maybe_colour": st.none() | st.sampled_from(Colour),
        "word": st.sampled_from(["one", 2, None]),
        "texts": st.lists(TEXT, max_size=3),
        "numbers": st.sets(st.integers(), max_size=3),
        "maybe_list": st.none() | st.lists(st.integers(), max_size=2),
        "matrix": st.lists(st.lists(st.integers(), min_size=2, max_size=2), max_size=2),
        "pair": st.tuples(st.integers(), TEXT),
        "point": st.builds(Point, st.integers(0, 9), st.floats(0, 1)),
        "place": st.builds(Address, street=TEXT, number=st.integers()),
        "counts": st.dictionaries(TEXT, st.integers(), max_size=3),
        "by_number": st.dictionaries(st.integers(), NODES, max_size=2),
        "free": st.dictionaries(TEXT, JSON, max_size=2),
        "payment": CARDS | TRANSFERS,
        "either": st.none() | CARDS | TRANSFERS,
        "union": st.none() | st.integers() | TEXT | st.lists(st.integers(), max_size=2) | st.booleans(),
        "node": NODES,
        "sum": SUMS,
        "open": st.builds(Open, known=st.integers(), more=JSON),
        "anything": JSON,
        "file": st.none() | st.builds(lambda one: {"id": str(one)}, st.uuids()),
    }
)


NATURAL: dict[str, Any] = {
    "text": "two\nlines",
    "short": "b",
    "maybe_text": "c",
    "flag": True,
    "made_flag": False,
    "whole": 5,
    "maybe_whole": 1,
    "number": 1.5,
    "exact": "1.10",
    "raw": "YWJj",
    "day": "2026-01-01",
    "clock": "12:30",
    "moment": "2026-01-01T12:00",
    "aware": "2026-01-01T12:00Z",
    "length": "PT1H",
    "key": "0d2f7a52-90f5-4c43-8f35-5f4f4c2c6f0b",
    "address": "192.0.2.1",
    "colour": "red",
    "word": None,
    "texts": ["a"],
    "numbers": {1},
    "maybe_list": [1],
    "matrix": [[1, 2]],
    "pair": (1, "x"),
    "point": (1, 2),
    "place": {"street": "s", "number": 1},
    "counts": {"a": 1},
    "payment": {"kind": "transfer", "iban": "ABCDE"},
    "either": {"kind": "card", "number": "1234"},
    "union": [1],
    "by_number": {"1": {"name": "n"}},
    "node": {"name": "n", "children": [{"name": "m", "beside": {"name": "o"}}]},
    "open": {"more": 3},
    "sum": {"left": {"number": 1}, "right": {"left": {"number": 1}, "right": {"number": 2}}},
}


def plain(text: str | bytes) -> Any:
    """Return an input as it is kept; a set has no order."""
    value = json.loads(DEFINITION.encode(DEFINITION.parse(text)))
    value["everything"]["numbers"].sort()
    return value


def sent_back(definition: Definition, shown: Shown, value: Any) -> InputForm:
    form = InputForm.of(definition, value)
    return InputForm.sent(definition, shown(form).data())


@settings(max_examples=20, phases=PHASES, suppress_health_check=CHECKS)
@given(values=EVERYTHING)
def test_whatever_is_shown_comes_back_as_it_was(shown: Shown, values: dict[str, Any]) -> None:
    wanted = DEFINITION.bind((), {"everything": values})
    kept = DEFINITION.encode(wanted)

    form = sent_back(DEFINITION, shown, json.loads(kept))

    assert not form.as_json
    assert plain(form.text()) == plain(kept)


@settings(max_examples=8, phases=PHASES, suppress_health_check=CHECKS)
@given(values=EVERYTHING)
def test_json_and_fields_are_two_views_of_one_input(shown: Shown, values: dict[str, Any]) -> None:
    kept = DEFINITION.encode(DEFINITION.bind((), {"everything": values}))
    fields = InputForm.of(DEFINITION, json.loads(kept))

    text = InputForm.sent(DEFINITION, shown(fields).data(("input~do", "json")))
    assert text.as_json
    assert text.redraw
    assert plain(text.text()) == plain(kept)

    again = InputForm.sent(DEFINITION, shown(text).data(("input~do", "fields")))
    assert not again.as_json
    assert plain(again.text()) == plain(kept)


def test_only_what_may_be_anything_is_asked_for_as_json() -> None:
    form = InputForm.of(DEFINITION, json.loads(DEFINITION.encode(DEFINITION.bind((), {"everything": NATURAL}))))

    areas = [field.name for field in form.root.under() if field.kind == "json"]
    assert areas == ["input.everything.free", "input.everything.anything"]


def test_a_value_that_does_not_fit_is_shown_as_json(shown: Shown) -> None:
    form = sent_back(DEFINITION, shown, {"everything": {"numbers": "three", "place": [1], "whole": "x", "node": None}})

    sent = json.loads(form.text())["everything"]
    assert (sent["numbers"], sent["place"], sent["whole"]) == ("three", [1], "x")


def test_what_is_too_much_or_too_deep_is_shown_as_json(shown: Shown) -> None:
    deep: dict[str, Any] = {"name": "leaf"}
    for _ in range(40):
        deep = {"name": "n", "children": [deep]}

    form = sent_back(DEFINITION, shown, {"everything": {"numbers": list(range(500)), "node": deep}})

    sent = json.loads(form.text())["everything"]
    assert sent["numbers"] == list(range(500))
    node, levels = sent["node"], 0
    while node.get("children"):
        node, levels = node["children"][0], levels + 1
    assert levels == 40


class Empty(BaseModel):
    pass


def nothing() -> None:
    """Take nothing."""


def empty_model(one: Empty) -> None:
    """Take a model without fields."""


@pytest.mark.parametrize(("function", "value"), [(nothing, {}), (empty_model, {"one": {}})])
def test_inputs_without_fields(shown: Shown, function: Callable[..., None], value: dict[str, Any]) -> None:
    definition = define(function, None, None)

    assert json.loads(sent_back(definition, shown, value).text()) == value

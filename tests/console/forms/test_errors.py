from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr, model_validator
from starlette.datastructures import FormData, Headers, UploadFile

from backyard.console.forms.form import InputForm
from backyard.core.definition import Definition, define
from backyard.core.errors import InvalidInputError
from backyard.core.vault import Vault
from backyard.desk.inputs import parse_input
from support.every_kind import Card, Node, Number, Transfer
from support.forms import SentForm

Shown = Callable[[InputForm], SentForm]


class Range(BaseModel):
    low: int = Field(ge=0)
    high: int

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


def run(
    ranges: list[Range],
    counts: dict[int, Range],
    pay: Card | Transfer,
    either: int | Number | list[int],
    node: Node | None = None,
) -> None:
    """Take what can be wrong in many places."""


RUN = define(run, None, None)


def refused(definition: Definition, form: InputForm, *place: str) -> list[tuple[str, str, str]]:
    """Check a form, which must be wrong; returns the summary."""
    with pytest.raises(InvalidInputError) as caught:
        parse_input(definition, form.text(), *place)
    form.refuse(caught.value, *place)
    return [(one.name, one.place, one.message) for one in form.wrong]


VALUE: dict[str, Any] = {
    "ranges": [{"low": 1, "high": 2}, {"low": -1, "high": 2}, {"low": 5, "high": 2}],
    "counts": {"7": {"low": "x", "high": 1}, "q": {"low": 1, "high": 1}},
    "pay": {"kind": "transfer", "iban": "A", "urgent": False},
    "either": [1, "x"],
}


def test_each_error_stands_at_its_field_and_in_the_summary(shown: Shown) -> None:
    form = InputForm.sent(RUN, shown(InputForm.of(RUN, VALUE)).data())

    wrong = refused(RUN, form)

    assert [(name, place) for name, place, _ in wrong] == [
        ("input.ranges.1.low", "Ranges 2 → Low"),
        ("input.ranges.2", "Ranges 3"),
        ("input.counts.0.low", "Counts → 7 → Low"),
        ("input.counts.1", "Counts → q"),
        ("input.pay.1.iban", "Pay → Iban"),
        ("input.either.2.1", "Either 2"),
    ]
    assert wrong[0][2] == "Input should be greater than or equal to 0"
    assert wrong[1][2] == "Value error, low is above high"
    assert wrong[3][2].startswith("Key: ")


def test_a_page_shows_them_and_keeps_what_was_typed(shown: Shown, drawn: Callable[[InputForm], str]) -> None:
    form = InputForm.sent(RUN, shown(InputForm.of(RUN, VALUE)).data())
    refused(RUN, form)

    html = drawn(form)
    page = SentForm(html)

    assert 'href="#input.ranges.1.low"' in html
    assert 'id="input-summary"' in html
    assert page.attributes["input.ranges.1.low"]["aria-invalid"] == "true"
    assert "input.ranges.1.low~wrong" in page.attributes["input.ranges.1.low"]["aria-describedby"]
    assert dict(page.controls)["input.counts.0.low"] == "x"
    assert json.loads(InputForm.sent(RUN, page.data()).text()) == json.loads(form.text())


def test_the_place_of_a_rerun_is_taken_off() -> None:
    form = InputForm.of(RUN, {**VALUE, "ranges": [], "counts": {}, "either": 1})

    assert [name for name, _, _ in refused(RUN, form, "input")] == ["input.pay.1.iban"]


def test_what_is_missing_is_told_at_the_field(shown: Shown) -> None:
    form = InputForm.sent(RUN, shown(InputForm.of(RUN)).data())

    assert ("input.either.0", "Either", "Field required") in refused(RUN, form)


def test_errors_of_json_stand_at_its_area(drawn: Callable[[InputForm], str]) -> None:
    form = InputForm.sent(RUN, FormData([("input~mode", "json"), ("input~text", '{"ranges": [{"low": 1}]}')]))

    wrong = refused(RUN, form)

    assert {name for name, _, _ in wrong} == {"input~text"}
    assert "ranges.0.high" in [place for _, place, _ in wrong]
    assert 'href="#input~text"' in drawn(form)


def secretive(token: SecretStr, more: SecretStr | None = None) -> None:
    """Take secrets."""


def test_a_secret_is_kept_where_its_mask_comes_back(shown: Shown) -> None:
    definition = define(secretive, None, None, Vault(["k" * 40]))
    kept = parse_input(definition, '{"token": "open sesame"}')
    form = InputForm.of(definition, {"token": "**********", "more": None})

    page = shown(form)
    assert page.attributes["input.token"]["type"] == "password"
    text = InputForm.sent(definition, page.data()).text()
    assert definition.parse(definition.restore(text, kept)).token.get_secret_value() == "open sesame"  # type: ignore[attr-defined]

    page.set("input.token", "another")
    text = InputForm.sent(definition, page.data()).text()
    assert definition.parse(definition.restore(text, kept)).token.get_secret_value() == "another"  # type: ignore[attr-defined]


def test_an_example_does_not_fill_in_secrets() -> None:
    definition = define(secretive, None, {"token": "shown to all"}, Vault(["k" * 40]))

    assert json.loads(InputForm.of(definition).text()) == {"more": None}


def uploading(file: Any) -> FormData:
    return FormData([("input.file~file", file), ("input.file", "")])


def test_a_file_is_not_sent_as_text() -> None:
    upload = UploadFile(None, filename="a.csv", headers=Headers())  # type: ignore[arg-type]  # nobody reads it here
    form = InputForm.sent(RUN, FormData([("input.node~is", upload), ("input.pay~is", upload)]))

    assert "pay" not in json.loads(form.text())

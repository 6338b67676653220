from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.datastructures import FormData

from backyard.console.forms.field import MOST_FIELDS, MOST_ROWS
from backyard.console.forms.form import InputForm
from backyard.core.definition import define
from backyard.core.errors import TooLargeError
from support.every_kind import Card, Endless, Node, Number, Sum, Transfer
from support.forms import SentForm

Shown = Callable[[InputForm], SentForm]


def run(  # noqa: PLR0917 - a form has so many fields
    node: Node,
    total: Sum,
    names: list[str],
    counts: dict[str, int],
    pay: Card | Transfer | None = None,
    either: int | Number | str = 3,
    yes: bool = True,  # noqa: FBT001, FBT002 - a task takes it by name
) -> None:
    """Take what has rows and variants."""


RUN = define(run, None, None)


class Person:
    """Who fills in the form without scripts: each button draws it anew."""

    def __init__(self, shown: Shown, definition: Any = RUN) -> None:
        self._shown = shown
        self._definition = definition
        self.form = InputForm.of(definition)
        self.page = shown(self.form)

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            self.page.set(f"input.{name.replace('__', '.')}", value)

    def choose(self, name: str, label: str) -> None:
        """Choose by label, and press the button beside it."""
        options = self.page.options[f"input.{name}~is"]
        self.page.set(f"input.{name}~is", next(value for value, known in options if known == label))
        self.press("draw")

    def press(self, value: str) -> None:
        assert ("input~do", value) in [(name, known) for name, known, _ in self.page.buttons]
        self.form = InputForm.sent(self._definition, self.page.data(("input~do", value)))
        assert self.form.redraw
        self.page = self._shown(self.form)

    def send(self) -> Any:
        form = InputForm.sent(self._definition, self.page.data())
        assert not form.redraw
        return json.loads(form.text())


@pytest.fixture
def person(shown: Shown) -> Person:
    return Person(shown)


def test_rows_come_and_go_and_keep_what_was_typed(person: Person) -> None:
    for _ in range(3):
        person.press("add:input.names")
    person.fill(names__0="a", names__1="b", names__2="c")
    person.press("remove:input.names.1")
    assert person.form.changed == "input.names"
    person.press("add:input.names")
    assert person.form.changed == "input.names.3"
    person.fill(names__3="d")
    person.page.check("input.yes", on=False)

    sent = person.send()
    assert sent["names"] == ["a", "c", "d"]
    assert sent["yes"] is False


def test_rows_of_a_mapping_have_keys(person: Person) -> None:
    person.press("add:input.counts")
    person.press("add:input.counts")
    person.page.set("input.counts.0~key", "b")
    person.page.set("input.counts.1~key", "a")
    person.fill(counts__0="2", counts__1="1")

    assert list(person.send()["counts"].items()) == [("b", 2), ("a", 1)]


def test_a_variant_is_chosen_and_gets_its_fields(person: Person) -> None:
    person.choose("pay", "Transfer")
    person.page.set("input.pay.1.iban", "ABCDE")
    person.page.check("input.pay.1.urgent", on=False)
    assert person.send()["pay"] == {"kind": "transfer", "iban": "ABCDE", "urgent": False}

    person.choose("pay", "Card")
    person.page.set("input.pay.0.number", "1234")
    assert person.send()["pay"] == {"kind": "card", "number": "1234", "holder": None}

    person.choose("pay", "None")
    assert person.send()["pay"] is None


def test_a_variant_of_numbers_and_texts(person: Person) -> None:
    assert person.send()["either"] == 3
    person.choose("either", "Text")
    person.page.set("input.either.2", "3")
    assert person.send()["either"] == "3"


def test_models_within_models_come_as_deep_as_they_are_asked_for(person: Person) -> None:
    person.press("add:input.node.children")
    person.press("add:input.node.children.0.children")
    person.page.set("input.node.children.0.children.0.name", "deep")
    person.choose("node.beside", "A value")
    person.page.set("input.node.beside.name", "beside")
    person.choose("total.left", "Sum")
    person.choose("total.left.0.left", "Number")
    person.page.set("input.total.left.0.left.1.number", "1")

    sent = person.send()
    assert sent["node"]["children"][0]["children"][0]["name"] == "deep"
    assert sent["node"]["beside"]["name"] == "beside"
    assert sent["total"] == {"left": {"left": {"number": 1}}}


def test_chosen_without_a_new_page_its_defaults_are_taken(person: Person) -> None:
    """Whoever chooses a variant and sends at once has not seen its fields, which then are as they begin."""
    options = person.page.options["input.pay~is"]
    person.page.set("input.pay~is", next(value for value, label in options if label == "Transfer"))

    assert person.send()["pay"] == {"kind": "transfer", "iban": "", "urgent": True}


def test_a_list_has_no_more_rows_than_it_may(shown: Shown) -> None:
    person = Person(shown)
    names = FormData([("input.names~rows", " ".join(str(number) for number in range(MOST_ROWS)))])
    form = InputForm.sent(RUN, names)
    assert ("input~do", "add:input.names") not in [(name, value) for name, value, _ in shown(form).buttons]

    more = FormData([*names.multi_items(), ("input~do", "add:input.names")])
    added = InputForm.sent(RUN, more)
    assert len(json.loads(added.text())["names"]) == MOST_ROWS
    assert ("input~do", "add:input.names") in [(name, value) for name, value, _ in person.page.buttons]


@pytest.mark.parametrize(
    "rows",
    [" ".join(str(number) for number in range(MOST_ROWS + 1)), "1000000000", "-1", "1,2", "0  1", "a", "٣", "0 " * 9],
)
def test_rows_that_no_page_has_are_refused(rows: str) -> None:
    with pytest.raises(TooLargeError):
        InputForm.sent(RUN, FormData([("input.names~rows", rows)]))


def test_more_fields_than_a_form_has_are_refused() -> None:
    rows = " ".join(str(number) for number in range(MOST_ROWS))
    wide = [(f"input.node{'.children.0' * depth}.children~rows", rows) for depth in range(8)]
    wide += [(f"input.node.children.{number}.children~rows", rows) for number in range(MOST_FIELDS // MOST_ROWS + 1)]
    with pytest.raises(TooLargeError, match="fields"):
        InputForm.sent(RUN, FormData([*wide]))


def endless(one: Endless) -> None:
    """Take what nobody can give."""


def test_a_model_that_needs_itself_is_asked_for_as_json() -> None:
    form = InputForm.of(define(endless, None, None))

    assert [field.name for field in form.root.under()] == ["input", "input.one", "input.one.next"]
    assert form.root.children[0].children[0].as_json


def test_the_depth_of_what_is_sent_is_bounded() -> None:
    deep = [(f"input.node{'.children.0' * depth}.children~rows", "0") for depth in range(500)]

    form = InputForm.sent(RUN, FormData([*deep]))

    assert len(list(form.root.under())) < 200


@pytest.mark.parametrize("name", ["input.unknown", "input", "input.node.name.more", "run", "input~x", "input.pay~is"])
def test_what_the_form_has_not_is_not_looked_at(shown: Shown, name: str) -> None:
    page = shown(InputForm.of(RUN))
    before = json.loads(InputForm.sent(RUN, page.data()).text())

    assert json.loads(InputForm.sent(RUN, FormData([(name, "99"), *page.data().multi_items()])).text()) == before
    assert json.loads(InputForm.sent(RUN, FormData([*page.data().multi_items(), (name + "x", "99")])).text()) == before


def test_nothing_that_was_sent_breaks_the_form(shown: Shown) -> None:
    form = InputForm.sent(RUN, FormData([]))
    shown(form)
    assert json.loads(form.text())["names"] == []

    for value in ("add:", "remove:", "add:input.nowhere", "remove:input", "x" * 10_000, "json", "fields"):
        form = InputForm.sent(RUN, FormData([("input~do", value)]))
        assert form.redraw
        shown(form)


def test_json_that_cannot_be_read_stays_as_it_was_typed(shown: Shown) -> None:
    form = InputForm.sent(RUN, FormData([("input~mode", "json"), ("input~text", '{"a": [1,}'), ("input~do", "fields")]))

    assert form.as_json
    assert "column" in form.wrong[0].message
    assert dict(shown(form).controls)["input~text"] == '{"a": [1,}'


def test_fields_that_cannot_be_written_stay_fields(shown: Shown) -> None:
    page = shown(InputForm.of(RUN))
    page = shown(InputForm.sent(RUN, page.data(("input~do", "add:input.counts"))))
    page = shown(InputForm.sent(RUN, page.data(("input~do", "add:input.counts"))))
    for number in (0, 1):
        page.set(f"input.counts.{number}~key", "twice")

    form = InputForm.sent(RUN, page.data(("input~do", "json")))

    assert not form.as_json
    assert [one.message for one in form.wrong] == ["Key: The key 'twice' is there twice"]

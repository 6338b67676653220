"""From what a browser sent back to the fields that it filled in."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from starlette.datastructures import FormData, UploadFile

from backyard.console.forms.field import MOST_DEPTH, MOST_FIELDS, MOST_ROWS, Field
from backyard.console.forms.filling import Filler, row_label
from backyard.console.forms.schema import COMPOSITE, MISSING, Kind, Part
from backyard.console.forms.texts import lines_of
from backyard.core.errors import TooLargeError

#: The rows of a list: their numbers, in the order of the page.
_ROWS = re.compile(r"([0-9]{1,6})?( [0-9]{1,6})*")


@dataclass(frozen=True, slots=True)
class Command:
    """What a button within the form asks for: a row more or less, or only to look anew.

    Args:
        verb: ``add``, ``remove`` or ``draw``; empty where no such button was pressed.
        name: The list that gets a row, or the row that goes.
    """

    verb: str = ""
    name: str = ""

    @classmethod
    def read(cls, text: str) -> Command:
        """Read a button's value, such as ``add:input.to``; anything else only draws anew."""
        verb, _, name = text.partition(":")
        return cls(verb, name) if verb in {"add", "remove"} else cls("draw" if text else "")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a reader is."""

    name: str
    label: str
    step: str | int
    depth: int


class Reader:
    """Reads the fields that a schema knows; whatever else was sent is not looked at.

    Args:
        data: What was sent.
        command: The button within the form that was pressed.
    """

    def __init__(self, data: FormData, command: Command) -> None:
        self._data = data
        self._command = command
        self._filler = Filler()
        self._left = MOST_FIELDS
        #: The name of the row that was added, or of the list that a row was taken out of.
        self.changed = ""

    def read(self, part: Part, name: str, label: str) -> Field:
        """Return the filled in field of the whole input.

        Args:
            part: What the schema says of it.
            name: The name that all of its controls begin with.
            label: What people call it.

        Raises:
            TooLargeError: There are more rows or fields than a form may have.
        """
        return self._field(part, _Place(name, label, "", 0))

    def _text(self, name: str) -> str:
        value = self._data.get(name, "")
        return lines_of(value) if isinstance(value, str) else ""

    def _field(self, part: Part, place: _Place) -> Field:
        self._left -= 1
        if self._left < 0:
            raise TooLargeError(
                f"A form can have {MOST_FIELDS:,} fields, and this one has more. Write the input as JSON instead."
            )
        field = Field(part, place.name, place.label, place.step)
        if part.asked and part.kind is not Kind.VARIANTS:
            chosen = self._text(f"{place.name}~is")
            field.presence = chosen if chosen in part.presences else part.presences[-1]
            if field.presence != "value":
                return field
        if f"{place.name}~json" in self._data or part.kind is Kind.JSON or place.depth > MOST_DEPTH:
            field.as_json, field.text = True, self._text(place.name)
        elif part.kind not in COMPOSITE:
            self._read_control(field)
        elif part.kind is Kind.VARIANTS:
            self._read_variants(field, place.depth)
        elif part.asked and self._text(f"{place.name}~was") != "value":
            self._filler.open(field, place.depth)  # it was chosen just now, and its members were not on the page
        elif part.kind is Kind.OBJECT:
            self._read_object(field, place.depth)
        else:
            self._read_rows(field, place.depth)
        return field

    def _read_control(self, field: Field) -> None:
        name = field.name
        field.text = self._text(name)
        if field.kind is Kind.FLAG:
            field.text = "true" if field.text else "false"
        elif field.kind is Kind.MOMENT and f"{name}~zone" in self._data:
            field.zone = self._text(f"{name}~zone")
        chosen = self._data.get(f"{name}~file")
        if isinstance(chosen, UploadFile) and chosen.filename:
            field.upload = chosen
        elif field.text:
            field.file_name = self._text(f"{name}~called")

    def _read_variants(self, field: Field, depth: int) -> None:
        part, chosen = field.part, self._text(f"{field.name}~is")
        if chosen in part.presences[1:]:
            field.presence = chosen
            return
        number = int(chosen) if re.fullmatch(r"[0-9]{1,3}", chosen) else -1
        if not 0 <= number < len(part.branches):
            return
        if self._text(f"{field.name}~was") != chosen:
            self._filler.choose(field, number, MISSING, depth)
            return
        field.branch = number
        place = _Place(field.child(number), field.label, number, depth + 1)
        field.children = [self._field(part.branches[number], place)]

    def _read_object(self, field: Field, depth: int) -> None:
        part = field.part
        field.more = self._text(f"{field.name}~more")
        field.children = [
            self._field(one, _Place(field.child(name), part.labels[name], name, depth + 1))
            for name, one in part.members.items()
        ]

    def _read_rows(self, field: Field, depth: int) -> None:
        rows = self._text(f"{field.name}~rows")
        if not _ROWS.fullmatch(rows):
            raise TooLargeError(f"The rows of {field.label} cannot be read. Open the page again.")
        numbers = list(dict.fromkeys(int(one) for one in rows.split()))
        if len(numbers) > MOST_ROWS:
            raise TooLargeError(f"{field.label} can have {MOST_ROWS} rows in a form. Write the input as JSON instead.")
        kept = [number for number in numbers if not self._removed(field, number)]
        field.children = [self._row(field, number, position, depth) for position, number in enumerate(kept)]
        if self._command == Command("add", field.name) and field.growing:
            row = self._filler.row(field, max([*numbers, -1]) + 1, MISSING, depth)
            field.children.append(row)
            self.changed = row.name

    def _removed(self, field: Field, number: int) -> bool:
        if self._command != Command("remove", field.child(number)):
            return False
        self.changed = field.name
        return True

    def _row(self, field: Field, number: int, position: int, depth: int) -> Field:
        part, mapping = field.part, field.kind is Kind.MAP
        one = part.value if mapping else part.item(position)
        name = field.child(number)
        key = self._text(f"{name}~key") if mapping else None
        place = _Place(name, row_label(field, one), position if key is None else key, depth + 1)
        row = self._field(one, place)
        return replace(row, key=key)

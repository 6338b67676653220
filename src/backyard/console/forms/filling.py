"""From a value to the fields that show it; or to the empty ones that ask for one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from backyard.console.forms.field import MOST_DEPTH, MOST_FIELDS, MOST_ROWS, Field
from backyard.console.forms.schema import COMPOSITE, MISSING, Kind, Part
from backyard.console.forms.texts import holdable, json_line, json_text, moment_texts, number_text

#: A union of models opens its first branch by itself where it is no deeper than this.
_SHALLOW = 3
#: Items that are looked at to see which branch a list is of.
_LOOKED_AT = 20
#: How deep a value is looked at for the same.
_LEVELS = 8
_FORMATS = {
    "date": r"\d{4}-\d\d-\d\d", "time": r"\d\d:\d\d.*", "date-time": r"\d{4}-\d\d-\d\d[T ].*", "duration": r"-?P.*",
    "uuid": r"[0-9a-fA-F-]{36}", "email": r".+@.+", "uri": r"\w+:.*", "decimal": r"-?[0-9.]+([eE][+-]?\d+)?",
    "ipv4": r"[0-9.]+", "ipv6": r"[0-9a-fA-F:.]+",
}  # fmt: skip
#: Those whose controls hold any text, also one that is wrong.
_TYPED = frozenset({Kind.NUMBER, Kind.TEXT, Kind.MOMENT})
_BEYOND = {"NaN", "Infinity", "-Infinity"}


class Filler:
    """Makes fields of values. What does not fit, is too deep or too much, is shown as JSON text.

    Args:
        left: Fields that may still be made.
    """

    def __init__(self, left: int = MOST_FIELDS // 2) -> None:
        self.left = left

    def fill(
        self,
        part: Part,
        value: Any,
        name: str,
        label: str,
        step: str | int = "",
        *,
        depth: int = 0,
        above: frozenset[str] = frozenset(),
    ) -> Field:
        """Return the field of a place.

        Args:
            part: What the schema says of it.
            value: Its value; MISSING shows its default, or asks for one.
            name: The name of its control.
            label: What people call it.
            step: Its name or number within what it belongs to.
            depth: Places that it lies within.
            above: The definitions that it lies within, without anybody having asked for it.
        """
        field = Field(part, name, label, step)
        self.left -= 1
        if value is MISSING:
            value = part.default
        if value is MISSING and (depth > MOST_DEPTH or (part.references & above and not part.asked)):
            field.as_json = True
        elif value is MISSING:
            self._leave(field, depth, above | part.references)
        elif value is None and part.nullable:
            _none(field)
        elif self._shown_as_json(part, value, depth):
            field.as_json, field.text = True, json_text(value)
        else:
            self._show(field, value, depth)
        return field

    def _shown_as_json(self, part: Part, value: Any, depth: int) -> bool:
        if part.kind is Kind.JSON or depth > MOST_DEPTH:
            return True
        if not fits(part, value, 1):
            return not (part.kind in _TYPED and isinstance(value, str) and holdable(value))
        if isinstance(value, list | dict):
            return len(value) > MOST_ROWS or _weight(value, self.left) > self.left or not _rows_hold(part, value)
        return isinstance(value, str) and not holdable(value)

    def _leave(self, field: Field, depth: int, above: frozenset[str]) -> None:
        part = field.part
        if part.asked:
            field.presence = "absent" if "absent" in part.presences else "null"
            return
        if part.kind is Kind.CHOICE:
            field.text = "null" if part.nullable and "absent" not in part.presences else ""
        elif part.kind is Kind.MOMENT:
            field.zone = "UTC"
        self.open(field, depth, above)

    def open(self, field: Field, depth: int, above: frozenset[str] = frozenset()) -> None:
        """Give a composite field its empty members, rows or first branch.

        Args:
            field: The field.
            depth: Places that it lies within.
            above: As for :meth:`fill`.
        """
        part = field.part
        if part.kind is Kind.OBJECT:
            field.children = [
                self.fill(one, MISSING, field.child(name), part.labels[name], name, depth=depth + 1, above=above)
                for name, one in part.members.items()
            ]
        elif part.kind is Kind.LIST:
            for number in range(min(part.least, MOST_ROWS)):
                field.children.append(self.row(field, number, MISSING, depth, above))
        elif part.kind is Kind.VARIANTS:
            first = part.branches[0]
            if first.kind not in COMPOSITE or (depth <= _SHALLOW and not first.references & above):
                self.choose(field, 0, MISSING, depth, above)

    def row(
        self, field: Field, number: int, value: Any, depth: int, above: frozenset[str] = frozenset(), key: str = ""
    ) -> Field:
        """Return a row of a list or of a mapping.

        Args:
            field: The list or mapping.
            number: The row's number, in its control's name.
            value: Its value; MISSING asks for one.
            depth: Places that the list lies within.
            above: As for :meth:`fill`.
            key: The row's key, in a mapping.
        """
        part, mapping = field.part, field.kind is Kind.MAP
        one = part.value if mapping else part.item(number)
        row = self.fill(
            one,
            value,
            field.child(number),
            row_label(field, one),
            key if mapping else number,
            depth=depth + 1,
            above=above,
        )
        row.key = key if mapping else None
        return row

    def choose(self, field: Field, branch: int, value: Any, depth: int, above: frozenset[str] = frozenset()) -> None:
        """Choose one of the variants.

        Args:
            field: The field.
            branch: The variant's number.
            value: Its value; MISSING asks for one.
            depth: Places that it lies within.
            above: As for :meth:`fill`.
        """
        part = field.part.branches[branch]
        field.branch = branch
        child = self.fill(part, value, field.child(branch), field.label, branch, depth=depth + 1, above=above)
        field.children = [child]

    def _show(self, field: Field, value: Any, depth: int) -> None:  # noqa: C901 - one case for each kind
        part = field.part
        match part.kind:
            case Kind.OBJECT:
                self._show_object(field, value, depth)
            case Kind.LIST:
                field.children = [self.row(field, number, one, depth) for number, one in enumerate(value)]
            case Kind.MAP:
                field.children = [
                    self.row(field, number, one, depth, key=key) for number, (key, one) in enumerate(value.items())
                ]
            case Kind.VARIANTS:
                branch = branch_of(part, value)
                if branch is None:
                    field.as_json, field.text = True, json_text(value)
                else:
                    self.choose(field, branch, value, depth)
            case Kind.MOMENT:
                field.text, field.zone = moment_texts(value)
            case Kind.CHOICE:
                field.text = json_line(value)
            case Kind.FLAG:
                field.text = "true" if value else "false"
            case Kind.NUMBER:
                field.text = number_text(value)
            case Kind.FIXED:
                field.text = ""
            case _:
                field.text = value if isinstance(value, str) else json_text(value)

    def _show_object(self, field: Field, value: Mapping[str, Any], depth: int) -> None:
        part = field.part
        for name, one in part.members.items():
            child = self.fill(
                one, value.get(name, MISSING), field.child(name), part.labels[name], name, depth=depth + 1
            )
            field.children.append(child)
        more = {name: one for name, one in value.items() if name not in part.members}
        field.more = json_text(more) if more else ""


def row_label(field: Field, row: Part) -> str:
    """Return what people call a row of a list or of a mapping, but for its number.

    Args:
        field: The list or mapping.
        row: What the schema says of the row.
    """
    if row.title and row.references:
        return row.title
    return "Row" if row.kind in COMPOSITE else field.label


def _none(field: Field) -> None:
    if field.part.asked:
        field.presence = "null"
    elif field.kind in {Kind.CHOICE, Kind.JSON}:
        field.text = "null"
    elif field.kind is Kind.MOMENT:
        field.zone = "UTC"


def _rows_hold(part: Part, value: Any) -> bool:
    """Whether the keys of a mapping can stand in controls."""
    return part.kind is not Kind.MAP or all(key and "\n" not in key and holdable(key) for key in value)


def _weight(value: Any, most: int) -> int:
    """Count the values within a value, up to a bit more than a number."""
    count, waiting = 0, [value]
    while waiting and count <= most:
        one = waiting.pop()
        count += 1
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return count


def branch_of(part: Part, value: Any) -> int | None:
    """Return the number of the variant that a value is of; None where it is of none.

    Args:
        part: The variants.
        value: The value.
    """
    named = part.discriminator
    if named and isinstance(value, dict):
        for number, branch in enumerate(part.branches):
            known = branch.members.get(named) if branch.kind is Kind.OBJECT else None
            if known is not None and fits(known, value.get(named, known.default), 1):
                return number
    for levels in (_LEVELS, 1):
        for number, branch in enumerate(part.branches):
            if fits(branch, value, levels):
                return number
    return None


def fits(part: Part, value: Any, levels: int = _LEVELS) -> bool:  # noqa: C901, PLR0911 - one case for each kind
    """Whether a value looks like what a part asks for; the definition alone can say that it is.

    Args:
        part: What is asked for.
        value: The value.
        levels: How deep is looked.
    """
    if value is None and part.nullable:
        return True
    node = part.node
    match part.kind:
        case Kind.FIXED:
            return json_line(node.get("const")) == json_line(value)
        case Kind.CHOICE:
            return json_line(value) in {json_line(one) for one in node.get("enum", (True, False))}
        case Kind.FLAG:
            return isinstance(value, bool)
        case Kind.NUMBER:
            return _is_number(part, value)
        case Kind.TEXT | Kind.MOMENT | Kind.FILE:
            return (
                isinstance(value, str) and re.fullmatch(_FORMATS.get(part.format, ".*"), value, re.DOTALL) is not None
            )
        case Kind.OBJECT:
            return isinstance(value, dict) and _object_fits(part, value, levels)
        case Kind.LIST:
            return isinstance(value, list) and len(value) <= part.most and (
                levels <= 1 or all(fits(part.item(n), one, levels - 1) for n, one in enumerate(value[:_LOOKED_AT]))
            )  # fmt: skip
        case Kind.MAP:
            return isinstance(value, dict) and (
                levels <= 1 or all(fits(part.value, one, levels - 1) for one in list(value.values())[:_LOOKED_AT])
            )
        case Kind.VARIANTS:
            return levels <= 1 or branch_of(part, value) is not None
        case _:
            return True


def _is_number(part: Part, value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return value in _BEYOND if part.format != "decimal" else re.fullmatch(_FORMATS["decimal"], value) is not None
    return isinstance(value, int if part.integer else int | float)


def _object_fits(part: Part, value: Mapping[str, Any], levels: int) -> bool:
    if not (part.open or value.keys() <= part.members.keys()):
        return False
    if levels <= 1:
        return True
    return all(
        fits(one, value[name], levels - 1) if name in value else not one.required for name, one in part.members.items()
    )

"""Which field an error belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backyard.console.forms.field import Field
from backyard.console.forms.schema import Kind


@dataclass(frozen=True, slots=True)
class Wrong:
    """One error, for the summary above a form.

    Args:
        message: What is wrong.
        place: Where, in words; empty where it is the whole input.
        name: The name of the field; empty where there is none.
    """

    message: str
    place: str
    name: str


def place_errors(root: Field, errors: Sequence[dict[str, Any]]) -> list[Wrong]:
    """Put errors to the fields that they belong to.

    Args:
        root: The whole input.
        errors: The errors, as :class:`~backyard.core.errors.InvalidInputError` has them.

    Returns:
        The errors in the order of the page. Of a union, those of the variant that was chosen.
    """
    found: list[tuple[Field, str]] = []
    _place(root, [(tuple(row["location"]), str(row["message"])) for row in errors], found)
    for field, message in found:
        if message not in field.wrong:
            field.wrong.append(message)
    words = dict(_words(root, (root.label,)))
    return [Wrong(message, words[field.name], field.name) for field in root.under() for message in field.wrong]


_Rows = list[tuple[tuple[str | int, ...], str]]


def _place(field: Field, rows: _Rows, found: list[tuple[Field, str]]) -> None:
    if field.kind is Kind.VARIANTS and field.children:
        _place(field.children[0], _of_branch(field, rows), found)
        return
    deeper: dict[str, tuple[Field, _Rows]] = {}
    for location, message in rows:
        # Validators of models and functions put words of their own between; what no field is called is passed over.
        for depth, step in enumerate(location):
            child = _child(field, step)
            if child is not None:
                deeper.setdefault(child.name, (child, []))[1].append((location[depth + 1 :], message))
                break
        else:
            found.append((field, _told(field, location, message)))
    for child, more in deeper.values():
        _place(child, more, found)


def _child(field: Field, step: str | int) -> Field | None:
    match field.kind:
        case Kind.OBJECT:
            return next((one for one in field.children if one.step == step), None)
        case Kind.LIST:
            return field.children[step] if isinstance(step, int) and step < len(field.children) else None
        case Kind.MAP:
            return next((one for one in field.children if one.key == str(step)), None)
        case _:
            return None


def _of_branch(field: Field, rows: _Rows) -> _Rows:
    """Return the errors of the variant that was chosen; all of them, where that cannot be told.

    A union tries its variants in turn, so that their errors come in their order, each under its variant's name.
    """
    names = list(dict.fromkeys(location[0] for location, _ in rows if location))
    if field.branch is not None and len(names) == len(field.part.branches) > 1:
        chosen = names[field.branch]
        return [(location[1:], message) for location, message in rows if location and location[0] == chosen]
    return rows


def _told(field: Field, location: tuple[str | int, ...], message: str) -> str:
    if field.as_json and location:
        return f"{'.'.join(str(one) for one in location)}: {message}"
    return f"Key: {message}" if location and location[-1] == "[key]" else message


def _words(field: Field, here: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Go through a field and those within it: their names, and where they are in words."""
    yield field.name, " → ".join(one for one in here if one)
    for number, one in enumerate(field.children):
        if field.kind is Kind.LIST:
            yield from _words(one, (*here[:-1], f"{here[-1]} {number + 1}".strip()))
        elif field.kind is Kind.VARIANTS:
            yield from _words(one, here)
        else:
            yield from _words(one, (*here, one.key or one.label))

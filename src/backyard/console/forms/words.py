"""What a schema asks for, in words: kinds of values, bounds, and a table of all fields."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from backyard.console.forms.schema import COMPOSITE, MISSING, Kind, Part

_FORMATS = {
    "date": "date", "time": "time of day", "date-time": "date and time", "duration": "duration", "uuid": "UUID",
    "email": "mail address", "uri": "URL", "ipv4": "IPv4 address", "ipv6": "IPv6 address", "path": "path",
    "base64url": "bytes, as base64", "base64": "bytes, as base64", "decimal": "decimal number",
    "backyard-file": "file", "regex": "regular expression", "json-string": "JSON text",
}  # fmt: skip
#: Levels of models within models that the table shows.
_LEVELS = 4
_LONGEST_DEFAULT = 80
#: Texts that may be longer have no bound that a person comes near to.
_TOLD = 1_000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of fields.

    Args:
        name: The field's name, as JSON has it.
        level: Models that it lies within.
        kind: What it takes, in words.
        bounds: Its bounds, in words; empty where it has none.
        required: Whether it has to be there.
        default: What is taken where it is not, as JSON; empty where that is not known.
        description: What its declaration says.
    """

    name: str
    level: int
    kind: str
    bounds: str
    required: bool
    default: str
    description: str


def rows_of(part: Part, level: int = 0, above: frozenset[str] = frozenset()) -> list[Row]:
    """Return the table of the fields of an object, those of objects within it below it.

    Args:
        part: The object.
        level: Models that it lies within.
        above: The definitions that it lies within; one of them is not shown again.
    """
    rows: list[Row] = []
    for name, one in part.members.items():
        default = "" if one.default is MISSING else json.dumps(one.default, ensure_ascii=False)
        if len(default) > _LONGEST_DEFAULT:
            default = default[: _LONGEST_DEFAULT - 1] + "…"
        rows.append(Row(name, level, kind_of(one), bounds_of(one), one.required, default, one.description))
        if level < _LEVELS:
            rows += _within(one, level + 1, above | part.references)
    return rows


def _within(part: Part, level: int, above: frozenset[str]) -> list[Row]:
    if part.references & above:
        return []
    match part.kind:
        case Kind.OBJECT:
            return rows_of(part, level, above)
        case Kind.LIST:
            return _within(part.item(len(part.node.get("prefixItems", ()))), level, above | part.references)
        case Kind.MAP:
            return _within(part.value, level, above | part.references)
        case Kind.VARIANTS:
            return [row for branch in part.branches for row in _within(branch, level, above | part.references)]
        case _:
            return []


def kind_of(part: Part) -> str:
    """Return what a part takes, in a few words."""
    words = _kind(part)
    return f"{words}, or None" if part.nullable and "None" not in words else words


def _kind(part: Part) -> str:  # noqa: C901, PLR0911 - one answer for each kind
    match part.kind:
        case Kind.OBJECT:
            return part.title if part.references and part.title else "object"
        case Kind.LIST:
            if "prefixItems" in part.node:
                first = [_kind(part.item(number)) for number in range(len(part.node["prefixItems"]))]
                return f"list of {', '.join(first)}"
            return f"{'set' if part.node.get('uniqueItems') else 'list'} of {_kind(part.item(0))}"
        case Kind.MAP:
            return f"mapping of keys to {_kind(part.value)}"
        case Kind.VARIANTS:
            return " or ".join(dict.fromkeys(_kind(one) for one in part.branches))
        case Kind.CHOICE if "enum" in part.node:
            return "one of " + ", ".join(json.dumps(one, ensure_ascii=False) for one in part.node["enum"])
        case Kind.CHOICE | Kind.FLAG:
            return "yes or no"
        case Kind.NUMBER if part.format != "decimal":
            return "whole number" if part.integer else "number"
        case Kind.SECRET:
            return "secret"
        case Kind.FIXED:
            return "None" if part.node.get("type") == "null" else json.dumps(part.node.get("const"))
        case Kind.JSON:
            return {"array": "list of anything", "object": "object of anything"}.get(
                str(part.node.get("type", "")), "anything"
            )
        case _:
            return _FORMATS.get(part.format, part.format or "text")


def branch_label(part: Part, branch: Part) -> str:
    """Return what a variant is called.

    Args:
        part: The variants.
        branch: One of them.
    """
    known = branch.members.get(part.discriminator) if branch.kind is Kind.OBJECT else None
    if known is not None and "const" in known.node:
        return str(known.node["const"])
    if branch.title and (branch.references or branch.kind in COMPOSITE):
        return branch.title
    words = kind_of(branch)
    return words[:1].upper() + words[1:]


def bounds_of(part: Part) -> str:
    """Return the bounds of a value, in words: ``1 to 300``, ``at most 80 characters``."""
    node = part.node
    words: list[str] = []
    if part.kind is Kind.NUMBER:
        words.append(_range(node))
    if part.kind in {Kind.TEXT, Kind.SECRET}:
        words.append(_count(node.get("minLength"), node.get("maxLength"), "character"))
        if "pattern" in node:
            words.append(f"like {node['pattern']}")
    if part.kind is Kind.LIST and "prefixItems" not in node:
        words.append(_count(node.get("minItems"), node.get("maxItems"), "row"))
        words.append("each once" if node.get("uniqueItems") else "")
    if part.kind is Kind.MAP:
        words.append(_count(node.get("minProperties"), node.get("maxProperties"), "row"))
    if "multipleOf" in node:
        words.append(f"in steps of {_plain(node['multipleOf'])}")
    return ", ".join(one for one in words if one)


def _range(node: Any) -> str:
    least, most = node.get("minimum"), node.get("maximum")
    if least is not None and most is not None:
        return f"{_plain(least)} to {_plain(most)}"
    words = (
        ("at least", least), ("more than", node.get("exclusiveMinimum")),
        ("at most", most), ("less than", node.get("exclusiveMaximum")),
    )  # fmt: skip
    return ", ".join(f"{word} {_plain(bound)}" for word, bound in words if bound is not None)


def _count(least: int | None, most: int | None, noun: str) -> str:
    if least and most is not None:
        return f"{_of(least, noun)}" if least == most else f"{least:,} to {_of(most, noun)}"
    return f"at least {_of(least, noun)}" if least else f"at most {_of(most, noun)}" if most is not None else ""


def _of(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _plain(number: float) -> str:
    return f"{number:,.0f}" if float(number).is_integer() and abs(number) < 1e15 else str(number)  # noqa: PLR2004 - digits of a float


def hint_of(part: Part) -> str:
    """Return what stands below a field: what its declaration says, its bounds, what an empty field means."""
    words = [part.description.rstrip("."), _told_bounds(part)]
    if part.kind is Kind.SECRET:
        words.append("kept sealed, and never shown")
    elif part.kind is Kind.FILE:
        words.append("empty means no file" if part.nullable else "")
    elif part.format == "duration":
        words.append("ISO 8601, or seconds")
    elif part.format in {"base64", "base64url"}:
        words.append("bytes as base64")
    elif not part.asked and part.kind in {Kind.NUMBER, Kind.TEXT, Kind.MOMENT}:
        words.append(_empty(part))
    return ". ".join(one[:1].upper() + one[1:] for one in words if one)


def _told_bounds(part: Part) -> str:
    """Return the bounds that help who fills in a field: no pattern, and no length that nobody comes near to."""
    node = part.node
    if part.kind is Kind.LIST and part.least == part.most:
        return ""
    if part.kind in {Kind.TEXT, Kind.SECRET}:
        most = node.get("maxLength")
        return _count(node.get("minLength"), most if most is not None and most <= _TOLD else None, "character")
    return bounds_of(part)


def _empty(part: Part) -> str:
    if part.nullable:
        return "empty means None"
    if part.required or part.may_be_empty:
        return ""
    return "empty takes the default" if part.default is MISSING else f"empty takes the default, {part.default}"

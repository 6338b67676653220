"""The attributes of a field's control: what the browser offers, and what it checks before anything is sent."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from backyard.console.forms.field import Field
from backyard.console.forms.patterns import browser_pattern
from backyard.console.forms.schema import NEVER_EMPTY, Kind, Part
from backyard.console.forms.texts import NUMBER, json_line

#: Texts that may be longer than this, in characters, get an area of several lines.
_ONE_LINE = 255
#: Digits that browsers count with.
_DIGITS = 15
_DATE = re.compile(r"(?!0000)\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,3})?)?")
_LOCAL = re.compile(r"(?!0000)\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?")
_PLACEHOLDERS = {
    "duration": "PT1H30M or 90", "uuid": "00000000-0000-0000-0000-000000000000", "uri": "https://…",
    "date": "2026-01-31", "time": "12:30:00", "date-time": "2026-01-31T12:30:00Z",
}  # fmt: skip


def options_of(part: Part) -> list[tuple[str, str]]:
    """Return what may be chosen: pairs of JSON text and label.

    Args:
        part: A choice.
    """
    given = part.node.get("enum")
    yes_or_no = [("true", "Yes"), ("false", "No")]
    options = yes_or_no if given is None else [(json_line(one), _option(one)) for one in given]
    if part.nullable and given != [None] and ("null", "None") not in options:
        options.append(("null", "None"))
    return options


def _option(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def several_lines(field: Field) -> bool:
    """Whether a text gets an area of several lines."""
    part = field.part
    if part.kind is not Kind.TEXT or part.format in NEVER_EMPTY:
        return False
    if "\n" in field.text:
        return True
    return int(part.node.get("maxLength", _ONE_LINE + 1)) > _ONE_LINE and "pattern" not in part.node


def attributes_of(field: Field) -> dict[str, Any]:
    """Return the attributes of a field's control, those that only name it left out.

    Args:
        field: The field.
    """
    part, node = field.part, field.part.node
    needed = {"required": part.presences == ("value",) and part.required}
    match field.kind:
        case Kind.NUMBER:
            found = _number(field) | needed
        case Kind.TEXT:
            found = _text(field)
            found["required"] = needed["required"] and (not part.may_be_empty or int(node.get("minLength", 0)) > 0)
        case Kind.MOMENT:
            split = field.zone is not None and (not field.text or _LOCAL.fullmatch(field.text) is not None)
            found = {"type": "datetime-local", "step": "any"} if split else {"type": "text"}
            found |= needed | ({} if split else {"placeholder": _PLACEHOLDERS["date-time"]})
        case Kind.SECRET:
            found = {"type": "password", "autocomplete": "new-password", **needed}
        case Kind.JSON:
            found = {"required": needed["required"], "spellcheck": "false"}
        case _:
            found = needed
    return {
        name: "" if value is True else value for name, value in found.items() if not (value is None or value is False)
    }


def _number(field: Field) -> dict[str, Any]:
    part, node, text = field.part, field.part.node, field.text
    if text and (not NUMBER.fullmatch(text) or len(text) > _DIGITS):
        # A browser empties a field of type number that holds anything else, and counts with 15 digits.
        return {"type": "text", "inputmode": "text"}
    least, most = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if part.integer:
        least = least if above is None else math.floor(above) + 1
        most = most if below is None else math.ceil(below) - 1
    else:
        least, most = above if least is None else least, below if most is None else most
    step = node.get("multipleOf", 1 if part.integer else "any")
    fits = step == "any" or not least or (least / step).is_integer()
    return {"type": "number", "min": least, "max": most, "step": step if fits else "any"}


def _text(field: Field) -> dict[str, Any]:
    part, node, text = field.part, field.part.node, field.text
    kind = "text"
    if part.format == "date" and (not text or _DATE.fullmatch(text)):
        kind = "date"
    elif part.format == "time" and (not text or _TIME.fullmatch(text)):
        kind = "time"
    elif part.format in {"email", "uri"} and text.isascii() and text == text.strip():
        kind = {"email": "email", "uri": "url"}[part.format]
    length = node.get("maxLength")
    return {
        "type": None if several_lines(field) else kind,
        "step": ("0.001" if "." in text else "1") if kind == "time" else None,
        "minlength": node.get("minLength") or None,
        "maxlength": length if length is not None and len(text) <= length else None,
        "pattern": None if several_lines(field) else browser_pattern(str(node.get("pattern", ""))),
        "placeholder": _PLACEHOLDERS.get(part.format),
        "spellcheck": None if several_lines(field) and not part.format else "false",
        "autocomplete": "off",
    }

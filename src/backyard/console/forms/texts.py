"""How values look in the controls of a form, and what is read back from them."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic_core import from_json

#: A number as JSON writes it.
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
#: A moment as two controls show it: date and time, to the millisecond at most, and the zone.
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)(Z|[+-]\d\d:\d\d)?")
_OFFSET = re.compile(r"[+-]\d\d:?\d\d")
#: What a page cannot hold: the browser would give it back changed.
_CHANGED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def holdable(text: str) -> bool:
    """Whether a page's controls give a text back as it is."""
    return _CHANGED.search(text) is None


def json_text(value: Any) -> str:
    """Return a value as JSON text to read and to change."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return text if holdable(text) else json.dumps(value, indent=2)


def json_line(value: Any) -> str:
    """Return a value as JSON in one line: what an option of a select stands for."""
    return json.dumps(value)


def number_text(value: Any) -> str:
    """Return a number as its control holds it."""
    return value if isinstance(value, str) else json.dumps(value)


def why_not_json(text: str) -> str:
    """Return what is wrong with a text that should be JSON, with its line; empty where nothing is."""
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError as error:
        return str(error)
    return ""


def moment_texts(value: str) -> tuple[str, str | None]:
    """Return what the two controls of a moment hold; None for the second where one holds all of it.

    Args:
        value: The moment as JSON has it, in ISO 8601.
    """
    found = _MOMENT.fullmatch(value)
    if found is None:
        return value, None
    date, time, zone = found.groups()
    return f"{date}T{time}", zone or ""


def moment_value(local: str, zone: str | None) -> str:
    """Return a moment in ISO 8601, or what was typed where it cannot be read: whoever checks it says why.

    Args:
        local: Date and time.
        zone: ``Z``, an offset such as ``+02:00``, a name such as ``Europe/Berlin``, or nothing for no zone.
    """
    local, zone = local.strip(), (zone or "").strip()
    if not zone:
        return local
    if zone.upper() in {"Z", "UTC"}:
        return f"{local}Z"
    if _OFFSET.fullmatch(zone):
        return local + zone
    try:
        offset = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).strftime("%z")
    except (ValueError, KeyError, OSError):  # no such time, no such zone, or a name that is a folder's
        return f"{local} {zone}"
    return f"{local}{offset[:3]}:{offset[3:5]}"


def duration_value(text: str) -> str:
    """Return a duration in a form that pydantic reads: a bare number counts as seconds."""
    return f"PT{text}S" if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else text


def lines_of(text: str) -> str:
    """Return a text with the line ends that it had: browsers send others."""
    return text.replace("\r\n", "\n")

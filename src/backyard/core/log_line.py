"""One line of a task's log: its shape, its limits, and which lines a reader asks for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

#: From the least serious to the most.
LEVELS = ("debug", "info", "warning", "error", "critical")
#: What a line says of itself; a field of such a name gets an underscore behind it.
OWN = frozenset({"message", "level", "at", "attempt", "logger", "exception"})
#: Bytes kept of a message, of an exception, and of all fields of a line.
LONGEST = 8_192
CUT = "…"
#: Members kept of a list or a mapping, and how deep they may lie in each other.
MEMBERS = 100
DEPTH = 6
#: Bits of a number that readers in other languages take as well.
_BITS = 64
_STEP = 10  # between two levels' numbers, which are those of the logging module

Scrub = Callable[[str], str]

_through: list[type[Exception]] = []


def let_through(kind: type[Exception]) -> None:
    """Never take an exception for an error in what is logged: it interrupts whoever logs, wherever that is.

    Args:
        kind: Its class.
    """
    _through.append(kind)


def interrupts(error: BaseException | None) -> bool:
    """Whether an exception is one to be let through."""
    return isinstance(error, tuple(_through))


def level_of(number: int) -> str:
    """Return the level that a number of the logging module belongs to; one in between belongs to the lower."""
    return LEVELS[min(max(number // _STEP, 1), len(LEVELS)) - 1]


def number_of(level: str) -> int:
    """Return a level as a number of the logging module; ``off`` is above all of them, an unknown one is ``info``."""
    if level == "off":
        return _STEP * (len(LEVELS) + 1)
    return _STEP * (LEVELS.index(level) + 1) if level in LEVELS else _STEP * 2


def same(text: str) -> str:
    """Return a text as it is: what is done where there is nothing to be hidden."""
    return text


def write_line(
    message: str,
    level: str,
    *,
    at: float,
    attempt: int,
    logger: str,
    fields: Mapping[str, Any] | None = None,
    exception: str = "",
    scrub: Scrub = same,
) -> bytes:
    """Write a line as JSON.

    Args:
        message: What it says.
        level: How serious it is.
        at: When it was logged, in seconds since 1970.
        attempt: The attempt that logged it.
        logger: The logger's name.
        fields: What else belongs to it; values that are no JSON are written as text.
        exception: A traceback. Of one that is too long the end is kept, for it says what went wrong.
        scrub: Takes out of a text what nobody may read.
    """
    parts = [
        f'"message":{_json(cut(clean(scrub(message))))}',
        f'"level":{_json(level)},"at":{at:.6f},"attempt":{attempt}',
        f'"logger":{_json(clean(logger))}',
    ]
    room = LONGEST
    for name, value in (fields or {}).items():
        key, text = _json(cut(clean(scrub(marked(name))), 100)), _json(plain(value, scrub))
        room -= len(key) + len(text)
        parts.append(f"{key}:{text if room >= 0 else _json(CUT)}")
    if exception:
        parts.append(f'"exception":{_json(cut_front(clean(scrub(exception))))}')
    return ("{" + ",".join(parts) + "}").encode()


def marked(name: str, own: frozenset[str] = OWN) -> str:
    """Return a field's name, kept apart from those that are taken."""
    return f"{name}_" if name in own else name


def clean(text: str) -> str:
    """Return a text that can be written as UTF-8, with escapes in place of what cannot."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def cut(text: str, longest: int = LONGEST) -> str:
    """Return the beginning of a text, marked where something is left out.

    Args:
        text: It can be written as UTF-8.
        longest: Bytes to keep.
    """
    if len(text) <= longest // 4:  # no character has more than four bytes
        return text
    data = text.encode()
    if len(data) <= longest:
        return text
    return data[: longest - len(CUT.encode())].decode("utf-8", "ignore") + CUT


def cut_front(text: str, longest: int = LONGEST) -> str:
    """Return the end of a text, marked where something is left out.

    Args:
        text: It can be written as UTF-8.
        longest: Bytes to keep.
    """
    data = text.encode()
    if len(data) <= longest:
        return text
    return CUT + data[len(CUT.encode()) - longest :].decode("utf-8", "ignore")


def written(value: Any) -> str:
    """Return a value as text, whatever happens when it is written."""
    try:
        return str(value)
    except Exception as error:
        if interrupts(error):
            raise
        return f"<{type(value).__name__} that cannot be written: {type(error).__name__}>"


def plain(value: Any, scrub: Scrub = same, depth: int = DEPTH) -> Any:
    """Return a value as JSON can hold it: text in place of what it cannot.

    Args:
        value: Anything.
        scrub: Takes out of a text what nobody may read.
        depth: How deep lists and mappings may still lie in each other.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value.bit_length() <= _BITS:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping | list | tuple) and depth > 0:
        return _members(value, scrub, depth - 1)
    return cut(clean(scrub(written(value))))


def _members(value: Any, scrub: Scrub, depth: int) -> Any:
    kept: list[Any] = []
    try:
        for member in value.items() if isinstance(value, Mapping) else value:
            if len(kept) == MEMBERS:
                kept.append((CUT, CUT) if isinstance(value, Mapping) else CUT)
                break
            kept.append(member)
    except Exception as error:
        if interrupts(error):
            raise
        return f"<{type(value).__name__} that cannot be read: {type(error).__name__}>"
    if isinstance(value, Mapping):
        return {cut(clean(scrub(written(name))), 100): plain(member, scrub, depth) for name, member in kept}
    return [plain(member, scrub, depth) for member in kept]


def chosen(
    lines: Iterable[dict[str, Any]], level: str = "debug", after: float = 0.0, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return the lines that a reader asks for.

    Args:
        lines: A task's lines, oldest first.
        level: The least serious level.
        after: Only lines logged later than that, in seconds since 1970.
        limit: The newest so many; None is all.
    """
    least = number_of(level)
    found = [
        line
        for line in lines
        if number_of(str(line.get("level", "info"))) >= least and line.get("at", after + 1) > after
    ]
    return found if limit is None else found[-limit:]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

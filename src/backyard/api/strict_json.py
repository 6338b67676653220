"""JSON without its traps, and its parts as the text they came as.

What belongs to a definition is cut out of a body and handed on as it is: reading a value and writing it again takes
time, and may make another value of it, as of a number that is too large.
Source of the rules: RFC 8259, and RFC 7493 (I-JSON) for unique names and numbers within range.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from backyard.core.errors import InvalidInputError

T = TypeVar("T")

_SPACE = re.compile(r"[ \t\n\r]*")
_SHOWN = 40


def check(body: bytes) -> None:
    """Refuse a body that is not strict JSON.

    Raises:
        InvalidInputError: It is not; the message says where.
    """
    _explained(lambda: _DECODER.decode(_text(body)))


def members(body: bytes) -> dict[str, str]:
    """Return the members of an object, each value as the text it came as.

    Raises:
        InvalidInputError: The body is not strict JSON, or no object.
    """
    return _explained(lambda: {str(name): value for name, value in _parts(_text(body), "{", "}")})


def elements(body: bytes, most: int) -> list[str]:
    """Return the elements of a list, each as the text it came as.

    Args:
        body: The JSON text.
        most: Elements after which reading stops, with one more than that.

    Raises:
        InvalidInputError: The body is not strict JSON, or no list.
    """

    def read() -> list[str]:
        found: list[str] = []
        for _, value in _parts(_text(body), "[", "]"):
            found.append(value)
            if len(found) > most:
                break
        return found

    return _explained(read)


def _explained(read: Callable[[], T]) -> T:
    try:
        return read()
    except RecursionError:
        reason = "it is nested too deeply"
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at line {error.lineno}, column {error.colno}"
    except ValueError as error:
        # Python's own words for a whole number with more digits than it reads speak of its internals.
        reason = "a whole number has too many digits" if "set_int_max_str_digits" in str(error) else str(error)
    row = {"location": [], "message": reason, "type": "json_invalid"}
    raise InvalidInputError(f"The body is not JSON that can be used: {reason}.", [row])


def _text(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start})") from None
    if text.startswith("\ufeff"):
        raise ValueError("it begins with a byte order mark, which JSON does not have")
    return text


def _parts(text: str, opening: str, closing: str) -> Iterator[tuple[str | int, str]]:
    """Yield what an object or a list holds: name or number, and the value's own text."""
    at = _skip(text, 0)
    if text[at : at + 1] != opening:
        raise ValueError("it is no object" if opening == "{" else "it is no list")
    at = _skip(text, at + 1)
    number = 0
    seen: set[str] = set()
    while number or text[at : at + 1] != closing:
        name: str | int = number
        if opening == "{":
            name, at = _name(text, at, seen)
        start = at
        _, at = _DECODER.raw_decode(text, at)
        yield name, text[start:at]
        number += 1
        at = _skip(text, at)
        if text[at : at + 1] == closing:
            break
        at = _skip(text, _expect(text, at, ","))
    at = _skip(text, at + 1)
    if at != len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _name(text: str, at: int, seen: set[str]) -> tuple[str, int]:
    if text[at : at + 1] != '"':
        raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
    name, at = _DECODER.raw_decode(text, at)
    if name in seen:
        raise _twice(name)
    seen.add(name)
    return name, _skip(text, _expect(text, _skip(text, at), ":"))


def _expect(text: str, at: int, sign: str) -> int:
    if text[at : at + 1] != sign:
        raise json.JSONDecodeError(f"Expecting '{sign}' delimiter", text, at)
    return at + 1


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        raise _twice(next(name for name, _ in pairs if name in seen or seen.add(name)))  # type: ignore[func-returns-value]  # add returns None, which goes on
    return found


def _twice(name: str) -> ValueError:
    return ValueError(f"the name {name[:_SHOWN]!a} comes twice in one object")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:_SHOWN]} is too large")
    return value


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON value; send null, or a text")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite)

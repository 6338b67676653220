"""Regular expressions as browsers read them: the same rule, written for an attribute ``pattern``."""

from __future__ import annotations

import re

#: What browsers read otherwise than pydantic, or not at all: such a rule is left to the server.
_LEFT_OUT = re.compile(r"\(\?(?!:|=|!|<=|<!)|\\[bBAzZGWpPQEkx]\{?|\[\[|\[:|&&|~~|--|[*+?}]\+|\\[0-9]")
_HEX = re.compile(r"\\x[0-9a-fA-F]{2}")
#: Within a class of the flag ``v``, which browsers set, these stand for more than themselves.
_SYNTAX = frozenset("(){}/|")
#: pydantic's classes know all scripts; JavaScript's know ASCII.
_CLASSES = {"w": r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}", "d": r"\p{Nd}"}
_LONGEST = 500


def browser_pattern(pattern: str) -> str | None:
    """Return a pattern for a browser, which matches it against the whole text; None where it cannot be told.

    Args:
        pattern: The pattern as pydantic searches it, in Rust's or Python's syntax.
    """
    if not pattern or len(pattern) > _LONGEST or _LEFT_OUT.search(_HEX.sub("", pattern)):
        return None
    try:
        re.compile(pattern)
    except re.error:
        return None
    found = _translated(pattern)
    anchored = pattern.startswith("^") and pattern.endswith("$") and not pattern.endswith(r"\$") and "|" not in pattern
    # [^] is any character, a line's end as well.
    return found if anchored else f"[^]*(?:{found})[^]*"


def _translated(pattern: str) -> str:
    found: list[str] = []
    inside, first = False, False
    signs = re.findall(r"\\.|.", pattern, re.DOTALL)
    for number, sign in enumerate(signs):
        if sign.startswith("\\"):
            found.append(_escaped(sign, inside=inside))
        elif not inside:
            inside = first = sign == "["
            found.append(sign)
            continue
        elif sign == "]" and not first:
            inside = False
            found.append(sign)
        elif sign == "^" and first:
            found.append(sign)
            continue
        else:
            following = signs[number + 1] if number + 1 < len(signs) else ""
            lonely = sign == "-" and (first or following == "]" or signs[number - 1] == "^")
            found.append(f"\\{sign}" if sign in _SYNTAX or lonely or sign in "[]" else sign)
        first = False
    return "".join(found)


def _escaped(sign: str, *, inside: bool) -> str:
    known = _CLASSES.get(sign[1])
    if known is not None:
        return known if inside else f"[{known}]"
    # In this flag, a letter or sign that needs no backslash may have none.
    return sign if sign[1].isalnum() or sign[1] in r"^$\.*+?()[]{}|/-" else sign[1]

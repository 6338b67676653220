"""Tracebacks to read: their errors and frames, the user's own apart from those of libraries."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_BEGIN = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "(?P<file>[^"]*)", line (?P<line>\d+)(?:, in (?P<function>.*))?')
_LIBRARY = re.compile(r"/(site|dist)-packages/|/lib/python\d|/python[\d.]+/lib/|^<", re.IGNORECASE)
_BETWEEN = {
    "The above exception was the direct cause of the following exception:": "Because of",
    "During handling of the above exception, another exception occurred:": "While this was handled",
}
#: Frames and errors that are taken apart; recursion makes hundreds.
_MOST_FRAMES = 200
_MOST_ERRORS = 10


@dataclass(slots=True)
class Frame:
    """One call.

    Args:
        file: The file's path as the worker sees it.
        line: The line's number.
        function: The function's name.
        code: The line itself, with the marks beneath it; empty where the worker had no source.
        own: Whether it is the user's own code.
    """

    file: str
    line: int
    function: str
    code: str
    own: bool


@dataclass(slots=True)
class Raised:
    """One exception of a chain.

    Args:
        text: Its type and message.
        frames: The calls that led to it, the latest first.
        link: How it led to the one before it in the list; empty for the first.
    """

    text: str = ""
    frames: list[Frame] = field(default_factory=list)
    link: str = ""

    @property
    def own(self) -> list[Frame]:
        """The user's own calls, the latest first."""
        return [frame for frame in self.frames if frame.own]

    @property
    def libraries(self) -> list[Frame]:
        """The calls of libraries, the latest first."""
        return [frame for frame in self.frames if not frame.own]


def raised_in(text: str) -> list[Raised]:
    """Return the exceptions of a traceback, the last one raised first; empty where the text is none that Python prints.

    Args:
        text: The traceback.
    """
    found: list[Raised] = []
    lines = text.splitlines()
    start = 0
    for number, line in enumerate([*lines, None]):
        if line is not None and line not in _BETWEEN:
            continue
        one = _raised([line for line in lines[start:number] if line is not None])
        if one is not None:
            one.link = _BETWEEN.get(line or "", "")
            found.append(one)
        start = number + 1
    found.reverse()
    return found[:_MOST_ERRORS] if any(one.frames for one in found) else []


def _raised(lines: list[str]) -> Raised | None:
    begin = next((number for number, line in enumerate(lines) if line == _BEGIN), None)
    if begin is None:
        text = "\n".join(lines).strip()
        return Raised(text) if text else None
    one, at = Raised(), begin + 1
    while at < len(lines) and lines[at].startswith(" "):
        matched = _FRAME.fullmatch(lines[at])
        at += 1
        if matched is None:
            continue
        code = []
        while at < len(lines) and lines[at].startswith("    "):
            code.append(lines[at][4:])
            at += 1
        own = _LIBRARY.search(matched["file"].replace("\\", "/")) is None
        one.frames.append(Frame(matched["file"], int(matched["line"]), matched["function"] or "", "\n".join(code), own))
    one.text = "\n".join(lines[at:]).strip()
    one.frames = one.frames[-_MOST_FRAMES:][::-1]
    return one

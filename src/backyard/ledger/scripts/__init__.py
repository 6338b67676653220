"""The Lua scripts. Each is its own file, and before it what it uses of ``parts/``; the server knows it by its SHA-1."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

#: Scripts that only read; a server that writes no more still answers them.
READING = frozenset(
    {
        "burden",
        "dead_letters",
        "depth",
        "due_schedules",
        "list",
        "queues",
        "records",
        "replay",
        "schedules",
        "stopping",
        "why",
        "workers",
    }
)
#: Scripts that a server without memory refuses: they bring in what is new.
REFUSED = frozenset({"submit", "put", "fire"})
#: Such a server refuses a script whose first write could need memory, and then lets it go on to its end. So the others
#: begin with a write that needs none. (``#!lua flags=allow-oom`` would say so too, from Redis 7 on.)
_GOES_ON = "redis.call('DEL', prefix .. 'nothing')\n"
#: Scripts that do what others do, and more in the same step: they have them before them, as functions of their words.
_AROUND = {"fire": ("submit",), "requeue": ("submit",), "together": ("acknowledge", "move", "start")}

#: The files of ``parts/``. What one defines is known to those after it.
PARTS = ("basics", "news", "lanes", "limits", "endings", "cancels", "deaths")
#: What they define: each begins at the left edge, with its comment, and has its name there.
_PART = re.compile(r"^(?:--.*\n)*local (?:function )?(\w+).*\n(?:(?!local |--).*\n)*", re.MULTILINE)
_SAID = re.compile(r"--.*|'(?:[^'\\\n]|\\.)*'")
_NAME = re.compile(r"(?<![\w.:])[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text and the name the server knows it by."""

    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """Read a script of this folder.

    Args:
        name: The file's name without its ending.
    """
    text = "" if name in READING | REFUSED else _GOES_ON
    for inner in _AROUND.get(name, ()):
        text += f"local function {inner}(ARGV)\n{_read(inner)}\nend\n"
    text = with_parts(text + _read(name))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def with_parts(text: str) -> str:
    """Put before a script what it uses of the parts: the server makes all of it anew each time that the script runs."""
    used = names_in(text)
    for name, part in reversed(parts()):
        if name in used:
            used |= names_in(part)
            text = part + text
    return text


def names_in(text: str) -> set[str]:
    """Return the names that Lua code uses, whatever they stand for."""
    return set(_NAME.findall(_SAID.sub("''", text)))


@cache
def parts() -> tuple[tuple[str, str], ...]:
    """Return what the parts define, by name, in their order."""
    return tuple((found[1], found[0]) for part in PARTS for found in _PART.finditer(_read(f"parts/{part}")))


def _read(name: str) -> str:
    return files(__name__).joinpath(f"{name}.lua").read_text("utf-8")

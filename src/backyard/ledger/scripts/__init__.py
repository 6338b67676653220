"""The Lua scripts. Each is the prelude followed by its own file, and is known to the server by its SHA-1."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

#: Scripts that only read; a server that writes no more still answers them.
READING = frozenset(
    {"burden", "depth", "due_schedules", "list", "queues", "records", "replay", "schedules", "why", "workers"}
)
#: Scripts that a server without memory refuses: they bring in what is new.
REFUSED = frozenset({"submit", "put", "fire"})
#: Such a server refuses a script whose first write could need memory, and then lets it go on to its end. So the others
#: begin with a write that needs none. (``#!lua flags=allow-oom`` would say so too, from Redis 7 on.)
_GOES_ON = "redis.call('DEL', prefix .. 'nothing')\n"
#: Scripts that do what another does, and more in the same step: they have it before them, as a function of its words.
_AROUND = {"fire": "submit"}


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
    folder = files(__name__)
    text = folder.joinpath("prelude.lua").read_text("utf-8")
    text += "" if name in READING | REFUSED else _GOES_ON
    if name in _AROUND:
        inner = folder.joinpath(f"{_AROUND[name]}.lua").read_text("utf-8")
        text += f"local function {_AROUND[name]}(ARGV)\n{inner}\nend\n"
    text += folder.joinpath(f"{name}.lua").read_text("utf-8")
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

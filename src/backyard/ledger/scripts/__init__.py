"""The Lua scripts. Each is the prelude followed by its own file, and is known to the server by its SHA-1."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


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
    text = folder.joinpath("prelude.lua").read_text("utf-8") + folder.joinpath(f"{name}.lua").read_text("utf-8")
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

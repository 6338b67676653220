"""Several calls of a worker's process in one round trip and one step of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backyard.ledger.call import Call, Word
from backyard.ledger.scripts import script

#: Scripts that ``together.lua`` knows.
KNOWN = frozenset({"move", "start", "acknowledge"})


def together(calls: Sequence[Call[Any]]) -> Call[list[Any]]:
    """Make one call of many; its answer is the list of theirs.

    Args:
        calls: What is to be done, in this order. Each of them may be repeated without harm, and so may all.
    """
    words: list[Word] = []
    for call in calls:
        if call.script is None or call.script.name not in KNOWN:
            raise ValueError("Only starts, moves and acknowledgements go together.")
        words += (call.script.name, len(call.words), *call.words)

    def read(rows: list[Any]) -> list[Any]:
        return [call.read(row) for call, row in zip(calls, rows, strict=True)]

    return Call(words, read, script("together"))

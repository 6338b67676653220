"""What a question to the ledger is: its words, and how its answer is read. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from backyard.core.states import State
from backyard.ledger.keys import Keys
from backyard.ledger.scripts import Script, script

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Word = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """A question to the ledger.

    Args:
        words: The command, or a script's arguments after its key.
        read: Turns the server's answer into ours.
        script: The script to run; None for a plain command.
    """

    words: Sequence[Word]
    read: Callable[[Any], T_co]
    script: Script | None = None


class CallBuilder:
    """Builds calls for one yard.

    Args:
        keys: The yard's keys.
        events_kept: Events kept on the stream, about.
    """

    def __init__(self, keys: Keys, events_kept: int) -> None:
        self.keys = keys
        self.events_kept = events_kept

    def _run(self, name: str, words: Iterable[Word], read: Callable[[Any], T]) -> Call[T]:
        return Call(list(words), read, script(name))


def text_of(value: Any) -> str:
    """Read a string of an answer."""
    return value.decode() if isinstance(value, bytes) else str(value)


def bytes_of(word: Word) -> bytes:
    """Return a word as the server keeps it."""
    return word if isinstance(word, bytes) else str(word).encode()


def states_of(states: Iterable[State]) -> str:
    """Write states as scripts look them up: ``,A,B,``."""
    return "," + ",".join(sorted(states)) + ","


def pairs_of(row: Any) -> Mapping[bytes, bytes]:
    """Read a hash, which the server sends as a map (RESP3) or as a flat list (RESP2)."""
    return row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True))

"""What can be asked of the server itself, and of the yard as a whole, for a look at its health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backyard.ledger.call import Call, CallBuilder, text_of


@dataclass(frozen=True, slots=True)
class Burden:
    """What lies in a yard.

    Args:
        now: The server's time in seconds since 1970.
        dead: Entries of the dead-letter stream.
        due: Tasks that are scheduled or wait for a retry.
        overdue: Those that were due more than five seconds ago.
        ready: Tasks that wait, by queue: ready entries, and those parked at a limit.
    """

    now: float
    dead: int
    due: int
    overdue: int
    ready: Mapping[str, int]


class ServerCalls(CallBuilder):
    """Calls about the server, and about the whole yard."""

    def info(self) -> Call[dict[str, Any]]:
        """Read what the server says of itself, by name."""
        return Call(["INFO"], dict)

    def config(self) -> Call[dict[str, str]]:
        """Read the server's settings by name; servers kept by others often refuse it."""
        return Call(["CONFIG", "GET", "*"], lambda row: {text_of(name): text_of(value) for name, value in row.items()})

    def clock(self) -> Call[float]:
        """Read the server's time, in seconds since 1970."""
        return Call(["TIME"], lambda row: int(row[0]) + int(row[1]) / 1_000_000)

    def link_key(self, new: bytes) -> Call[bytes]:
        """Return the key that public links are signed with.

        Args:
            new: Random bytes, which become the key where there is none.
        """
        return self._run("link_key", [new], bytes)

    def burden(self) -> Call[Burden]:
        """Count what lies in the yard."""
        return self._run("burden", [], _burden)


def _burden(row: list[Any]) -> Burden:
    names = [text_of(name) for name in row[4::2]]
    return Burden(
        now=int(row[0]) / 1000,
        dead=int(row[1]),
        due=int(row[2]),
        overdue=int(row[3]),
        ready=dict(zip(names, map(int, row[5::2]), strict=True)),
    )

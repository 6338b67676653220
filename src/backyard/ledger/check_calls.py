"""What can be asked of the yard's own consistency: compare a slice of it, and put right what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backyard.ledger.call import Call, CallBuilder, Word, text_of


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit.

    Args:
        kind: What it is, one of :data:`backyard.engine.check.KINDS`.
        name: The task, entry or consumer.
        detail: The task's state, the entry or the lane.
        repaired: Whether it fits now.
    """

    kind: str
    name: str
    detail: str
    repaired: bool


@dataclass(frozen=True, slots=True)
class Suspect:
    """A task to be looked at.

    Args:
        task_id: The task.
        message: What to queue it with, where the yard has no message of it any more.
        failure: What to end it with, where nobody can tell its message; JSON.
    """

    task_id: str
    message: bytes = b""
    failure: str = ""


class CheckCalls(CallBuilder):
    """Calls that compare a slice of a yard; each is one step, and safe beside live traffic."""

    def check_tasks(self, suspects: Sequence[Suspect], lease: float, *, repair: bool) -> Call[list[Finding]]:
        """Compare tasks with what should hold them.

        Args:
            suspects: The tasks, a few hundred at most.
            lease: Seconds a lease lasts.
            repair: Whether to put right what does not fit.
        """
        words: list[Word] = [self.events_kept, _flag(repair), int(lease * 1000)]
        for one in suspects:
            words += (_name(one.task_id), one.message, one.failure)
        return self._run("check_tasks", words, _findings)

    def check_lane(
        self, queue: str, lane: str, after: str, most: int, *, repair: bool
    ) -> Call[tuple[str, list[Finding]]]:
        """Compare entries of a lane with their tasks; returns the entry to go on after, empty at the end."""
        words: list[Word] = [_flag(repair), queue, lane, after, most]
        return self._run("check_lane", words, lambda row: (text_of(row[0]), _findings(row[1])))

    def check_consumers(self, queue: str, lease: float, most: int, *, repair: bool) -> Call[list[Finding]]:
        """Compare the consumers of a queue with the leases."""
        return self._run("check_consumers", [_flag(repair), int(lease * 1000), queue, most], _findings)

    def check_due(self, offset: int, most: int, *, repair: bool) -> Call[tuple[int, list[Finding]]]:
        """Compare what is due with the tasks; returns the offset to go on from, -1 at the end."""
        return self._run("check_due", [_flag(repair), offset, most], lambda row: (int(row[0]), _findings(row[1])))

    def check_keys(self, keys: Sequence[tuple[str, str]], most: int, *, repair: bool) -> Call[list[Finding]]:
        """Compare what lives beside records with them.

        Args:
            keys: Kind (``log``, ``children``, ``queue``, ``unique`` or ``parked_of``) and the rest of the key, of each.
            most: Members of each to look at.
            repair: Whether to put right what does not fit.
        """
        return self._run("check_keys", [_flag(repair), most, *(_name(word) for key in keys for word in key)], _findings)

    def check_limits(self, limits: Sequence[str], most: int, source: str, *, repair: bool) -> Call[list[Finding]]:
        """Compare limits with the tasks that hold their slots or wait for them.

        Args:
            limits: Their names.
            most: Tasks of each to look at.
            source: Where the names are from: ``book``, or the keys ``parked`` or ``slots``. Each is looked at once.
            repair: Whether to put right what does not fit.
        """
        words: list[Word] = [self.events_kept, _flag(repair), most, source, *map(_name, limits)]
        return self._run("check_limits", words, _findings)

    def limits(self, book: str, cursor: int, most: int) -> Call[tuple[int, list[str]]]:
        """Read about so many names of limits from a book (``limits`` or ``gates``); the next cursor is 0 at the end."""
        words: list[Word] = ["HSCAN", f"{self.keys.prefix}{book}", cursor, "COUNT", most]
        return Call(words, _names)

    def check_turn(self, pause: float) -> Call[str | None]:
        """Take the next slice of the check that all workers walk together; None where it is not time yet.

        Args:
            pause: Seconds between two slices.
        """
        return self._run("check_turn", [int(pause * 1000)], lambda row: None if row is None else text_of(row))

    def check_place(self, place: str) -> Call[int]:
        """Note where the check goes on."""
        return Call(["HSET", f"{self.keys.prefix}check", "place", place], int)

    def scan(self, cursor: int, most: int) -> Call[tuple[int, list[str]]]:
        """Read about so many of the server's keys; returns the next cursor (0 at the end) and the yard's own names."""
        words: list[Word] = ["SCAN", cursor, "MATCH", f"{self.keys.prefix}*", "COUNT", most]
        start = len(self.keys.prefix)
        return Call(words, lambda row: (int(row[0]), [_readable(key)[start:] for key in row[1]]))


def _names(row: Any) -> tuple[int, list[str]]:
    """Read the answer of HSCAN, which the driver turns into a map."""
    return int(row[0]), [_readable(name) for name in row[1]]


def _flag(value: bool) -> str:  # noqa: FBT001 - it is what a flag is made of
    return "1" if value else "0"


def _findings(rows: list[Any]) -> list[Finding]:
    return [Finding(_readable(row[0]), _readable(row[1]), _readable(row[2]), row[3] == b"1") for row in rows]


def _name(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _readable(value: bytes) -> str:
    """Read a name that anybody may have written."""
    return value.decode("utf-8", "surrogateescape")

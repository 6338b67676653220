"""What keeps a yard going between tasks: leases, what is due, what is left over."""

from __future__ import annotations

from collections.abc import Sequence

from backyard.ledger.call import Call, CallBuilder, Word, text_of


class UpkeepCalls(CallBuilder):
    """Calls that any worker makes for all."""

    def renew(self, lease: float, living: Sequence[str], retired: Sequence[str]) -> Call[list[str]]:
        """Renew the leases of a process's consumers; returns the retired ones that hold nothing any more."""
        words: list[Word] = [self.events_kept, int(lease * 1000), len(living), *living, *retired]
        return self._run("renew", words, lambda rows: [text_of(row) for row in rows])

    def reap(self, most: int) -> Call[int]:
        """Take back what dead consumers hold; returns how many entries."""
        return self._run("reap", [self.events_kept, most], int)

    def promote(self, most: int) -> Call[int]:
        """Queue what is due; returns how many tasks."""
        return self._run("promote", [self.events_kept, most], int)

    def sweep(self, offset: int, most: int) -> Call[tuple[int, int]]:
        """Forget index rows without a record; returns rows looked at and removed."""
        return self._run("sweep", [offset, most], lambda row: (int(row[0]), int(row[1])))

    def ping(self) -> Call[bool]:
        """Ask whether the server answers."""
        return Call(["PING"], bool)

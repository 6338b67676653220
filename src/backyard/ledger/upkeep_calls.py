"""What keeps a yard going between tasks: leases, what is due, what is left over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from backyard.ledger.call import Call, CallBuilder, Word, text_of


class UpkeepCalls(CallBuilder):
    """Calls that any worker makes for all."""

    def renew(self, lease: float, living: Sequence[str], retired: Sequence[str]) -> Call[list[str]]:
        """Renew the leases of a process's consumers; returns the retired ones that hold nothing any more."""
        words: list[Word] = [self.events_kept, int(lease * 1000), len(living), *living, *retired]
        return self._run("renew", words, lambda rows: [text_of(row) for row in rows])

    def guard(self, lease: float, consumers: Sequence[str]) -> Call[int]:
        """Renew leases that are there for a process that may be held up; returns how many."""
        return self._run("guard", [int(lease * 1000), *consumers], int)

    def bury(
        self, most: int, consumers: Sequence[str], reason: str, evidence: Mapping[str, Mapping[str, Any]]
    ) -> Call[tuple[int, bool]]:
        """Give back what a dead process's consumers hold; returns how many entries, and whether there are more.

        Args:
            most: Entries at once.
            consumers: Their names.
            reason: ``worker_lost``, which counts against a task, or ``shutdown``, which does not.
            evidence: What is known of the death, by task id; the one of ``""`` is for all others.
        """
        texts = {task_id: json.dumps(known) for task_id, known in evidence.items()}
        report = json.dumps({"consumers": list(consumers), "reason": reason, "evidence": texts})
        return self._run("bury", [self.events_kept, most, report], lambda row: (int(row[0]), bool(row[1])))

    def reap(self, most: int) -> Call[int]:
        """Take back what dead consumers hold; returns how many entries."""
        return self._run("reap", [self.events_kept, most], int)

    def promote(self, most: int) -> Call[int]:
        """Queue what is due; returns how many tasks."""
        return self._run("promote", [self.events_kept, most], int)

    def expire(self, most: int) -> Call[int]:
        """End what waits and may not start any more; returns how many tasks were looked at."""
        return self._run("expire", [self.events_kept, most], int)

    def turn(self, who: str, lasts: int) -> Call[int]:
        """Ask for the turn to go on with what any worker could do; 1 where it is given.

        Args:
            who: Who asks.
            lasts: Milliseconds for which others leave it to them.
        """
        return self._run("turn", [who, lasts], int)

    def sweep(self, offset: int, most: int) -> Call[tuple[int, int]]:
        """Forget index rows without a record; returns rows looked at and removed."""
        return self._run("sweep", [offset, most], lambda row: (int(row[0]), int(row[1])))

    def ping(self) -> Call[bool]:
        """Ask whether the server answers."""
        return Call(["PING"], bool)

"""What can be asked of queues and their entries: count, take, settle, purge."""

from __future__ import annotations

import json
from collections.abc import Sequence

from backyard.ledger.call import Call, CallBuilder, Word, text_of


class QueueCalls(CallBuilder):
    """Calls about queues and their entries."""

    def depth(self, queues: Sequence[str]) -> Call[dict[str, int]]:
        """Count ready entries of queues."""
        return self._run("depth", queues, lambda rows: dict(zip(queues, map(int, rows), strict=True)))

    def declare(self, queue: str) -> Call[int]:
        """Make a queue known."""
        return Call(["SADD", self.keys.queues, queue], int)

    def known(self, queue: str) -> Call[bool]:
        """Ask whether a queue is known."""
        return Call(["SISMEMBER", self.keys.queues, queue], bool)

    def drop_queue(self, queue: str) -> Call[int]:
        """Delete a queue, after its ready entries were discarded."""
        return self._run("drop_queue", [queue], int)

    def queues(self) -> Call[list[str]]:
        """List the names of queues."""
        return Call(["SMEMBERS", self.keys.queues], lambda rows: sorted(text_of(row) for row in rows))

    def take(self, consumer: str, most: int, lease: float, queues: Sequence[str]) -> Call[list[list[bytes]]]:
        """Hand entries to a consumer without waiting."""
        return self._run("take", [consumer, most, int(lease * 1000), *queues], list)

    def acknowledge(self, entries: Sequence[tuple[str, str, str]]) -> Call[int]:
        """Drop entries (queue, lane, entry id) that were dealt with."""
        return self._run("acknowledge", [word for entry in entries for word in entry], int)

    def give_back(self, entries: Sequence[tuple[str, str, str]], reason: str) -> Call[int]:
        """Give entries (queue, lane, entry id) back to the head of their queue."""
        words: list[Word] = [self.events_kept, reason, *(word for entry in entries for word in entry)]
        return self._run("give_back", words, int)

    def set_aside(self, queue: str, lane: str, entry: str, reason: str, kind: str = "Rejected") -> Call[str]:
        """Move an entry that no worker can run to the dead-letter stream, and end the task that waits for it.

        Args:
            queue: The queue.
            lane: Its lane.
            entry: The entry's id.
            reason: Why, for people.
            kind: The failure's type, as the task's record is to show it.
        """
        failure = json.dumps({"kind": "error", "type": kind, "message": reason})
        return self._run("set_aside", [self.events_kept, queue, lane, entry, reason, failure], text_of)

    def put(self, queue: str, lane: str, message: bytes) -> Call[bytes]:
        """Queue a message that is no task."""
        return self._run("put", [queue, lane, message], bytes)

    def purge(self, queue: str, most: int) -> Call[int]:
        """Discard ready entries."""
        return self._run("purge", [self.events_kept, queue, most], int)

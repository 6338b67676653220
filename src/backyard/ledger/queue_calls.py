"""What can be asked of queues and their entries: count, take, settle, purge."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from backyard.ledger.call import Call, CallBuilder, Word, text_of
from backyard.ledger.keys import GROUP, LANES

#: Entries that are discarded in one step: the server does nothing else meanwhile.
PURGED_AT_ONCE = 500


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

    def due(self, most: int) -> Call[list[str]]:
        """List the ids of tasks that wait for their time, the first to come first."""
        return Call(["ZRANGE", f"{self.keys.prefix}due", 0, most - 1], lambda rows: [text_of(row) for row in rows])

    def take(self, consumer: str, most: int, lease: float, queues: Sequence[str]) -> Call[list[list[bytes]]]:
        """Hand entries to a consumer without waiting."""
        return self._run("take", [consumer, most, int(lease * 1000), *queues], list)

    def wait(self, consumer: str, block: int, queues: Sequence[str]) -> Call[Any]:
        """Wait for an entry of queues, at most so many milliseconds; without queues, where nobody ever writes."""
        if not queues:
            return Call(["BLPOP", f"{self.keys.prefix}nothing", block / 1_000], list)
        keys = [self.keys.queue(queue, lane) for lane in LANES for queue in queues]
        words: list[Word] = ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", 1, "BLOCK", block, "STREAMS", *keys]
        return Call([*words, *[">"] * len(keys)], list)

    def acknowledge(self, entries: Sequence[tuple[str, str, str]], *, plain: bool = False) -> Call[int]:
        """Drop entries that were dealt with.

        Args:
            entries: Queue, lane and entry id of each.
            plain: Whether a plain Celery app says so, which may run the task only now, and may never tell how it ends.
        """
        return self._run("acknowledge", ["1" if plain else "", *(word for entry in entries for word in entry)], int)

    def give_back(
        self, entries: Sequence[tuple[str, str, str]], reason: str, evidence: Mapping[str, Any] | None = None
    ) -> Call[int]:
        """Give entries back to the head of their queue.

        Args:
            entries: Queue, lane and entry id of each.
            reason: Why; ``crashed`` and ``worker_lost`` count against a task that ran.
            evidence: What is known of it.
        """
        words: list[Word] = [self.events_kept, reason, "" if evidence is None else json.dumps(evidence)]
        words += [word for entry in entries for word in entry]
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

"""What can be asked of limits: what a task is under, what is paused, what waits in which queue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from backyard.core.queue import Pause, Queue
from backyard.ledger.call import Call, CallBuilder, Word, text_of
from backyard.ledger.keys import LANES

#: What can be paused.
Pausable = Literal["queue", "definition"]


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that a task is under.

    Args:
        name: Its name; tasks that share it share its slots or tokens.
        most: How many of them may run at once; for a rate how many tokens it saves up.
        interval: Milliseconds between two starts, for a rate; None for one of tasks at once.
    """

    name: str
    most: int
    interval: float | None = None

    def words(self) -> tuple[Word, Word, Word]:
        """Return the limit as ``start.lua`` reads it."""
        if self.interval is None:
            return self.name, "slots", self.most
        return self.name, "rate", f"{self.interval:.6f} {self.most}"


class LimitCalls(CallBuilder):
    """Calls about limits, pauses and what waits for them."""

    def pause(self, kind: Pausable, name: str, reason: str) -> Call[bool]:
        """Pause a queue or a definition; False where it was paused, and has another reason now."""
        return self._run("pause", [f"{kind}:{name}", json.dumps(reason)], bool)

    def resume(self, kind: Pausable, name: str) -> Call[bool]:
        """Resume it; False where it was not paused. What is parked goes on step by step, as the workers wake it."""
        return Call(["HDEL", f"{self.keys.prefix}paused", f"{kind}:{name}"], bool)

    def paused(self, kind: Pausable) -> Call[dict[str, Pause]]:
        """List what is paused, by name."""

        def read(row: Any) -> dict[str, Pause]:
            pairs = row.items() if isinstance(row, dict) else zip(row[::2], row[1::2], strict=True)
            found = ((*text_of(name).split(":", 1), value) for name, value in pairs)
            return {name: _pause(value) for sort, name, value in found if sort == kind}

        return Call(["HGETALL", f"{self.keys.prefix}paused"], read)

    def queue_states(self, queues: Sequence[str] = ()) -> Call[list[Queue]]:
        """Count what waits in queues; without names in all that are known."""

        def read(rows: list[Any]) -> list[Queue]:
            return [_queue(row) for row in rows]

        return self._run("queues", queues, read)


def _queue(row: list[Any]) -> Queue:
    name, held, parked, paused, waited, *ready = row
    return Queue(
        name=text_of(name), depth=sum(map(int, ready)), lanes=dict(zip(LANES, map(int, ready), strict=True)),
        oldest=None if int(waited) < 0 else int(waited) / 1000, running=int(held), parked=int(parked),
        paused=_pause(paused) if paused else None,
    )  # fmt: skip


def _pause(text: bytes | str) -> Pause:
    row = json.loads(text)
    return Pause(since=datetime.fromtimestamp(row["since"] / 1000, UTC), reason=str(row.get("reason", "")))

"""News: one line about a task, as it stands on the stream and as it is published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backyard.core.states import FINAL

#: The server's ids are pairs of 64-bit numbers; half of that is later than any event.
_TOO_LATE = 2**63


@dataclass(frozen=True, slots=True)
class News:
    """One event.

    Args:
        event_id: Its id on the stream, ``<milliseconds>-<number>``: what a watcher resumes from.
        task_id: The task.
        event: ``state``, ``progress``, ``log``, ``artifact``, ``cancel`` or ``replaced``.
        state: The state from then on.
        attempt: The latest attempt.
        data: What belongs to the event.
    """

    event_id: str
    task_id: str
    event: str
    state: str
    attempt: int
    data: Any

    @property
    def order(self) -> tuple[int, int]:
        """What to compare events by: ids sort as pairs of numbers, not as text."""
        return event_order(self.event_id)

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self.event == "state" and self.state in {str(state) for state in FINAL}

    def json(self) -> str:
        """Return the event as clients see it."""
        return json.dumps(
            {
                "task_id": self.task_id,
                "event": self.event,
                "state": self.state,
                "attempt": self.attempt,
                "at": self.order[0] / 1000,
                "data": self.data,
            },
            separators=(",", ":"),
        )


def event_order(event_id: str) -> tuple[int, int]:
    """Split an event id into its two numbers.

    Raises:
        ValueError: The text is no event id.
    """
    milliseconds, _, number = event_id.partition("-")
    order = int(milliseconds), int(number or 0)
    if not all(0 <= part < _TOO_LATE for part in order):
        raise ValueError(f"'{event_id}' is no event id.")
    return order


def read_entry(event_id: bytes, fields: Any) -> News:
    """Read an event from the stream; its fields come as a map or as a flat list."""
    pairs: Mapping[bytes, bytes] = (
        fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
    )
    return News(
        event_id.decode(),
        pairs[b"task"].decode(),
        pairs[b"event"].decode(),
        pairs[b"state"].decode(),
        int(pairs[b"attempt"]),
        json.loads(pairs[b"data"]),
    )


def read_published(payload: bytes | str) -> News:
    """Read an event from a task's channel."""
    row = json.loads(payload)
    return News(row["event_id"], row["task_id"], row["event"], row["state"], int(row["attempt"]), row["data"])

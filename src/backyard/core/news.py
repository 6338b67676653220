"""News: one line about a task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from backyard.core.states import FINAL

#: The server's ids are pairs of 64-bit numbers; half of that is later than any event.
_TOO_LATE = 2**63
#: Event of an operator's write; it belongs to no task.
AUDIT = "audit"


@dataclass(frozen=True)
class News:
    """One event. How clients see it is written once, however many there are.

    Args:
        event_id: Its id on the stream, ``<milliseconds>-<number>``: what a watcher resumes from.
        task_id: The task; empty where the event is no task's.
        event: ``state``, ``progress``, ``log``, ``artifact``, ``cancel``, ``replaced`` or ``audit``.
        state: The state from then on.
        attempt: The latest attempt.
        data: What belongs to the event.
        fields: What the record held of it when it happened, by field: for the history, and, where the task is final,
            for who waits for its result.
        left_out: Names of such fields that were too long for the stream, and are in the record.
    """

    event_id: str
    task_id: str
    event: str
    state: str
    attempt: int
    data: Any
    fields: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @cached_property
    def order(self) -> tuple[int, int]:
        """What to compare events by: ids sort as pairs of numbers, not as text."""
        return event_order(self.event_id)

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self.event == "state" and self.state in _FINAL

    @cached_property
    def text(self) -> str:
        """The event as clients see it: JSON on one line."""
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


_FINAL = frozenset(str(state) for state in FINAL)


def event_order(event_id: str) -> tuple[int, int]:
    """Split an event id into its two numbers.

    Raises:
        ValueError: The text is no event id.
    """
    milliseconds, _, number = event_id.partition("-")
    first, second = int(milliseconds), int(number or 0)
    if not (0 <= first < _TOO_LATE and 0 <= second < _TOO_LATE):
        raise ValueError(f"'{event_id}' is no event id.")
    return first, second

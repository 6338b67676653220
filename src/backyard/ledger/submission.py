"""A task to be accepted, and the ledger's answer to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backyard.ledger.call import Word


@dataclass(frozen=True, slots=True)
class Submission:
    """A task to be accepted.

    Args:
        task_id: Its id, made before sending, so that sending it twice makes one task.
        name: The definition's name.
        queue: The queue's name.
        lane: Which lane of the queue: high, normal or low.
        message: The Celery message, as the worker is to receive it.
        lifetime: Seconds the record is kept once final.
        due: Empty for now, ``+n`` in n milliseconds, or milliseconds since 1970.
        expires: When a task that has not started ends, written like ``due``.
        again: Celery's own rule for ids: a final task runs anew.
        attempt: The running attempt that sends its own task anew, for a retry.
        once: An Idempotency-Key.
        fingerprint: What a second use of that key must agree with.
        once_lifetime: Seconds the key is remembered.
        fields: What else the record holds, such as input and tags.
    """

    task_id: str
    name: str
    queue: str
    lane: str
    message: bytes
    lifetime: int
    due: str = ""
    expires: str = ""
    again: bool = False
    attempt: int | None = None
    once: str = ""
    fingerprint: str = ""
    once_lifetime: int = 0
    fields: Mapping[str, Word] = field(default_factory=dict)

    def words(self) -> list[Word]:
        """Return the submission in the order ``submit.lua`` reads it."""
        fields: list[Word] = ["name", self.name, "lifetime", self.lifetime]
        for name, value in self.fields.items():
            fields += (name, value)
        mode = "once" if not self.again else "again" if self.attempt is None else f"again {self.attempt}"
        return [
            self.task_id, mode, self.queue, self.lane, self.due, self.expires,
            self.once, self.fingerprint, self.once_lifetime, self.message, len(fields), *fields,
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a submission.

    Args:
        outcome: ``created``, ``exists`` (that id or key made a task before), ``retried`` or ``conflict``.
        task_id: The task's id; the earlier task's where the key was used before.
        state: Its state.
    """

    outcome: str
    task_id: str
    state: str

"""A task to be accepted, and the ledger's answer to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backyard.core.errors import QueueFullError
from backyard.ledger.call import Word, bytes_of, text_of
from backyard.ledger.record import Record


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
        expires: When a task that has not started ends, written like ``due``, or ``>n``, n milliseconds after it is due.
        again: Celery's own rule for ids: a final task runs anew.
        attempt: The running attempt that sends its own task anew, for a retry.
        plain: Whether it comes from a plain Celery app, whose tasks have no attempts and may be sent anew once handed
            out.
        once: An Idempotency-Key.
        fingerprint: What a second use of that key must agree with.
        once_lifetime: Seconds the key is remembered.
        unique: How long it is in the way of others like it (``until_start``, ``until_done`` or ``window``), with the
            key that they share; empty where it never is.
        window: Seconds that it is in their way, for ``window``.
        most: Tasks that its queue may hold; None is any number. What a task itself sends is never refused.
        more: Tasks that come with it in later calls, and have to fit as well.
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
    plain: bool = False
    once: str = ""
    fingerprint: str = ""
    once_lifetime: int = 0
    unique: str = ""
    window: float | None = None
    most: int | None = None
    more: int = 0
    fields: Mapping[str, Word] = field(default_factory=dict)

    def words(self) -> list[Word]:
        """Return the submission in the order ``submit.lua`` reads it."""
        fields: list[Word] = ["name", self.name, "lifetime", self.lifetime]
        for name, value in self.fields.items():
            fields += (name, value)
        mode = "again" if self.again else "once"
        if self.attempt is not None:
            mode = f"again {self.attempt}"
        elif self.plain:
            mode = "plain"
        return [
            self.task_id, mode, self.queue, self.lane, self.due, self.expires,
            self.once, self.fingerprint, self.once_lifetime,
            self.unique, "" if self.window is None else int(self.window * 1000),
            "" if self.most is None else f"{self.most} {self.more}", self.message, len(fields), *fields,
        ]  # fmt: skip

    def record(self, accepted: Accepted) -> Record:
        """Return what is shown of the record that the submission has made, without reading it.

        Args:
            accepted: The answer to it; its outcome is ``created``.
        """
        fields: dict[str, Word] = {
            "name": self.name, **self.fields, "state": accepted.state, "queue": self.queue, "lane": self.lane,
            "attempt": 0, "created": accepted.created, "due": accepted.due,
        }  # fmt: skip
        return Record(self.task_id, {name: bytes_of(value) for name, value in fields.items()})


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a submission.

    Args:
        outcome: ``created``, ``exists`` (that id or key made a task before, or one like it is in the way), ``retried``
            or ``conflict``.
        task_id: The task's id; the earlier task's where there is one.
        state: Its state.
        created: Where it was created, when, in milliseconds since 1970.
        due: When it is due, where it is scheduled; the same.
    """

    outcome: str
    task_id: str
    state: str
    created: str = field(default="", compare=False)
    due: str = field(default="", compare=False)


def read_accepted(rows: Sequence[Sequence[bytes]]) -> list[Accepted]:
    """Read the answer of ``submit.lua``.

    Raises:
        QueueFullError: A queue cannot hold all of the tasks, and none was accepted.
    """
    read = [[text_of(part) for part in row] for row in rows]
    for outcome, _, seconds, *place in read:
        if outcome == "full":
            queue, most = place
            raise QueueFullError(
                f"Queue '{queue}' may hold {int(most):,} tasks, and has no room for this. Nothing was accepted: "
                f"try again in {seconds} s, start more workers, or raise the limit (BACKYARD_MAX_QUEUED).",
                int(seconds),
            )
    return [Accepted(*row) for row in read]

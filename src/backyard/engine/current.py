"""The attempt that runs in this thread or coroutine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from backyard.core.models import Failure
from backyard.ledger.call import Call, Word
from backyard.ledger.task_calls import Moved, Started
from backyard.ledger.task_log import TaskLog


@dataclass(slots=True)
class Attempt:
    """One try of a task.

    Args:
        task_id: The task.
        number: The attempt's number, from 1; what it says is applied only while it is the latest.
        worker: The worker's name.
        encoded: The checked result as JSON, once there is one.
        failure: What went wrong, once something has.
        farewell: What the record is to hold while the task waits for its next attempt, once it is sent anew.
        stopped: Whether it ended because it was told to stop.
        replaced: Whether it put other tasks in its task's place.
        root_id: The task that all began with; empty where that is this one.
        secrets: Texts of its input that nobody is to see, the longest first.
        log: Where what it logs goes.
    """

    task_id: str
    number: int
    worker: str
    encoded: bytes | None = None
    failure: Failure | None = None
    farewell: dict[str, Word] | None = None
    stopped: bool = False
    replaced: bool = False
    root_id: str = ""
    secrets: tuple[str, ...] = ()
    log: TaskLog | None = None


_current: ContextVar[Attempt | None] = ContextVar("backyard_attempt", default=None)


def current_attempt(task_id: str) -> Attempt | None:
    """Return the running attempt, if it is one of that task."""
    attempt = _current.get()
    return attempt if attempt is not None and attempt.task_id == task_id else None


def attempt_here() -> Attempt | None:
    """Return the attempt that runs in this thread or coroutine; between two attempts, the one before."""
    return _current.get()


def running() -> bool:
    """Whether an attempt runs in this thread or coroutine."""
    return _current.get() is not None


def lineage(task_id: str) -> dict[str, str]:
    """Return what a task that is submitted here has to say of its family: nothing, where no other task runs here.

    Args:
        task_id: The task that is submitted.
    """
    attempt = _current.get()
    if attempt is None or attempt.task_id == task_id:
        return {}
    return {"parent_id": attempt.task_id, "root_id": attempt.root_id or attempt.task_id}


def set_current(attempt: Attempt | None) -> None:
    """Say which attempt runs here from now on. It stays the current one until its outcome is stored."""
    _current.set(attempt)


_accepted: ContextVar[tuple[str, str] | None] = ContextVar("backyard_accepted", default=None)


def note_accepted(sent: str, made: str) -> None:
    """Say which task a message made: itself, or one like it that was there before."""
    _accepted.set((sent, made))


def accepted_for(sent: str) -> str:
    """Return the task that the message sent last from here stands for."""
    known = _accepted.get()
    return known[1] if known is not None and known[0] == sent else sent


_raised: ContextVar[tuple[str, Exception] | None] = ContextVar("backyard_raised", default=None)


@contextmanager
def raised_before(task_id: str, error: Exception) -> Iterator[None]:
    """Let Celery see within to what a task raised, which has run already.

    Args:
        task_id: The task.
        error: What it raised.
    """
    token = _raised.set((task_id, error))
    try:
        yield
    finally:
        _raised.reset(token)


def what_was_raised(task_id: str) -> Exception | None:
    """Return what a task raised, where it has run already and Celery is to see to that alone."""
    known = _raised.get()
    return known[1] if known is not None and known[0] == task_id else None


class Turn(Protocol):
    """What runs the tasks of this process, where it talks to the ledger for many of them at once."""

    def started(self, task_id: str) -> Started | None:
        """Return the ledger's answer to a start, where that was asked for already."""

    def settle(self, task_id: str, call: Call[Moved]) -> bool:
        """Take an outcome on the way; False where it is not for this one to do."""


_turn: Turn | None = None


def set_turn(turn: Turn | None) -> None:
    """Say what runs the tasks of this process from now on; None, where each speaks for itself."""
    global _turn  # noqa: PLW0603 - one a process is the point
    _turn = turn


def started_ahead(task_id: str) -> Started | None:
    """Return the ledger's answer to a start, where that was asked for together with others."""
    return None if _turn is None else _turn.started(task_id)


def settled_later(task_id: str, call: Call[Moved]) -> bool:
    """Whether an outcome goes to the ledger together with others, and not now."""
    return _turn is not None and _turn.settle(task_id, call)

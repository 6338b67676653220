"""The attempt that runs in this thread or coroutine."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from backyard.core.models import Failure


@dataclass(slots=True)
class Attempt:
    """One try of a task.

    Args:
        task_id: The task.
        number: The attempt's number, from 1; what it says is applied only while it is the latest.
        worker: The worker's name.
        encoded: The checked result as JSON, once there is one.
        failure: What went wrong, once something has.
        stopped: Whether it ended because it was told to stop.
        replaced: Whether it put other tasks in its task's place.
    """

    task_id: str
    number: int
    worker: str
    encoded: bytes | None = None
    failure: Failure | None = None
    stopped: bool = False
    replaced: bool = False


_current: ContextVar[Attempt | None] = ContextVar("backyard_attempt", default=None)


def current_attempt(task_id: str) -> Attempt | None:
    """Return the running attempt, if it is one of that task."""
    attempt = _current.get()
    return attempt if attempt is not None and attempt.task_id == task_id else None


def running() -> bool:
    """Whether an attempt runs in this thread or coroutine."""
    return _current.get() is not None


def set_current(attempt: Attempt | None) -> None:
    """Say which attempt runs here from now on. It stays the current one until its outcome is stored."""
    _current.set(attempt)

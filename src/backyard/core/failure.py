"""Failures: made of exceptions, in the words of the record."""

from __future__ import annotations

import hashlib
import traceback
from types import TracebackType

from backyard.core.models import Failure, FailureKind

#: Frames of these are the machinery around a task, not its cause.
MACHINERY = ("/backyard/engine/", "/celery/app/", "/asyncio/", "/concurrent/futures/")
TRACEBACK_LIMIT = 100_000  # characters
MESSAGE_LIMIT = 10_000  # characters


def failure_of(error: BaseException, kind: FailureKind, text: str | None = None) -> Failure:
    """Describe an exception.

    Args:
        error: What was raised.
        kind: The sort of failure.
        text: A traceback as text, where the exception has lost its own.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _machinery(frame.filename)]
    shown = _traceback(error, error.__traceback__) or text
    causes = "|".join(f"{_written(frame.filename)}:{frame.name}" for frame in frames)
    digest = hashlib.sha1(f"{type(error).__qualname__}|{causes}".encode(), usedforsecurity=False).hexdigest()
    return Failure(
        kind=kind,
        type=type(error).__name__,
        message=_written(_told(error)[:MESSAGE_LIMIT]),
        traceback=_written(shown[-TRACEBACK_LIMIT:]) if shown else None,
        fingerprint=digest[:16],
    )


def _traceback(error: BaseException, trace: TracebackType | None) -> str | None:
    if trace is None:
        return None
    told = traceback.TracebackException.from_exception(error)
    _leave_out_machinery(told)
    return "".join(told.format())


def _leave_out_machinery(told: traceback.TracebackException) -> None:
    """Drop the machinery's frames, also from the errors that led to this one."""
    told.stack = traceback.StackSummary.from_list([frame for frame in told.stack if not _machinery(frame.filename)])
    for other in (told.__cause__, told.__context__, *(told.exceptions or ())):
        if other is not None:
            _leave_out_machinery(other)


def _told(error: BaseException) -> str:
    """Return the exception's text, also where its own ``__str__`` is broken."""
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a user's exception may do anything, and its failure is kept all the same
        return f"<no text: {type(broken).__name__} while it was written>"


def _written(text: str) -> str:
    """Return text that any encoder takes: file names and the like may hold lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def _machinery(filename: str) -> bool:
    return any(part in filename.replace("\\", "/") for part in MACHINERY)

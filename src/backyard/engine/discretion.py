"""Keeps the secrets of running attempts out of what is said of them: log records, and what a task raised."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from celery.exceptions import Retry as SentAnew

from backyard.core.errors import TaskFailedError
from backyard.core.log_line import interrupts
from backyard.core.models import Failure
from backyard.core.secrets import scrub, scrubbed

#: Secrets of the attempts that run in this process. Any thread of it may log them, and none knows whose they are.
_known: dict[int, tuple[str, ...]] = {}
_lock = threading.Lock()
_installed = False
#: What every log record has; the rest is what its caller gave as ``extra``.
_ITS_OWN = frozenset(vars(logging.makeLogRecord({})))


_NO_SECRETS: AbstractContextManager[None] = nullcontext()


def discreet(secrets: tuple[str, ...]) -> AbstractContextManager[None]:
    """Take secrets out of whatever this process logs within.

    Args:
        secrets: What must not be seen, the longest first.
    """
    return _discreet(secrets) if secrets else _NO_SECRETS


@contextmanager
def _discreet(secrets: tuple[str, ...]) -> Iterator[None]:
    _install()
    ours = object()
    _known[id(ours)] = secrets
    try:
        yield
    finally:
        del _known[id(ours)]


def _install() -> None:
    """Look at each log record when it is made: whoever handles it, by whatever logger, finds nothing in it."""
    global _installed  # noqa: PLW0603 - one factory a process is the point
    with _lock:
        if _installed:
            return
        before = logging.getLogRecordFactory()

        def make(*args: Any, **options: Any) -> logging.LogRecord:
            record = before(*args, **options)
            hush(record)
            return record

        logging.setLogRecordFactory(make)
        _installed = True


def hush(record: logging.LogRecord) -> None:
    """Take the secrets of running attempts out of a log record.

    Args:
        record: The record, as its handlers see it.
    """
    if not _known:
        return
    secrets = [secret for known in list(_known.values()) for secret in known]
    try:
        text = record.getMessage()
    except Exception as error:  # a task's own argument may do anything when it is written; its handlers say so
        if interrupts(error):
            raise
        return
    clean = scrub(text, secrets)
    if clean != text:
        record.msg, record.args = clean, None
    if record.exc_info and record.exc_info[1] is not None:
        told = "".join(traceback.format_exception(*record.exc_info))
        if (quiet := scrub(told, secrets)) != told:
            # Formatters take the text that is there, and write the exception anew where there is none.
            record.exc_text, record.exc_info = quiet.rstrip("\n"), None
    for name in vars(record).keys() - _ITS_OWN:
        value = getattr(record, name)
        if isinstance(value, str | list | dict):
            setattr(record, name, scrubbed(value, secrets))


def hushed(failure: Failure, secrets: Sequence[str]) -> Failure:
    """Return a failure with no secret in it."""
    if not secrets:
        return failure
    shown = failure.traceback and scrub(failure.traceback, secrets)
    return failure.model_copy(update={"message": scrub(failure.message, secrets), "traceback": shown})


def cleansed(error: BaseException, secrets: Sequence[str]) -> BaseException:
    """Return an exception that gives no secret away, nor do those that led to it: Celery shows and keeps them.

    It is the same one where its arguments say all that it shows. An exception that makes its text of something else
    gives way to a :class:`~backyard.core.errors.TaskFailedError` with the same text, without the secrets.

    Args:
        error: What a task raised.
        secrets: What must not be seen, the longest first.
    """
    return _cleansed(error, secrets, {}) if secrets else error


def _cleansed(error: BaseException, secrets: Sequence[str], done: dict[int, BaseException]) -> BaseException:
    if id(error) in done:
        return done[id(error)]
    done[id(error)] = error
    error.args = tuple(_argument(one, secrets) for one in error.args)
    notes = getattr(error, "__notes__", None)
    if notes:
        error.__notes__ = [scrub(str(note), secrets) for note in notes]
    if isinstance(error, SentAnew):
        error.message, error.excs = (one and scrub(str(one), secrets) for one in (error.message, error.excs))
        error.exc = error.exc and _cleansed(error.exc, secrets, done)
    for link in ("__cause__", "__context__"):
        led = getattr(error, link)
        if led is not None:
            hidden = error.__suppress_context__
            setattr(error, link, _cleansed(led, secrets, done))
            error.__suppress_context__ = hidden  # setting a cause changes it
    members = tuple(getattr(error, "exceptions", ()) or ())  # a group's, which cannot be replaced
    others = [_cleansed(one, secrets, done) for one in members if isinstance(one, BaseException)]
    told = _told(error)
    if scrub(told, secrets) != told or any(one not in members for one in others):
        done[id(error)] = _stand_in(error, scrub(told, secrets))
    return done[id(error)]


def _argument(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str | list | dict):
        return scrubbed(value, secrets)
    if isinstance(value, BaseException | int | float | None):
        return value
    text = repr(value)
    return value if scrub(text, secrets) == text else scrub(text, secrets)


def _told(error: BaseException) -> str:
    """Return all that is shown of an exception itself, without those that led to it."""
    try:
        return f"{error!r}\n{error}"
    except Exception as broken:  # a user's exception may do anything, and it is shown nowhere then
        if interrupts(broken):
            raise
        return ""


def _stand_in(error: BaseException, told: str) -> BaseException:
    other = TaskFailedError(f"{type(error).__name__}: {told.partition(chr(10))[2]}".rstrip(": "))
    other.__cause__, other.__context__ = error.__cause__, error.__context__
    other.__suppress_context__ = error.__suppress_context__
    return other.with_traceback(error.__traceback__)

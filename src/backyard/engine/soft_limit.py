"""When the soft time limit may interrupt: while the user's function runs, and at no other time.

A pool's main process tells its child by a signal that the time of a task is over, and the child raises an exception
wherever it is. While an attempt's outcome is on its way to the server, that would turn a success into a failure.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded

_SIGNAL = getattr(signal, "SIGUSR1", None)
_came = threading.Event()
_absent = False


@contextmanager
def absent() -> Iterator[None]:
    """Run tasks within that have no limit: no signal is to be held off then, which takes a tenth of the time."""
    global _absent  # noqa: PLW0603 - one a process is the point
    _absent = True
    try:
        yield
    finally:
        _absent = False


def hold_off() -> None:
    """Let the limit only be noted from now on; nothing is known to have come."""
    if _came.is_set():
        _came.clear()
    _set(_note)


def came() -> bool:
    """Whether the time was over since :func:`hold_off`, outside of what it may interrupt."""
    return _came.is_set()


_NO_LIMIT: AbstractContextManager[None] = nullcontext()


def heeded() -> AbstractContextManager[None]:
    """Let the limit interrupt what runs within.

    Raises:
        SoftTimeLimitExceeded: The time is over.
    """
    return _NO_LIMIT if _absent else _heeded()


@contextmanager
def _heeded() -> Iterator[None]:
    _set(_interrupt)
    try:
        yield
    finally:
        _set(_note)


def _note(*_: Any) -> None:
    _came.set()


def _interrupt(*_: Any) -> None:
    raise SoftTimeLimitExceeded


def _set(handler: Any) -> None:
    """Handle the signal so, in a pool's child; elsewhere it is no time limit, and belongs to somebody else."""
    if _absent or _SIGNAL is None or threading.current_thread() is not threading.main_thread():
        return
    present = signal.getsignal(_SIGNAL)
    if present in (_note, _interrupt) or getattr(present, "__name__", "") == "soft_timeout_sighandler":
        signal.signal(_SIGNAL, handler)

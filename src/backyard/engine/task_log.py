"""What a task logs in the usual way, by whatever library, goes into the task's own log."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from billiard.exceptions import SoftTimeLimitExceeded

from backyard.core.log_line import interrupts, let_through, level_of
from backyard.core.secrets import scrub
from backyard.engine.current import Attempt, attempt_here
from backyard.ledger.ledger import Ledger
from backyard.ledger.task_log import TaskLog
from backyard.logs import exception_of, extra_of, message_of

let_through(SoftTimeLimitExceeded)

#: Loggers of the machinery around a task, and those below them that speak for tasks all the same.
MACHINERY = frozenset({"backyard", "celery", "kombu", "amqp", "billiard", "multiprocessing"})
TASKS = ("celery.task", "celery.redirected", "backyard.demo")


class Capture(logging.Handler):
    """Puts what an attempt logs into its log. One a process; it never waits, and never fails."""

    def __init__(self) -> None:
        super().__init__()
        self.pid = os.getpid()
        self._open: dict[int, TaskLog] = {}

    def createLock(self) -> None:  # noqa: N802 - its name
        """Have none: a log sees to its own lines, and one attempt does not wait for another."""
        self.lock = None

    def open(self, log: TaskLog) -> None:
        """Take in what the attempt of a log says."""
        self._open[id(log)] = log

    def close_log(self, log: TaskLog) -> None:
        """Take in no more of it."""
        self._open.pop(id(log), None)

    def log_here(self) -> TaskLog | None:
        """Return the log of the attempt that runs here.

        A thread that a task has started does not know whose it is. Where one attempt runs, it is that one's; the main
        thread is the machinery's, where it runs no attempt itself.
        """
        attempt = attempt_here()
        if attempt is not None:
            return attempt.log if attempt.log is not None and not attempt.log.ended else None
        if len(self._open) != 1 or threading.current_thread() is threading.main_thread():
            return None
        return next(iter(self._open.copy().values()), None)

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record into the log of the attempt that runs here."""
        if os.getpid() != self.pid or of_machinery(record.name):
            return
        log = self.log_here()
        if log is None or record.levelno < log.least or log.full():
            return
        try:
            fields = extra_of(record)
            if fields.get("task_id") == log.task_id:  # of Celery's own formatter
                fields = {name: value for name, value in fields.items() if name not in ("task_id", "task_name")}
            log.write(
                message_of(record),
                level_of(record.levelno),
                record.created,
                logger=record.name,
                fields=fields,
                exception=exception_of(record),
            )
        except Exception as error:
            if interrupts(error):
                raise


def of_machinery(name: str) -> bool:
    """Whether a logger speaks for what is around tasks, not for them."""
    return name.partition(".")[0] in MACHINERY and not name.startswith(TASKS)


_ROOT = logging.getLogger()
#: Celery's loggers for tasks stand aside of the root, where Celery has set up logging.
_TASKS = logging.getLogger("celery.task")
_capture: Capture | None = None
_lock = threading.RLock()


def capture() -> Capture:
    """Return this process's handler; put in place again where somebody has set up logging anew."""
    global _capture  # noqa: PLW0603 - one a process is the point
    with _lock:
        if _capture is None or _capture.pid != os.getpid():
            _capture = Capture()
        for logger in (_ROOT,) if _TASKS.propagate else (_ROOT, _TASKS):
            if _capture not in logger.handlers:
                for handler in [one for one in logger.handlers if isinstance(one, Capture)]:
                    logger.removeHandler(handler)  # the parent's
                logger.addHandler(_capture)
        return _capture


def log_here() -> TaskLog | None:
    """Return the log of the attempt that runs here, in this process."""
    return None if _capture is None or _capture.pid != os.getpid() else _capture.log_here()


def open_log(attempt: Attempt, name: str, ledger: Ledger, level: str, room: int) -> TaskLog:
    """Make the log of an attempt, in which none of its secrets is to be seen.

    Args:
        attempt: The attempt.
        name: The task's name.
        ledger: Where its lines go.
        level: The least serious level that is kept.
        room: Bytes of lines that are kept.
    """

    def hide(text: str) -> str:
        return scrub(text, attempt.secrets)  # they become known after the start

    return TaskLog(ledger, attempt.task_id, attempt.number, name=name, room=room, level=level, scrub=hide)


def say_all(attempt: Attempt) -> None:
    """Send what an attempt has logged so far: it is about to leave its state, and would not be heard any more."""
    if attempt.log is not None:
        attempt.log.flush()


class Kept:
    """Keeps what is logged within with the task, all of it before what comes after.

    Args:
        attempt: The attempt that runs within.
        leaving: Whether an exception is the process's way to its end, which waits for no server.
    """

    __slots__ = ("_handler", "_leaving", "_log")

    def __init__(self, attempt: Attempt, leaving: Callable[[BaseException], bool]) -> None:
        self._log = attempt.log
        self._leaving = leaving

    def __enter__(self) -> None:
        if self._log is not None:
            self._handler = capture()
            self._handler.open(self._log)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._log is None:
            return
        try:
            self._log.close(patient=error is None or not self._leaving(error))
        finally:
            self._handler.close_log(self._log)

"""The worker's own log: each line says which task it is about, where that is known."""

from __future__ import annotations

import logging
import re
from typing import Any

from celery import signals
from celery._state import get_current_task
from celery.app.defaults import DEFAULT_PROCESS_LOG_FMT, DEFAULT_TASK_LOG_FMT
from celery.app.log import Logging, TaskFormatter
from celery.utils.log import ColorFormatter
from celery.worker import state as celery_state

from backyard.core.log_line import number_of
from backyard.engine.current import attempt_here
from backyard.engine.discretion import hush
from backyard.engine.task_log import MACHINERY, log_here, of_machinery
from backyard.logs import TASK, Mark, Stream, make_formatter

#: How the machinery names a task in its lines: Celery's by name and id, ours by id.
NAMED = re.compile(r"\b([\w.:-]+)\[([\w.:-]+)\]")
BY_ID = re.compile(r"\b[Tt]ask ([0-9A-Za-z]+-[\w.:-]*\w)")


class WhoseTask(logging.Filter):
    """Notes in each record which task it is about; drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Note it; what the record carries beside its text is looked through for secrets here, for it comes late."""
        hush(record)
        if TASK not in vars(record):
            setattr(record, TASK, mark_of(record))
        return True


def mark_of(record: logging.LogRecord) -> Mark | None:
    """Return name, id and attempt of the task that a record is about, as far as they are known."""
    return _told(record) if of_machinery(record.name) else _running()


def _running() -> Mark | None:
    """Return whose code runs here."""
    task = get_current_task()
    request_id = task.request.id if task is not None else None
    if request_id:
        return str(task.name), str(request_id), _attempt(request_id)
    log = log_here()
    return None if log is None else (log.name, log.task_id, str(log.attempt))


def _told(record: logging.LogRecord) -> Mark | None:
    """Return which task a line of the machinery speaks of, and where it speaks of none, in which it is spoken."""
    data = getattr(record, "data", None)
    if isinstance(data, dict) and "id" in data:
        name, task_id = str(data.get("name", "")), str(data["id"])
        return name, task_id, _attempt(task_id)
    text = str(record.msg) if not record.args else _text(record)
    found = NAMED.search(text) if record.name.startswith("celery.") else None
    if found:
        return found[1], found[2], _attempt(found[2])
    found = BY_ID.search(text)
    if found:
        return _name(found[1]), found[1], _attempt(found[1])
    return _running()


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return ""


def _attempt(task_id: str) -> str:
    attempt = attempt_here()
    return str(attempt.number) if attempt is not None and attempt.task_id == task_id else ""


def _name(task_id: str) -> str:
    attempt = attempt_here()
    if attempt is not None and attempt.task_id == task_id and attempt.log is not None:
        return attempt.log.name
    request = celery_state.requests.get(task_id)
    return "" if request is None else str(request.name)


class YardLogging(Logging):  # type: ignore[misc]  # Celery ships no types
    """Celery's set-up of logging, with our lines. What users set up by its settings and signals goes before it."""

    def ours(self) -> bool:
        """Whether the lines are ours: a format that was set for Celery is somebody's wish."""
        known = (DEFAULT_PROCESS_LOG_FMT, DEFAULT_TASK_LOG_FMT)
        return hasattr(self.app, "yard_settings") and (self.format, self.task_format) == known

    def setup_handlers(
        self,
        logger: Any,
        logfile: Any,
        format: Any,  # noqa: A002
        colorize: Any,
        formatter: Any = ColorFormatter,
        **options: Any,
    ) -> Any:
        """Give a logger a handler, unless it has one; what tasks log goes to that of the root."""
        if not self.ours():
            return super().setup_handlers(logger, logfile, format, colorize, formatter, **options)
        if formatter is TaskFormatter or self._is_configured(logger):
            return logger
        handler = self._detect_handler(logfile)
        if type(handler) is logging.StreamHandler:
            handler = Stream(handler.stream)
        handler.setFormatter(make_formatter(self.app.yard_settings.log_format, color=bool(colorize)))
        handler.addFilter(WhoseTask())
        logger.addHandler(handler)
        return logger

    def _configure_logger(self, logger: Any, logfile: Any, loglevel: Any, *given: Any, **options: Any) -> None:
        known = self._is_configured(logger)
        super()._configure_logger(logger, logfile, loglevel, *given, **options)
        least = self._least(loglevel)
        if logger is logging.getLogger() and not known and least < loglevel:
            # Tasks may log more than the worker shows: what is not shown has to be made all the same.
            for handler in logger.handlers:
                handler.setLevel(loglevel)
            logger.setLevel(least)
            for name in MACHINERY:
                logging.getLogger(name).setLevel(loglevel)

    def setup_task_loggers(self, loglevel: Any = None, *given: Any, **options: Any) -> Any:
        """Let what tasks log go the way of all that is logged."""
        if not self.ours():
            return super().setup_task_loggers(loglevel, *given, **options)
        logger = super().setup_task_loggers(loglevel, *given, **{**options, "propagate": True})
        logger.setLevel(self._least(logger.level))
        return logger

    def _least(self, level: int) -> int:
        return min(level, number_of(self.app.yard_settings.task_log_level)) if self.ours() else level


def be_quiet(instance: Any, **_: Any) -> None:
    """Print no banner where machines read."""
    settings = getattr(instance.app, "yard_settings", None)
    if settings is not None and settings.log_format == "json":
        instance.quiet = True


signals.celeryd_init.connect(be_quiet, weak=False)

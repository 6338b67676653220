"""How the log of a process looks: lines for people on a console, or JSON for machines."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.core import BaseJsonFormatter

from backyard.core.log_line import interrupts, marked, number_of, plain, written

#: What the logging module itself, who formats its records, and uvicorn put into a record; the rest is ``extra``.
KNOWN = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"})
#: What a JSON line says of itself; an extra field of such a name gets an underscore behind it.
OWN = frozenset({"time", "level", "logger", "message", "process", "task_id", "name", "attempt", "exception", "stack"})
#: Where a record carries whose it is: name, id and attempt of a task, empty where unknown.
TASK = "_backyard_task"
COLORS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
WIDTH = 8  # of the column with the level

Mark = tuple[str, str, str]


def message_of(record: logging.LogRecord) -> str:
    """Return what a record says. Arguments that do not fit, or cannot be written, are no reason to say nothing."""
    try:
        return record.getMessage()
    except Exception as error:
        if interrupts(error):
            raise
        return f"{written(record.msg)} (its arguments cannot be written: {type(error).__name__})"


def exception_of(record: logging.LogRecord) -> str:
    """Return the traceback that a record comes with, and its stack; empty where there is none."""
    found = record.exc_text or ""
    if not found and isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
        try:
            found = logging.Formatter().formatException(record.exc_info)
        except Exception as error:
            if interrupts(error):
                raise
            found = f"{record.exc_info[0].__name__}, whose traceback cannot be written: {type(error).__name__}"
    return "\n".join(part for part in (found, record.stack_info) if part)


def extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that whoever logged a record added to it; Celery adds what its line says already."""
    known = KNOWN | {"data"} if record.name.startswith("celery.") else KNOWN
    return {name: value for name, value in vars(record).items() if name not in known and not name.startswith("_")}


class ConsoleFormatter(logging.Formatter):
    """Time, level, logger, the task, and what is said.

    Args:
        color: Whether warnings and errors are colored.
    """

    def __init__(self, *, color: bool = False) -> None:
        super().__init__()
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as a line, with its traceback below."""
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        level = f"{record.levelname:<{WIDTH}}"
        if self._color and record.levelname in COLORS:
            level = f"\x1b[{COLORS[record.levelname]}m{level}\x1b[0m"
        message = message_of(record)
        mark: Mark | None = getattr(record, TASK, None)
        # Celery's own lines say name and id themselves.
        whose = f"[{' '.join(part for part in mark if part)}] " if mark and mark[1] not in message else ""
        line = f"{clock},{int(record.msecs):03} {level} {record.name}: {whose}{message}"
        exception = exception_of(record)
        return f"{line}\n{exception}" if exception else line


class JsonFormatter(BaseJsonFormatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as a line."""
        data: dict[str, Any] = {}
        self.add_fields(data, record, {})
        return self.serialize_log_record(self.process_log_record(data))

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],  # noqa: ARG002 - its signature
    ) -> None:
        """Say what a record says, each thing once."""
        at = datetime.fromtimestamp(record.created, UTC)
        log_data["time"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        log_data |= {"level": record.levelname.lower(), "logger": record.name, "message": message_of(record)}
        log_data["process"] = record.process
        name, task_id, attempt = getattr(record, TASK, None) or ("", "", "")
        if task_id:
            log_data |= {"task_id": task_id, "name": name}
        if attempt:
            log_data["attempt"] = int(attempt)
        for key, value in extra_of(record).items():
            log_data[marked(key, OWN)] = value
        exception = exception_of(record)
        if exception:
            log_data["exception"] = exception

    def jsonify_log_record(self, log_data: Mapping[str, Any]) -> str:
        """Write a line; what is no JSON becomes text."""
        exact = {key: log_data[key] for key in ("message", "exception") if key in log_data}
        return json.dumps({**{key: plain(value) for key, value in log_data.items()}, **exact})


class Stream(logging.StreamHandler[Any]):
    """Writes to a stream, and lets through what interrupts whoever logs."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name
        """Go on after an error in what is logged; one that is meant for the caller reaches it."""
        if interrupts(sys.exc_info()[1]):
            raise  # noqa: PLE0704 - called where it is caught
        super().handleError(record)


def make_formatter(form: str, *, color: bool = False) -> logging.Formatter:
    """Return what writes records.

    Args:
        form: ``console`` or ``json``.
        color: Whether a console's lines are colored.
    """
    return JsonFormatter() if form == "json" else ConsoleFormatter(color=color)


def set_up(form: str, level: str, *, own: tuple[str, ...] = ()) -> None:
    """Set up the log of a process that has no other: on standard error, unless the program has seen to that itself.

    Args:
        form: ``console`` or ``json``.
        level: The least serious level.
        own: Loggers that are written in any case, whatever the program has set up.
    """
    handler = Stream()
    handler.setFormatter(make_formatter(form, color=sys.stderr.isatty()))
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(handler)
        root.setLevel(number_of(level))
        logging.captureWarnings(True)  # noqa: FBT003 - its signature
    for name in own:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(number_of(level))

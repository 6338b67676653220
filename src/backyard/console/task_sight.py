"""All that the page of a task shows of it, read from the ledger and from the history."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from backyard.console.task_timeline import Attempt, attempts_seen
from backyard.core.errors import BackyardError, HistoryUnavailableError, UnknownTaskError
from backyard.core.log_line import LEVELS, OWN, chosen
from backyard.core.models import Progress, TaskView
from backyard.core.states import FINAL, RUNNING
from backyard.core.why import Why
from backyard.desk.past import ask, past_log, past_view
from backyard.history.queries import attempts_of
from backyard.ledger.record import Record
from backyard.ledger.task_calls import LOG_LINES

if TYPE_CHECKING:
    from backyard.app import Backyard

#: Log lines on a page; a link leads to all that are kept.
SHOWN_LINES = 200
#: Attempts that are listed; a task that is lost or retried again and again has hundreds.
_SHOWN_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a running task gets on.

    Args:
        progress: Its latest report.
        rate: Units a second since its attempt began; None while that is unknown.
        left: Seconds to go at that rate; None where that is unknown.
    """

    progress: Progress
    rate: float | None
    left: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a task logged.

    Args:
        key: What it is told apart by on the page.
        at: When it was logged.
        level: How serious it is.
        message: What it says.
        fields: What else belongs to it.
        exception: A traceback; empty where there is none.
    """

    key: str
    at: datetime
    level: str
    message: str
    fields: Mapping[str, Any]
    exception: str

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Line:
        """Make a line of what the ledger or the history keeps of it."""
        seconds = float(line.get("at", 0))
        return cls(
            f"{seconds * 1_000_000:.0f}", datetime.fromtimestamp(seconds, UTC), str(line.get("level", "info")),
            str(line.get("message", "")), {name: value for name, value in line.items() if name not in OWN},
            str(line.get("exception", "")),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Log:
    """The newest lines of a task's log.

    Args:
        lines: The lines, oldest first.
        level: The least serious level.
        more: Whether there are older ones.
        missing: Why they cannot be shown; empty where they can.
    """

    lines: Sequence[Line]
    level: str
    more: bool = False
    missing: str = ""

    @property
    def levels(self) -> Sequence[str]:
        """All levels, from the least serious to the most."""
        return LEVELS


@dataclass(frozen=True, slots=True)
class Sight:
    """A task as its page shows it.

    Args:
        view: The task.
        attempts: Its attempts, the wait for the next one included.
        why: Why it is where it is; None where it has ended.
        pace: How fast it gets on; None where it does not run, or has not said.
        missing: What cannot be shown and why; empty where all can.
        past: Whether the history alone knows it.
    """

    view: TaskView
    attempts: Sequence[Attempt]
    why: Why | None
    pace: Pace | None
    missing: str
    past: bool

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.view.state in FINAL


async def view_of(yard: Backyard, task_id: str) -> tuple[TaskView, Record | None]:
    """Return a task, and its record where the ledger has it still.

    Raises:
        UnknownTaskError: Nobody knows it.
        HistoryUnavailableError: The ledger does not, and the history's database is away.
    """
    try:
        record = await yard.ledger.arecord(task_id)
    except UnknownTaskError:
        return await past_view(yard, task_id), None
    return record.view(), record


async def sight_of(yard: Backyard, task_id: str) -> Sight:
    """Return all that is shown of a task but its log, its relatives and its artifacts.

    Raises:
        UnknownTaskError: Nobody knows it.
        HistoryUnavailableError: The ledger does not, and the history's database is away.
    """
    view, record = await view_of(yard, task_id)
    now = datetime.now(UTC)
    missing = ""
    rows, why = await asyncio.gather(_attempts(yard, task_id), _why(yard, view))
    if isinstance(rows, HistoryUnavailableError):
        missing, rows = rows.message, []
    pace = None
    if record is not None and record.progress is not None and view.state in RUNNING:
        pace = pace_of(record.progress, view.date_started, now)
    attempts = attempts_seen(view, rows, now)[-_SHOWN_ATTEMPTS:]
    return Sight(view, attempts, why, pace, missing, record is None)


def pace_of(progress: Progress, started: datetime | None, now: datetime) -> Pace:
    """Return how fast a task gets on, from its latest report and the time since its attempt began.

    Args:
        progress: The report.
        started: When the attempt began.
        now: The time.
    """
    seconds = (now - started).total_seconds() if started else 0.0
    if seconds <= 0 or progress.current <= 0:
        return Pace(progress, None, None)
    rate = progress.current / seconds
    left = None if progress.total is None else max(0.0, progress.total - progress.current) / rate
    return Pace(progress, rate, left)


async def lines_of(yard: Backyard, task_id: str, level: str, most: int) -> list[Line]:
    """Return the newest lines that a task logged, oldest first.

    Args:
        yard: The yard.
        task_id: A task that the ledger or the history knows.
        level: The least serious level.
        most: Lines at most.

    Raises:
        HistoryUnavailableError: The history alone has them, and its database is away.
    """
    lines = await yard.ledger.arun(yard.ledger.calls.log(task_id))
    if not lines:
        try:
            await yard.ledger.arecord(task_id)
        except UnknownTaskError:
            lines = await past_log(yard, task_id, LOG_LINES)
    return [Line.of(line) for line in chosen(lines, level, limit=most)]


async def _attempts(yard: Backyard, task_id: str) -> list[dict[str, Any]] | HistoryUnavailableError:
    try:
        return await ask(yard, lambda past: attempts_of(past, task_id))
    except HistoryUnavailableError as error:
        return error


async def _why(yard: Backyard, view: TaskView) -> Why | None:
    if view.state in FINAL:
        return None
    try:
        return await yard.why(view.task_id)
    except BackyardError:  # its record's lifetime may end between two looks
        return None

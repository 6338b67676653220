"""What the pages of definitions show: how each does, of late and in a day."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backyard.console.charts import Chart, Frame
from backyard.console.overview import draw
from backyard.core.definition import Definition
from backyard.core.errors import HistoryUnavailableError, LedgerUnavailableError
from backyard.core.models import TaskView
from backyard.core.queue import Pause
from backyard.core.states import State
from backyard.core.task_filter import TaskFilter
from backyard.desk.listing import history_page, ledger_page
from backyard.desk.past import ask
from backyard.desk.ranges import RANGES, span_of
from backyard.history.database import History
from backyard.history.statistics import definitions_of, errors_of, series_of

if TYPE_CHECKING:
    from backyard.app import Backyard

#: Tasks of each list, and groups of errors.
ROWS = 8
LATELY, DAY = "1h", "24h"


@dataclass(frozen=True, slots=True)
class Listed:
    """A definition in the catalogue.

    Args:
        definition: The definition.
        paused: Since when it is paused, and why; None where it is not.
        lately: What happened to its tasks in the last hour; None where nothing did, or nobody knows.
        day: The same of the last day.
    """

    definition: Definition
    paused: Pause | None
    lately: Mapping[str, Any] | None
    day: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Numbers:
    """What happened to the tasks of a definition in a time.

    Args:
        total: Counts, share of failures, percentiles; None where nothing happened.
        charts: The same, point by point.
        missing: Why they are not known; empty where they are.
    """

    total: Mapping[str, Any] | None = None
    charts: Sequence[Chart] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Tasks:
    """The latest tasks of a definition.

    Args:
        recent: The newest.
        failed: The newest that failed.
        causes: Groups of failures, those that came last first.
        missing: Why some of this is not known; empty where all is.
    """

    recent: Sequence[TaskView] = ()
    failed: Sequence[TaskView] = ()
    causes: Sequence[Mapping[str, Any]] = field(default=())
    missing: str = ""


async def paused_in(yard: Backyard) -> Mapping[str, Pause]:
    """Return what is paused; definitions are known without the server as well."""
    try:
        return await yard.paused_definitions()
    except LedgerUnavailableError:
        return {}


async def catalogue_of(yard: Backyard, words: str) -> tuple[list[Listed], str]:
    """Return the definitions by name, and why what happened to them is not known, if so.

    Args:
        yard: The yard.
        words: Words that are in their names, summaries or queues, all of them; empty is all definitions.
    """
    paused, (lately, day, missing) = await asyncio.gather(paused_in(yard), _sums(yard))
    wanted = words.lower().split()
    return [
        Listed(one, paused.get(name), lately.get(name), day.get(name))
        for name, one in sorted(yard.definitions.items())
        if all(word in f"{name} {one.summary} {one.policy.queue}".lower() for word in wanted)
    ], missing


_Sums = Mapping[str, Mapping[str, Any]]


async def _sums(yard: Backyard) -> tuple[_Sums, _Sums, str]:
    def both(history: History) -> tuple[_Sums, _Sums]:
        lately, day = (definitions_of(history, *span_of(one))[1] for one in (LATELY, DAY))
        return lately, day

    try:
        return *(await ask(yard, both)), ""
    except (HistoryUnavailableError, LedgerUnavailableError) as error:
        return {}, {}, error.message


async def numbers_of(yard: Backyard, name: str, chosen: str) -> Numbers:
    """Return what happened to a definition's tasks in a time.

    Args:
        yard: The yard.
        name: The definition.
        chosen: The time, by the name of its range.
    """

    def both(history: History) -> Numbers:
        since, until = span_of(chosen)
        total = definitions_of(history, since, until, [name])[1].get(name)
        step, points = series_of(history, since, until, [name])
        frame = Frame([point["at"] for point in points], step, float(RANGES[chosen]))
        return Numbers(total, draw(frame, points)[:2] if total else ())

    try:
        return await ask(yard, both)
    except (HistoryUnavailableError, LedgerUnavailableError) as error:
        return Numbers(missing=error.message)


async def tasks_of(yard: Backyard, name: str) -> Tasks:
    """Return the latest tasks of a definition, and why they failed.

    Args:
        yard: The yard.
        name: The definition.
    """
    wanted = TaskFilter(name=(name,))
    failed = TaskFilter(name=(name,), state=(State.FAILURE,))
    try:
        causes = await ask(yard, lambda past: errors_of(past, name=name, limit=ROWS))
        newest, failures = await asyncio.gather(
            history_page(yard, wanted, ROWS, brief=True), history_page(yard, failed, ROWS, brief=True)
        )
    except HistoryUnavailableError as error:
        return await _from_ledger(yard, wanted, failed, error.message)
    except LedgerUnavailableError as error:
        return Tasks(missing=error.message)
    return Tasks(newest.tasks, failures.tasks, causes)


async def _from_ledger(yard: Backyard, wanted: TaskFilter, failed: TaskFilter, missing: str) -> Tasks:
    try:
        (newest, _), (failures, _) = await asyncio.gather(
            ledger_page(yard, wanted, ROWS), ledger_page(yard, failed, ROWS)
        )
    except LedgerUnavailableError as error:
        return Tasks(missing=error.message)
    return Tasks([one.view() for one in newest], [one.view() for one in failures], missing=missing)

"""The page that a stranger sees first: how the yard does, now and lately."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import Response

from backyard.console import queues, troubles
from backyard.console.charts import Chart, Frame, Series, Spark, bars, lines, spark
from backyard.console.errors import path_of as causes_path
from backyard.console.page import Page, get
from backyard.console.spans import chosen_range, ranges
from backyard.console.workers import path_of as workers_path
from backyard.core.definition import Definition
from backyard.core.errors import HistoryUnavailableError, LedgerUnavailableError
from backyard.core.schedule import ScheduleView
from backyard.core.task_filter import TaskFilter
from backyard.desk.past import ask
from backyard.desk.ranges import RANGES, span_of
from backyard.history.causes import causes_in
from backyard.history.database import History
from backyard.history.queries import counts_of
from backyard.history.statistics import total_and_series

if TYPE_CHECKING:
    from backyard.app import Backyard

#: Rows of each list.
ROWS = 6
#: Groups of errors that are looked at: those that rise the most.
_LOOKED_AT = 20
#: Bars of a chart, about: more would be thinner than a finger, and each is a row of the table beside it.
_BARS = 64
_NEVER = datetime.max.replace(tzinfo=UTC)
#: The regions with the charts and with the lists; the others do without what only these show.
_CHARTS, _LISTS = "overview-lately", "overview-lists"


@dataclass(frozen=True, slots=True)
class Rising:
    """A cause of failures that came more often in a time than in the one before.

    Args:
        group: The group, as the history shows it.
        now: How often it came in the time.
        before: How often it came in the time before.
        spark: Both times as a curve.
    """

    group: dict[str, Any]
    now: int
    before: int
    spark: Spark


@dataclass(frozen=True, slots=True)
class Past:
    """What the history knows of a time.

    Args:
        missing: Why it knows nothing; empty where it does.
        total: What happened in it.
        charts: Drawn from it.
        rising: Causes of failures that rise.
        states: All tasks by state, of all time.
    """

    missing: str = ""
    total: dict[str, Any] = field(default_factory=dict)
    charts: Sequence[Chart] = ()
    rising: Sequence[Rising] = ()
    states: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sight:
    """What the page shows while the server answers.

    Args:
        rows: The queues, those that hold the most first.
        schedules: Those that will tick, the next to come first.
        past: What the history knows.
        new: Whether no task was ever submitted.
    """

    rows: Sequence[queues.Row]
    schedules: Sequence[ScheduleView]
    past: Past
    new: bool

    def sum(self, name: str) -> int:
        """Return how many tasks all queues hold in a way: ``depth``, ``running`` or ``parked``."""
        return sum(getattr(row.queue, name) for row in self.rows)

    @property
    def oldest(self) -> float | None:
        """Seconds that the oldest task waits; None where none does."""
        return max((row.queue.oldest for row in self.rows if row.queue.oldest is not None), default=None)


async def show(page: Page) -> Response:
    """Show how the yard does."""
    chosen = chosen_range(page)
    facts, found = await troubles.look(page.yard)
    sight = None
    if not facts.away:
        with contextlib.suppress(LedgerUnavailableError):  # it went away since; the next look says so
            sight = await _look(page, chosen)
    return page.show(
        "overview/show.html",
        troubles=found,
        facts=facts,
        sight=sight,
        start=_start(page) if sight and sight.new else None,
        workers=sorted(facts.workers, key=lambda one: (one.alive, one.worker_name)),
        slots=sum(one.max_concurrency for one in facts.living()),
        most=ROWS,
        chosen=chosen,
        ranges=ranges(),
        seconds=RANGES[chosen],
        since={"15m": "15min"}.get(chosen, chosen),
        path_of=queues.path_of,
        tasks_of=queues.tasks_of,
        cause_path=causes_path,
        worker_path=workers_path,
    )


async def _look(page: Page, chosen: str) -> Sight:
    (rows, _), schedules, past = await asyncio.gather(
        queues.rows_of(page.yard, curves=page.region in {"", _LISTS}), page.yard.schedules(), _past(page, chosen)
    )
    coming = [one for one in schedules if one.next_tick is not None and one.status == "active"]
    return Sight(
        rows=sorted(rows, key=lambda one: (-one.queue.depth - one.queue.parked, one.queue.name)),
        schedules=sorted(coming, key=lambda one: (one.next_tick or _NEVER, one.schedule_id)),
        past=past,
        new=await _is_new(page.yard, past),
    )


# -- the past -----------------------------------------------------------------------------------------------------


async def _past(page: Page, chosen: str) -> Past:
    drawn, listed = page.region in {"", _CHARTS}, page.region in {"", _LISTS}
    try:
        return await ask(page.yard, lambda past: _asked(past, chosen, drawn=drawn, listed=listed))
    except HistoryUnavailableError as error:
        return Past(missing=error.message)


def _asked(history: History, chosen: str, *, drawn: bool, listed: bool) -> Past:
    since, until = span_of(chosen)
    total, step, points = total_and_series(history, since, until, most=_BARS)
    states, _ = counts_of(history, TaskFilter())
    rising = _rising(history, since, until) if listed else []
    if not drawn:
        return Past(total=total, states=states, rising=rising)
    frame = Frame([point["at"] for point in points], step, RANGES[chosen])
    return Past("", total, draw(frame, points), rising, states)


def draw(frame: Frame, points: Sequence[dict[str, Any]]) -> list[Chart]:
    """Return the charts of what happened.

    Args:
        frame: The times of the points.
        points: What happened, see :func:`~backyard.history.statistics.series_of`.
    """
    ended = [
        Series(name.capitalize(), name, [point[name] for point in points])
        for name in ("succeeded", "failed", "revoked")
    ]
    waits, runs = (
        [Series(share, share, [point[kind][share] for point in points]) for share in ("p50", "p95", "p99")]
        for kind in ("wait", "run")
    )
    return [
        bars("throughput", "Tasks that ended", frame, ended),
        lines("waits", "Wait before the start", frame, waits, durations=True),
        lines("runs", "Run", frame, runs, durations=True),
    ]


def _rising(history: History, since: int, until: int) -> list[Rising]:
    """Return what came more often than in the time before, of the same length."""
    found = causes_in(history, 2 * since - until, until, order="rising", limit=_LOOKED_AT)
    rows = []
    for group in found:
        middle = (len(group["points"]) + 1) // 2
        before, now = sum(group["points"][:-middle]), sum(group["points"][-middle:])
        if now > before:
            rows.append(Rising(group, now, before, spark(group["points"], "Failures in this time and the one before")))
    return rows[:ROWS]


# -- a yard that nobody has used yet --------------------------------------------------------------------------------


async def _is_new(yard: Backyard, past: Past) -> bool:
    """Whether no task was ever submitted, as far as anybody knows."""
    if past.states:
        return False
    _, some = await yard.ledger.arun(yard.ledger.calls.index(None, 1))
    return not some


@dataclass(frozen=True, slots=True)
class Start:
    """How to submit the first task.

    Args:
        name: The definition.
        path: The path of its form.
        curl: A command that does the same.
    """

    name: str
    path: str
    curl: str


def _start(page: Page) -> Start | None:
    """Return how to submit the first task; None where there is no definition."""
    known = sorted(page.yard.definitions.values(), key=lambda one: (one.example is None, one.name))
    if not known:
        return None
    first: Definition = known[0]
    url = str(page.request.url.replace(path=f"{page.api}/tasks/{quote(first.name, safe='')}", query=""))
    body = shlex.quote(json.dumps(first.example or {}, ensure_ascii=False))
    curl = f"curl -X POST {shlex.quote(url)} \\\n  -H 'Content-Type: application/json' \\\n  -d {body}"
    return Start(first.name, f"/definitions/{quote(first.name, safe='')}", curl)


ADDRESSES = (get("/", show),)

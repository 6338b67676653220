"""The attempts of a task as spans of time, drawn to scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from backyard.core.models import TaskView
from backyard.core.states import FINAL, RUNNING, State

#: Attempts that are drawn; those before are in the table alone.
DRAWN = 20
#: Least width of a span, in percent of the whole: what is shorter could not be seen.
_LEAST = 0.5
_TICKS = 5
_STEPS = (1, 2, 5, 10, 15, 20, 30)
_SECONDS_IN = (0.001, 0.01, 0.1, 1, 60, 3_600, 86_400, 864_000)
_FINAL_WORDS = {str(state) for state in FINAL}


@dataclass(frozen=True, slots=True)
class Span:
    """A part of an attempt's time.

    Args:
        kind: ``waited`` for its time, ``queued`` for a worker, or ``ran``.
        start: When it began.
        end: When it ended; now, where it goes on.
        open: Whether it goes on.
    """

    kind: str
    start: datetime
    end: datetime
    open: bool = False

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, or the wait for one that has not begun.

    Args:
        number: Its number; 0 where it has not begun.
        spans: Its parts, in order.
        worker: The worker that ran it.
        outcome: A final state, RETRY, or why it was cut off; empty while it goes on.
        failure: What went wrong, in a line.
    """

    number: int
    spans: tuple[Span, ...]
    worker: str | None = None
    outcome: str = ""
    failure: str = ""

    @property
    def began(self) -> datetime | None:
        """When it began to run."""
        return next((span.start for span in self.spans if span.kind == "ran"), None)

    def seconds(self, kind: str) -> float | None:
        """Return how long a part of it took, in seconds; None where it has none."""
        found = [span.seconds for span in self.spans if span.kind == kind]
        return sum(found) if found else None


@dataclass(frozen=True, slots=True)
class Bar:
    """A span as it is drawn: place and width in percent of the whole."""

    span: Span
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """All that is drawn.

    Args:
        attempts: Each with its bars.
        ticks: Places in percent, with the seconds since the task was accepted.
        earlier: Attempts before those that are drawn.
    """

    attempts: Sequence[tuple[Attempt, Sequence[Bar]]]
    ticks: Sequence[tuple[float, float]]
    earlier: int


def attempts_seen(view: TaskView, rows: Sequence[Mapping[str, Any]], now: datetime) -> list[Attempt]:
    """Return the attempts of a task, the wait for the next one included.

    Args:
        view: The task as it is now; it may be ahead of the history.
        rows: Its attempts as the history has them, from the first on.
        now: The time.
    """
    known = [dict(row) for row in rows]
    if view.attempt > (known[-1]["attempt"] if known else 0):
        known.append({"attempt": view.attempt, "worker": view.worker, "ready": None, "started": view.date_started})
    found: list[Attempt] = []
    before = view.date_created
    for row in known:
        latest = row["attempt"] == view.attempt
        if latest and not row.get("ended") and view.state in FINAL:
            row["ended"], row["outcome"] = view.date_done, str(view.state)
        attempt = _attempt(row, before, now, running=latest and view.state in RUNNING)
        before = attempt.spans[-1].end if attempt.spans else before
        found.append(attempt)
    return [*found, *_to_come(view, found, before, now)]


def _attempt(row: Mapping[str, Any], before: datetime, now: datetime, *, running: bool) -> Attempt:
    started = row.get("started")
    if started is None:
        return Attempt(row["attempt"], (), row.get("worker"))
    ready = max(before, min(row.get("ready") or before, started))
    ended = now if running else row.get("ended") or started
    spans = [
        Span("waited", before, ready), Span("queued", ready, max(ready, started)),
        Span("ran", started, max(started, ended), running),
    ]  # fmt: skip
    failure = row.get("failure") or {}
    said = ": ".join(str(failure[name]) for name in ("type", "message") if failure.get(name))
    return Attempt(
        row["attempt"], tuple(span for span in spans if span.seconds > 0 or span.kind == "ran"), row.get("worker"),
        "" if running else row.get("outcome") or "", said,
    )  # fmt: skip


def _to_come(view: TaskView, found: Sequence[Attempt], before: datetime, now: datetime) -> list[Attempt]:
    """Return the wait for an attempt that has not begun, if there is one, or was one when the task ended."""
    over = view.state in FINAL
    if view.state in RUNNING or (over and found and found[-1].outcome in _FINAL_WORDS):
        return []
    end = view.date_done or before if over else now
    due = view.date_due if view.date_due and view.date_due > before else None
    ready = end if view.state in (State.SCHEDULED, State.RETRY) else min(due, end) if due else before
    spans = [Span("waited", before, ready, not over and ready == end), Span("queued", ready, max(ready, end), not over)]
    kept = tuple(span for span in spans if span.seconds > 0)
    return [Attempt(0, kept, outcome=str(view.state) if over else "")] if kept else []


def drawn(attempts: Sequence[Attempt]) -> Timeline | None:
    """Return attempts to scale; None where there is nothing to draw."""
    shown = attempts[-DRAWN:]
    spans = [span for attempt in shown for span in attempt.spans]
    if not spans:
        return None
    first, last = spans[0].start, max(span.end for span in spans)
    whole = max((last - first) / timedelta(seconds=1), 0.001)

    def bar(span: Span) -> Bar:
        width = min(max(100 * span.seconds / whole, _LEAST), 100)
        place = 100 * (span.start - first).total_seconds() / whole
        return Bar(span, round(min(place, 100 - width), 3), round(width, 3))

    rows = [(attempt, [bar(span) for span in attempt.spans]) for attempt in shown]
    ticks = [(round(100 * at / whole, 3), at) for at in _ticks(whole)]
    return Timeline(rows, ticks, len(attempts) - len(shown))


def _ticks(whole: float) -> list[float]:
    """Return round numbers of seconds from 0 up to a whole, a handful of them."""
    steps = sorted({unit * step for unit in _SECONDS_IN for step in _STEPS})
    step = next((step for step in steps if whole / step <= _TICKS), steps[-1])
    return [number * step for number in range(min(int(whole / step), 2 * _TICKS) + 1)]

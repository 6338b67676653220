"""The goals that the figures are held against: each a row of its own, with what must hold and what is aimed at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.contenders import ALONE, BARE, BULLMQ, COROUTINES, HANDWIRED, LIBRARIES, OURS, PAIR, WATCHED, Contender
from benchmarks.figures import Figures, Found

Value = Callable[[Figures], float | None]
_ACKNOWLEDGING: Final = [one for one in LIBRARIES if one.acknowledges]
_MB: Final = " MB"


@dataclass(frozen=True)
class Goal:
    """One line of the table.

    Attributes:
        about: What is compared.
        value: What was measured.
        must: The bound that has to hold; None where there is an aim only.
        aim: The bound that is aimed at.
        unit: Written behind numbers.
        digits: Of numbers, behind the point.
        most: Whether the bounds are upper ones.
    """

    about: str
    value: Value
    must: float | None
    aim: float
    unit: str = ""
    digits: int = 2
    most: bool = False

    def holds(self, found: float, bound: float) -> bool:
        """Say whether a bound holds."""
        return found <= bound if self.most else found >= bound

    def shown(self, number: float) -> str:
        """Write a number as people read it."""
        return f"{number:,.{self.digits}f}{self.unit}"

    def bound(self, number: float | None) -> str:
        """Write a bound."""
        if number is None:
            return ""
        return f"{'at most' if self.most else 'at least'} {f'{number:,.3f}'.rstrip('0').rstrip('.')}{self.unit}"


def of(row: str, who: Contender, name: str) -> Value:
    """Return what reads a median."""
    return lambda figures: figures.median(row, who.name, name)


def ratio(row: str, who: Contender, others: Sequence[Contender], name: str) -> Value:
    """Return what divides a median by the best, the largest, of others."""

    def read(figures: Figures) -> float | None:
        mine = figures.median(row, who.name, name)
        theirs = [found for one in others if (found := figures.median(row, one.name, name))]
        return mine / max(theirs) if mine is not None and theirs else None

    return read


def loss(row: str, who: Contender, base: Contender, name: str) -> Value:
    """Return what says how many percent less one is than another."""

    def read(figures: Figures) -> float | None:
        share = ratio(row, who, [base], name)(figures)
        return (1 - share) * 100 if share is not None else None

    return read


def worst(row: str, who: Contender, name: str) -> Value:
    """Return what reads the largest of all rounds."""
    return lambda figures: figures.worst(row, who.name, name)


_RATE: Final = "per_second"
_TASKS: Final = "tasks_per_second"
GOALS: Final = (
    Goal("submits/s at 32 connections: times the hand-wired stack", ratio("submit", OURS, [HANDWIRED], _RATE), 5, 7),
    Goal("the same: times the best library", ratio("submit", OURS, LIBRARIES, _RATE), 1.3, 1.9),
    Goal("the same: share of a bare `async` endpoint", ratio("submit", OURS, [BARE], _RATE), 0.6, 0.75),
    Goal(
        "submit at 128 connections, p99: share of the hand-wired stack's",
        ratio("submit_128", OURS, [HANDWIRED], "p99_ms"), 0.25, 0.125, most=True, digits=3,
    ),
    Goal("submit at 512 connections: errors", worst("submit_512", OURS, "errors"), 0, 0, most=True, digits=0),
    Goal("batch of 10,000 in one call, validated: tasks/s", of("batch", OURS, _TASKS), 15_000, 40_000, digits=0),
    Goal("status by GET: times an `AsyncResult` endpoint", ratio("look", OURS, [HANDWIRED], _RATE), 2, 3),
    Goal("worker, empty tasks/s: times stock Celery", ratio("worker", OURS, [HANDWIRED], _TASKS), 6, 10),
    Goal(
        "the same: times the best library that acknowledges", ratio("worker", OURS, _ACKNOWLEDGING, _TASKS), 1.5, 3
    ),
    Goal("the same: times BullMQ", ratio("worker", OURS, [BULLMQ], _TASKS), None, 1),
    Goal(
        "worker, processor time a task: share of stock Celery's", ratio("worker", OURS, [HANDWIRED], "worker_us"),
        0.2, 0.125, most=True, digits=3,
    ),
    Goal(
        "1,000 `async` tasks that sleep 1 s, one process", of("coroutines", COROUTINES, "seconds"), 2, 1.3, " s",
        most=True,
    ),
    Goal(
        "submit to result, p50: share of stock Celery's", ratio("wait", OURS, [HANDWIRED], "p50_ms"), 0.8, 0.5,
        most=True,
    ),
    Goal("the same, p99", ratio("wait", OURS, [HANDWIRED], "p99_ms"), 1.2, 1.0, most=True),
    Goal("throughput lost with history", loss("worker", OURS, ALONE, _TASKS), 15, 5, " %", 1, most=True),
    Goal("throughput lost with history and Flower", loss("worker", WATCHED, ALONE, _TASKS), 30, 15, " %", 1, most=True),
    Goal("event in a worker to 1,000 watchers, p99", of("watch", OURS, "p99_ms"), 100, 50, " ms", 1, most=True),
    Goal("tasks of 1 ms on two processes: share of 2,000/s", of("one_ms", OURS, "share_of_ideal"), 0.75, 0.9),
    Goal(
        "200 tasks of 1 ms to 2 s on two workers: times the ideal", of("mixed", PAIR, "times_ideal"), 1.15, 1.05,
        most=True,
    ),
    Goal(
        "Redis memory a queued task, 200 bytes of input", of("memory", OURS, "bytes_a_task"), 1_500, 1_000, " bytes", 0,
        most=True,
    ),
    Goal("idle memory: API", of("idle", OURS, "api_pss_mb"), 110, 90, _MB, 0, most=True),
    Goal("idle memory: a worker of two processes", of("idle", OURS, "worker_pss_mb"), 180, 130, _MB, 0, most=True),
    Goal("idle memory: keeper", of("idle", OURS, "keeper_pss_mb"), 110, 80, _MB, 0, most=True),
    Goal("help of the command line", of("startup", OURS, "help_seconds"), 0.3, 0.15, " s", most=True),
    Goal("`backyard up` to ready", of("startup", OURS, "up_seconds"), 4, 2.5, " s", most=True),
)  # fmt: skip


def verdict(goal: Goal, found: float | None) -> str:
    """Say how a goal stands."""
    if found is None:
        return "not measured"
    if goal.holds(found, goal.aim):
        return "aim reached"
    if goal.must is None:
        return "aim missed"
    return "holds" if goal.holds(found, goal.must) else "MISSED"


def goals_text(found: Found) -> str:
    """Return the table as plain text, without what was not measured."""
    figures = Figures(found)
    lines = []
    for goal in GOALS:
        value = goal.value(figures)
        if value is not None:
            bounds = f"must: {goal.bound(goal.must) or 'none'}, aim: {goal.bound(goal.aim)}"
            lines.append(f"{goal.about:66}{goal.shown(value):>14}  {verdict(goal, value):12}  {bounds}")
    return "\n".join(lines)

"""What is measured, of whom, and how large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import batch, lengths, look, memory, startup, submit, wait, watch, worker
from benchmarks.contenders import (
    ALONE,
    BARE,
    COROUTINES,
    DURABLE,
    HANDWIRED,
    LIBRARIES,
    OURS,
    PAIR,
    PEERS,
    SYNC,
    WATCHED,
    Contender,
)
from benchmarks.stage import Stage

Measure = Callable[[Stage, Contender], dict[str, Any]]


@dataclass(frozen=True)
class Row:
    """What is measured, and of whom.

    Attributes:
        name: Its name on the command line and in the JSON.
        measure: Measures one contender once.
        contenders: Who is measured, in turns.
        quick: Who is measured in the quick part.
    """

    name: str
    measure: Measure
    contenders: Sequence[Contender]
    quick: Sequence[Contender] = ()


def rows(size: float = 1.0) -> list[Row]:
    """Return all rows.

    Args:
        size: Of everything that has one: 1 for figures that are shown, less to see whether it goes.
    """
    return [*_doors(size), *_workers(size), *_lengths(size), *_news(size), *_resources(size)]


def _of(most: float, least: int, size: float) -> int:
    """Return a number of things, as many as the size asks for."""
    return max(least, int(most * size))


def _doors(size: float) -> list[Row]:
    """What goes in over HTTP, and is looked at."""
    seconds = 4 * size

    def submits(connections: int) -> Measure:
        return lambda stage, one: submit.measure(stage, one, connections, seconds)

    pair = (OURS, HANDWIRED)
    return [
        Row("submit", submits(32), (OURS, BARE, HANDWIRED, *LIBRARIES, DURABLE), (OURS, BARE, HANDWIRED)),
        Row("submit_128", submits(128), pair, pair),
        Row("submit_512", submits(512), pair),
        Row("batch", lambda stage, one: batch.measure(stage, one, _of(10_000, 10, size)), (OURS, DURABLE), (OURS,)),
        Row("look", lambda stage, one: look.measure(stage, one, 32, seconds / 2), pair, pair),
    ]


def _workers(size: float) -> list[Row]:
    """Empty tasks."""
    everybody = (OURS, HANDWIRED, *PEERS, ALONE, WATCHED, DURABLE)

    def tasks(stage: Stage, one: Contender) -> dict[str, Any]:
        return worker.measure(stage, one, _of(one.tasks, 100, size))

    return [Row("worker", tasks, everybody, (OURS, HANDWIRED))]


def _lengths(size: float) -> list[Row]:
    """Tasks that take their time."""
    second, coroutines = str(max(0.05, size)), _of(1_000, 20, size)

    def lasting(number: int, kind: str, at_once: int) -> Measure:
        return lambda stage, one: lengths.measure(stage, one, number, kind, at_once)

    return [
        Row("coroutines", lasting(coroutines, second, coroutines), (COROUTINES,)),
        Row("one_ms", lasting(_of(6_000, 50, size), "0.001", 2), (OURS, HANDWIRED)),
        Row("mixed", lasting(_of(200, 4, size), "mixed", 2), (PAIR, HANDWIRED)),
    ]


def _news(size: float) -> list[Row]:
    """Results that are waited for, and events that are watched."""

    def asked(stage: Stage, one: Contender) -> dict[str, Any]:
        return wait.measure(stage, one, "ask_sync" if one is SYNC else "ask", _of(1_000, 10, size))

    return [
        Row("wait", asked, (OURS, SYNC, HANDWIRED), (OURS, HANDWIRED)),
        Row("watch", lambda stage, one: watch.measure(stage, one, _of(1_000, 2, size), _of(20, 2, size)), (OURS,)),
    ]


def _resources(size: float) -> list[Row]:
    """Memory, and the time of a start."""
    return [
        Row("memory", lambda stage, one: memory.queued(stage, one, _of(10_000, 10, size)), (OURS,)),
        Row("idle", lambda stage, one: memory.idle(stage, one, 2 * size), (OURS, HANDWIRED)),
        Row("startup", startup.measure, (OURS,)),
    ]

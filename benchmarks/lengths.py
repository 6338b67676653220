"""How close do tasks that take their time come to what their lengths alone allow?

Workers are up and idle; then the tasks are submitted. Measured is from the first start to the last outcome.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.outcomes import last_outcome
from benchmarks.peers.inputs import lengths
from benchmarks.stage import Stage
from benchmarks.worker import await_marks, cpu_of


def measure(stage: Stage, contender: Contender, number: int, kind: str, at_once: int) -> dict[str, Any]:
    """Let workers run tasks of known lengths.

    Args:
        stage: Where.
        contender: Who.
        number: How many tasks.
        kind: Their lengths; see ``inputs.lengths``.
        at_once: How many tasks can run at once.

    Returns:
        Seconds in all, the ideal, and their ratio; microseconds of processor a task.
    """
    with stage.turn(contender):
        marks = stage.make_marks(number)
        stage.start_companions(contender)
        workers = [stage.start(words) for words in contender.workers_of_two()]
        for one in workers:
            one.await_line(contender.ready)
        used = cpu_of(workers)
        filler = stage.start(contender.fill(number, kind))
        await_marks(marks, 1, [*workers])
        began = time.time()
        filler.child.wait()
        await_marks(marks, number, workers)
        seconds = max(0.001, last_outcome(stage, contender, number) - began)  # a first look may come late
        marks.check()
        best = ideal(lengths(kind, number), at_once)
        return {
            "seconds": round(seconds, 3), "ideal_seconds": round(best, 3), "times_ideal": round(seconds / best, 3),
            "tasks_per_second": round(number / seconds, 1), "share_of_ideal": round(best / seconds, 3),
            "worker_us": round((cpu_of(workers) - used) / number * 1e6, 1),
        }  # fmt: skip


def ideal(seconds: Sequence[float], at_once: int) -> float:
    """Return how long tasks take that are begun in their order, each as soon as there is a place, at no cost."""
    places = [0.0] * at_once
    for one in seconds:
        heapq.heapreplace(places, places[0] + one)
    return max(places)

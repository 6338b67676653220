"""How fast do workers run empty tasks, and what does a task cost them?

The queue is filled before the worker starts. Measured is from when a tenth of the tasks has run, so that nobody's
start counts, to when the last result was stored.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.outcomes import await_recorded, last_outcome, submitted
from benchmarks.processes import PATIENCE, MeasureError, Program
from benchmarks.stage import Marks, Stage

_POLL = 0.005


def measure(stage: Stage, contender: Contender, number: int) -> dict[str, Any]:
    """Let two processes of a contender run empty tasks.

    Args:
        stage: Where.
        contender: Who.
        number: How many tasks.

    Returns:
        Tasks a second, and microseconds of processor a task: of the workers, what runs beside them, and the server.
    """
    with stage.turn(contender):
        marks = stage.make_marks(number)
        companions = stage.start_companions(contender)
        stage.run(contender.fill(number))
        if (waiting := submitted(stage, contender)) != number:
            raise MeasureError(f"{contender.name} has {waiting} tasks waiting, and {number} were submitted.")
        if companions:
            await_recorded(stage)
        workers = [stage.start(words) for words in contender.workers_of_two()]
        await_marks(marks, number // 10, workers)
        began, before = time.time(), marks.done()
        used = [cpu_of(workers), cpu_of(companions), stage.server_cpu()]
        await_marks(marks, number, workers)
        seconds = max(0.001, last_outcome(stage, contender, number) - began)
        parts = [cpu_of(workers), cpu_of(companions), stage.server_cpu()]
        marks.check()
        tasks = max(1, number - before)  # of a few, all may have run before the first look
        costs = [round((after - earlier) / tasks * 1e6, 1) for after, earlier in zip(parts, used, strict=True)]
        return {
            "tasks_per_second": round(tasks / seconds, 1), "worker_us": costs[0], "companions_us": costs[1],
            "server_us": costs[2], "worker_pss_mb": round(sum(one.memory().pss for one in workers), 1),
        }  # fmt: skip


def cpu_of(programs: list[Program]) -> float:
    """Return the seconds of processor that programs have used."""
    return sum(one.cpu() for one in programs)


def await_marks(marks: Marks, number: int, workers: list[Program]) -> None:
    """Wait until so many tasks have run.

    Raises:
        MeasureError: It takes more than two minutes.
    """
    end = time.monotonic() + 2 * PATIENCE
    while (done := marks.done()) < number:
        if time.monotonic() > end:
            raise MeasureError(f"Of {marks.number} tasks, {done} have run in {2 * PATIENCE:g} s.")
        for one in workers:
            one.check()
        time.sleep(_POLL)

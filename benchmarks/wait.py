"""How long does it take from a submit to its result in hand, one task at a time?"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.figures import percentile
from benchmarks.outcomes import await_recorded
from benchmarks.stage import Stage


def measure(stage: Stage, contender: Contender, function: str, number: int) -> dict[str, Any]:
    """Submit a task and take its result, so many times.

    Args:
        stage: Where.
        contender: Who.
        function: What does it, in the contender's module.
        number: How often.

    Returns:
        Latencies in milliseconds.
    """
    with stage.turn(contender):
        marks = stage.make_marks(number + 1_000)
        workers = [stage.start(words) for words in contender.workers_of_two()]
        for one in workers:
            one.await_line(contender.ready)
        if stage.start_companions(contender):
            await_recorded(stage)
        words = ["python", "-m", "benchmarks.peers.ask", contender.module, function, str(number)]
        latencies = json.loads(stage.run(contender.command(words)).splitlines()[-1])
        marks.check_none_twice()
        return {"p50_ms": percentile(latencies, 0.5), "p99_ms": percentile(latencies, 0.99)}

"""How fast are many tasks submitted in one call?"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.look import call
from benchmarks.outcomes import submitted
from benchmarks.processes import MeasureError
from benchmarks.stage import Stage
from benchmarks.submit import ORDER


def measure(stage: Stage, contender: Contender, number: int) -> dict[str, Any]:
    """Submit a batch over HTTP, validated, in one call.

    Args:
        stage: Where.
        contender: Who.
        number: How many tasks.

    Returns:
        Tasks a second, and microseconds of processor a task.
    """
    with stage.turn(contender):
        program, port = stage.serve(contender)
        warm = len(call(port, "/tasks/take_order/batch", [ORDER] * 100)["task_ids"])
        used = program.cpu(), stage.server_cpu()
        began = time.perf_counter()
        answer = call(port, "/tasks/take_order/batch", [ORDER] * number)
        seconds = time.perf_counter() - began
        if answer["count"] != number or (found := submitted(stage, contender)) != number + warm:
            raise MeasureError(f"Of {number} tasks, {answer['count']} were accepted, and {found - warm} are there.")
        return {
            "tasks_per_second": round(number / seconds, 1), "seconds": round(seconds, 3),
            "api_us": round((program.cpu() - used[0]) / number * 1e6, 1),
            "server_us": round((stage.server_cpu() - used[1]) / number * 1e6, 1),
        }  # fmt: skip

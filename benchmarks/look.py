"""How fast is a task's status read over HTTP?"""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.processes import PATIENCE, MeasureError
from benchmarks.stage import Stage
from benchmarks.submit import ORDER, load, request


def measure(stage: Stage, contender: Contender, connections: int, seconds: float) -> dict[str, Any]:
    """Read the status of one task that has ended, over many connections.

    Returns:
        Reads a second, latencies in milliseconds, errors, and microseconds of processor a request.
    """
    with stage.turn(contender):
        program, port = stage.serve(contender)
        worker = stage.start(contender.workers_of_two()[0])
        task_id = call(port, "/tasks/take_order", ORDER)["task_id"]
        end = time.monotonic() + PATIENCE
        while "SUCCESS" not in call(port, f"/tasks/{task_id}").values():
            worker.check()
            if time.monotonic() > end:
                raise MeasureError(f"{contender.name} never ran its task.")
            time.sleep(0.02)
        worker.stop()
        used = program.cpu(), stage.server_cpu()
        figures = load(port, request("GET", f"/tasks/{task_id}"), connections, seconds)
        answers = max(1, figures.pop("answers"))
        figures["api_us"] = round((program.cpu() - used[0]) / answers * 1e6, 1)
        figures["server_us"] = round((stage.server_cpu() - used[1]) / answers * 1e6, 1)
        return figures


def call(port: int, path: str, body: Any = None) -> Any:
    """Send one request, a POST where there is a body, and return its answer."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=data, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=PATIENCE) as found:  # noqa: S310 - loopback
        return json.load(found)

"""How long does news take from a task in a worker to many who watch it?"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.look import call
from benchmarks.processes import PATIENCE, ROOT, MeasureError
from benchmarks.stage import Stage


def measure(stage: Stage, contender: Contender, watchers: int, reports: int) -> dict[str, Any]:
    """Let one task report its progress to many watchers, each over a stream of Server-Sent Events.

    Args:
        stage: Where.
        contender: Who.
        watchers: How many watch.
        reports: How often the task reports.

    Returns:
        Milliseconds from the report to its arrival, over all watchers and reports.
    """
    with stage.turn(contender):
        stage.start_companions(contender)
        _, port = stage.serve(contender)
        task_id = call(port, "/tasks/report", {"number": reports, "pause": 0.25})["task_id"]
        words = [sys.executable, "-m", "benchmarks.watchers", str(port), f"/tasks/{task_id}/events", str(watchers)]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as crowd:
            assert crowd.stdout is not None
            ready = crowd.stdout.readline()
            workers = [stage.start(one) for one in contender.workers_of_two()]
            try:
                told, _ = crowd.communicate(timeout=PATIENCE + reports)
            except subprocess.TimeoutExpired:
                crowd.kill()
                for one in workers:
                    one.check()
                shown = call(port, f"/tasks/{task_id}")
                raise MeasureError(f"The watchers said {ready!r}, and their streams did not end; {shown}") from None
        figures: dict[str, Any] = json.loads(told)
        if figures["received"] != watchers * reports:
            raise MeasureError(f"{figures['received']} of {watchers * reports} reports came.")
        return figures

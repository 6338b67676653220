"""How long does the command line take to answer, and how long until the whole stack is ready?"""

from __future__ import annotations

import subprocess
import time
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.stage import Stage

from backyard.embedded.ports import free_port


def measure(stage: Stage, contender: Contender) -> dict[str, Any]:
    """Ask for help three times, and start everything once: its own server, API, worker, keeper and Flower.

    Returns:
        Seconds, and seconds of processor for the help.
    """
    with stage.turn(contender):
        command = contender.command(["backyard", "--help"])
        took: list[float] = []
        for _ in range(3):
            began = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            took.append(time.perf_counter() - began)
        ports = ["--port", str(free_port()), "--flower-port", str(free_port())]
        began = time.perf_counter()
        words = contender.command(["backyard", "up", "benchmarks.peers.ours:yard", *ports])
        program = stage.start(words, BACKYARD_REDIS_URL="", REDIS_URL="")
        program.await_line("Backyard is ready.")
        return {"help_seconds": round(min(took), 3), "up_seconds": round(time.perf_counter() - began, 3)}

"""How fast are tasks submitted over HTTP, one a request, and how long does a client wait?"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

from benchmarks.contenders import BARE, Contender
from benchmarks.outcomes import submitted
from benchmarks.processes import PATIENCE, ROOT, MeasureError
from benchmarks.stage import Stage

ORDER: Final = {"customer": 7, "articles": ["book", "lamp"], "note": "Leave it with the neighbours, and ring twice."}


def request(method: str, path: str, body: Any = None) -> bytes:
    """Write a request as it goes over the line."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = (
        f"{method} {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(content)}",
    )  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + content


SUBMIT: Final = request("POST", "/tasks/take_order", ORDER)


def load(port: int, message: bytes, connections: int, seconds: float) -> dict[str, Any]:
    """Send a request over many connections, from a process of its own; returns its figures."""
    words = [sys.executable, "-m", "benchmarks.load", str(port), str(connections), str(seconds)]
    done = subprocess.run(
        words, input=message, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=seconds + PATIENCE
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def measure(stage: Stage, contender: Contender, connections: int, seconds: float) -> dict[str, Any]:
    """Submit over many connections.

    Returns:
        Submits a second, latencies in milliseconds, errors, and microseconds of processor a request: of the HTTP server
        and of the Redis server.
    """
    with stage.turn(contender):
        program, port = stage.serve(contender)
        used = program.cpu(), stage.server_cpu()
        figures = load(port, SUBMIT, connections, seconds)
        answers = figures.pop("answers")
        figures["api_us"] = round((program.cpu() - used[0]) / max(answers, 1) * 1e6, 1)
        figures["server_us"] = round((stage.server_cpu() - used[1]) / max(answers, 1) * 1e6, 1)
        if contender is not BARE and not figures["errors"] and (found := submitted(stage, contender)) != answers:
            raise MeasureError(f"{contender.name} accepted {answers} tasks, and has {found}.")
        return figures

"""How long do requests hold the API's event loop up?

Starts the embedded server and the role ``backyard api``, drives it from this process over 32 connections, in turns
with a bare endpoint of the same app, and prints for each kind of request: requests a second, latency, and how late a
timer of 1 ms came in the API's event loop, in all and by the API's own doing: what its process was computing meanwhile,
where other programs may have had the core for the rest. The bound is 50 ms for the longest hold-up of its own.

    python benchmarks/loop_blocking.py [--seconds 3] [--rounds 3] [--connections 32] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backyard.embedded.ports import free_port
from backyard.embedded.server import EmbeddedServer

HERE = Path(__file__).parent
BOUND = 50.0
ORDER = {"order": {"customer": 7, "articles": ["book", "lamp"], "note": "no hurry"}, "copies": 2}


def request(method: str, path: str, body: Any = None) -> bytes:
    """Write a request as it goes over the line."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = (
        f"{method} {path} HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    )
    return "\r\n".join([*lines, "", ""]).encode() + content


async def answer(reader: asyncio.StreamReader) -> int:
    """Read one response, and return its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r")[0]
    await reader.readexactly(int(length))
    return int(head[9:12])


async def drive(port: int, message: bytes, connections: int, seconds: float) -> list[float]:
    """Send one request again and again over each of many connections; returns the latencies in seconds."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**26)
        while (begin := time.perf_counter()) < end:
            writer.write(message)
            status = await answer(reader)
            if status >= 300:
                raise RuntimeError(f"{message[:60]!r} was answered with {status}")
            latencies.append(time.perf_counter() - begin)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    return latencies


def percentile(values: list[float], share: float) -> float:
    """Return a percentile, in milliseconds."""
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1_000, 2)


class Api:
    """The running API.

    Args:
        port: Where it listens.
    """

    def __init__(self, port: int) -> None:
        self.port = port

    def post(self, path: str) -> Any:
        """Send a request and return its answer."""
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method="POST")
        with urllib.request.urlopen(asked, timeout=60) as found:  # noqa: S310 - loopback
            return json.load(found)

    def measure(self, message: bytes, connections: int, seconds: float) -> dict[str, Any]:
        """Drive one kind of request, and return its figures."""
        self.post("/ticks")
        latencies = asyncio.run(drive(self.port, message, connections, seconds))
        ticks = self.post("/ticks")
        late = [one[0] for one in ticks]
        return {
            "requests": len(latencies),
            "requests_per_second": round(len(latencies) / seconds),
            "latency_ms": {"p50": percentile(latencies, 0.5), "p99": percentile(latencies, 0.99)},
            "held_up_ms": {"p50": percentile(late, 0.5), "p99": percentile(late, 0.99), "max": percentile(late, 1)},
            # The part that is our own doing: other programs may have had the core meanwhile.
            "own_ms": {"p99": percentile(list(map(min, ticks)), 0.99), "max": percentile(list(map(min, ticks)), 1)},
        }


@contextmanager
def running(role: str) -> Iterator[Api]:
    """Run the server and the API for a while."""
    port = free_port()
    commands = {
        "backyard": ["-m", "backyard", "api", "watched_app:app", "--port", str(port)],
        "uvicorn": ["-m", "uvicorn", "watched_app:app", "--port", str(port), "--no-access-log"],
    }
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(folder) as server:
        environment = {**os.environ, "BACKYARD_REDIS_URL": server.url, "BACKYARD_DATA_DIR": folder}
        child = subprocess.Popen(
            [sys.executable, *commands[role]], cwd=HERE, env=environment, stderr=subprocess.DEVNULL
        )
        try:
            api = Api(port)
            wait_for(lambda: api.post("/ticks"))
            yield api
        finally:
            child.terminate()
            child.wait(30)


def wait_for(ask: Callable[[], Any]) -> None:
    """Ask until there is an answer."""
    end = time.monotonic() + 60
    while True:
        try:
            ask()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def kinds() -> dict[str, tuple[bytes, int | None]]:
    """Return what is measured: the request, and how many connections if not the usual number."""
    task = "/tasks/take_order"
    return {
        "bare endpoint": (request("POST", "/bare", ORDER), None),
        "submit": (request("POST", task, ORDER), None),
        "submit by name": (request("POST", "/tasks", {"name": "take_order", "input": ORDER}), None),
        "look": (request("GET", "/tasks/measured"), None),
        "list of 50": (request("GET", "/tasks?limit=50"), None),
        "list of 500": (request("GET", "/tasks?limit=500"), 4),
        "submit 1 MB": (request("POST", "/tasks/keep?delay=9000", {"text": "x" * 1_000_000}), 4),
        "submit 1 MB of small values": (
            request("POST", f"{task}?delay=9000", {"order": {"customer": 1, "articles": ["ab"] * 150_000}}), 4,
        ),
        "batch of 10,000": (request("POST", f"{task}/batch", [ORDER] * 10_000), 2),
    }  # fmt: skip


def show(name: str, row: dict[str, Any]) -> None:
    """Print a row."""
    late, latency = row["held_up_ms"], row["latency_ms"]
    print(
        f"{name:28}{row['requests_per_second']:10}{latency['p50']:10}{latency['p99']:10}"
        f"{late['p50']:10}{late['p99']:10}{late['max']:10}{row['own_ms']['max']:10}"
    )


def main() -> None:
    """Measure, print, and say whether the bound holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of all kinds in turn")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--role", choices=["backyard", "uvicorn"], default="backyard", help="what serves the API")
    parser.add_argument("--only", help="measure kinds whose name contains this, and the bare endpoint")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "loop_blocking.json", help="where figures go")
    chosen = parser.parse_args()
    rows: dict[str, list[dict[str, Any]]] = {}
    with running(chosen.role) as api:
        asyncio.run(drive(api.port, request("POST", "/tasks/take_order?task_id=measured", ORDER), 1, 0.1))
        names = ("req/s", "p50 ms", "p99 ms", "late p50", "late p99", "late max", "own max")
        print(" " * 28 + "".join(f"{name:>10}" for name in names))
        for _ in range(chosen.rounds):
            for name, (message, connections) in kinds().items():
                if chosen.only and chosen.only not in name and name != "bare endpoint":
                    continue
                row = api.measure(message, connections or chosen.connections, chosen.seconds)
                rows.setdefault(name, []).append(row)
                show(name, row)
    longest = max(one["own_ms"]["max"] for several in rows.values() for one in several)
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    figures = {"role": chosen.role, "connections": chosen.connections, "longest_hold_up_ms": longest, "kinds": rows}
    chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"The longest hold-up by the API's own doing took {longest} ms; the bound is {BOUND} ms.")
    sys.exit(longest > BOUND)


if __name__ == "__main__":
    main()

"""What 100,000 tasks that are due at the same moment do to all others: ``python benchmarks/due_at_once.py``.

Workers read one queue, in which a small task begins every 20 ms; the many wait for another queue, which nobody reads.
Shown are how long the many took to be queued, the longest script that the server ran meanwhile, the longest that a
client waited for an answer, and the time from submit to start of the small tasks.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from backyard import Backyard, Settings
from backyard.embedded.server import EmbeddedServer
from backyard.engine.due import AT_ONCE
from backyard.ledger.scripts import script
from backyard.submit import Options

settings = Settings(redis_url=os.environ.get("BENCH_URL"), events_kept=1_000_000)
yard = Backyard("bench", settings=settings)
TICK = 0.02
#: Seconds in which the many are told their moment, before it comes.
WAIT = 15


@yard.task
def small() -> None:
    """Do nothing."""


@yard.task(queue="many")
def one_of_many(number: int) -> int:
    """Be one of many."""
    return number


def cpu_of(client: Any) -> float:
    """Return the seconds of processor that the server has used."""
    known = client.info("cpu")
    return float(known["used_cpu_user"] + known["used_cpu_sys"])


def start_workers(url: str, number: int) -> list[subprocess.Popen[bytes]]:
    """Start workers, each with a pulse that promotes."""
    command = [sys.executable, "-m", "celery", "-A", "due_at_once:yard.celery", "worker", "-c", "1", "-Q", "default"]
    environment = {**os.environ, "BENCH_URL": url, "PYTHONPATH": str(Path(__file__).parent)}
    return [
        subprocess.Popen([*command, "-n", f"w{n}", "--loglevel=ERROR", "--without-mingle"], env=environment)
        for n in range(number)
    ]


def durations(client: Any, name: str) -> list[float]:
    """Return the seconds that the runs of a script took, which the server has noted."""
    sha = script(name).sha
    return [row["duration"] / 1e6 for row in client.slowlog_get(100_000) if f"EVALSHA {sha}" in str(row["command"])]


class Watch:
    """Looks at what others notice, from threads of its own."""

    def __init__(self, there: Backyard) -> None:
        self.there = there
        self.waits: list[float] = []
        self.small: list[str] = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._ask, self._submit)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        client: Any = self.there.ledger.client
        while not self._end.is_set():
            began = time.perf_counter()
            client.ping()
            self.waits.append(time.perf_counter() - began)
            time.sleep(0.002)

    def _submit(self) -> None:
        definition = self.there.definition("small")
        while not self._end.is_set():
            self.small.append(self.there.submit_sync(definition, b"{}", Options()).task_id)
            time.sleep(TICK)

    def end(self) -> None:
        """End, and print what was seen."""
        self._end.set()
        for thread in self._threads:
            thread.join()
        delays: list[float] = []
        for task_id in self.small:
            record = self.there.ledger.record(task_id)
            created, started = record.moment("created"), record.moment("started")
            if created and started:
                delays.append((started - created).total_seconds())
        print(f"  answer to a ping: {shown(self.waits)}")
        print(f"  {len(delays)} of {len(self.small)} small tasks started, after: {shown(delays)}")


def shown(values: list[float]) -> str:
    """Return median, 99th percentile and maximum in milliseconds."""
    rows = sorted(value * 1000 for value in values) or [0.0]
    return f"median {rows[len(rows) // 2]:.1f} ms, p99 {rows[int(len(rows) * 0.99)]:.1f} ms, longest {rows[-1]:.1f} ms"


def measure(url: str, number: int, workers: int) -> None:
    """Let so many tasks be due at once, and print what that does."""
    there = Backyard("bench", settings=Settings(redis_url=url, events_kept=1_000_000))
    for known in yard.definitions.values():
        there.definitions[known.name] = known
    client: Any = there.ledger.client
    processes = start_workers(url, workers)
    try:
        there.submit_sync(there.definition("small"), b"{}", Options()).result_sync(60)
        print(f"{number:,} tasks due at once, {workers} workers")
        payloads = [b'{"number":%d}' % n for n in range(number)]
        began = time.monotonic()
        asyncio.run(submit(there, payloads))
        print(f"  submitted in {time.monotonic() - began:.1f} s")
        watch = Watch(there)
        time.sleep(3)
        watch.end()
        print("  (those were without any due)")
        client.config_set("slowlog-log-slower-than", 500)
        client.config_set("slowlog-max-len", 100_000)
        client.slowlog_reset()
        watch = Watch(there)
        due = f"{there.ledger.keys.prefix}due"
        # All in the same moment, whatever their own time was.
        moment = (client.time()[0] + WAIT) * 1000
        waiting = client.zrange(due, 0, -1)
        for start in range(0, len(waiting), 1_000):
            client.zadd(due, dict.fromkeys(waiting[start : start + 1_000], moment))
        used = cpu_of(client)
        while client.zcard(due):
            time.sleep(0.05)
        took = client.time()[0] - moment / 1000
        used = cpu_of(client) - used
        print(f"  queued within {took:.0f} s of that moment; the server used {used:.1f} s of processor for all it did")
        watch.end()
        print(f"  script promote, {AT_ONCE} tasks: {shown(durations(client, 'promote'))}")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        there.ledger.close()


async def submit(there: Backyard, payloads: list[bytes]) -> None:
    """Submit the many, due in an hour."""
    await there.submit_many(there.definition("one_of_many"), payloads, Options(delay=3600))
    await there.ledger.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(Path(folder) / "data", appendfsync="everysec") as server,
    ):
        measure(server.url, chosen.tasks, chosen.workers)

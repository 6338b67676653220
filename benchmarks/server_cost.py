"""What a task costs the Redis server: ``python -m benchmarks.server_cost``.

Goes through the life of many empty tasks with the calls that doors and workers send, alone and in batches, and asks the
server how long it worked on them. Shown are microseconds a task, in the best of several rounds, since others may be at
work on the machine, and the bytes that a queued task takes, part by part.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backyard import Backyard, Settings
from backyard.core.states import Verb
from backyard.embedded.server import EmbeddedServer
from backyard.ledger.call import Call
from backyard.ledger.submission import Submission
from backyard.ledger.together import together
from backyard.submit import Options, submission

#: Entries that are taken and acknowledged at once.
TOGETHER = 32
#: Tasks that a batch submits at once.
BATCH = 100
#: Bytes of a task's input.
INPUT = 200


class Server:
    """A server without persistence, one yard on it, and what the server says of its work.

    Args:
        url: Where it is.
    """

    def __init__(self, url: str, folder: str) -> None:
        self.yard = Backyard("bench", settings=Settings(redis_url=url, data_dir=Path(folder)))
        self.client: Any = self.yard.ledger.client
        self.client.config_set("appendonly", "no")
        #: Microseconds a task, of each step and each round.
        self.costs: dict[str, list[float]] = {}

        @self.yard.task
        def small(text: str) -> None:
            """Do nothing."""

        self._definition = small.definition

    @property
    def calls(self) -> Any:
        """What can be asked of the ledger."""
        return self.yard.ledger.calls

    def send(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """Send calls one by one."""
        return [self.yard.ledger.run(call) for call in calls]

    def tasks(self, number: int) -> list[Submission]:
        """Compose tasks as the doors do."""
        payload = json.dumps({"text": "x" * (INPUT - len('{"text":""}'))}, separators=(",", ":")).encode()
        return [submission(self._definition, payload, Options(), self.yard.settings) for _ in range(number)]

    @contextmanager
    def measured(self, step: str, tasks: int) -> Iterator[None]:
        """Note what scripts cost the server meanwhile."""
        self.client.config_resetstat()
        yield
        known = self.client.info("commandstats")["cmdstat_evalsha"]
        self.costs.setdefault(step, []).append(known["usec"] / tasks)

    def memory(self) -> int:
        """Return the bytes that the server's data takes."""
        return int(self.client.info("memory")["used_memory_dataset"])


def parts(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Cut into parts."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def send_together(server: Server, calls: Sequence[Call[Any]]) -> list[Any]:
    """Send calls as a worker's batches do."""
    return [
        answer for answers in server.send([together(some) for some in parts(calls, TOGETHER)]) for answer in answers
    ]


def live(server: Server, number: int, size: int) -> None:
    """Let tasks go through their whole life.

    Args:
        server: Where.
        number: How many.
        size: Tasks that a call submits; of one, the other calls are alone as well.
    """
    calls = server.calls
    tasks = server.tasks(number)
    with server.measured(f"submit, {size} a call", number):
        server.send([calls.submit(group) for group in parts(tasks, size)])
    with server.measured(f"take, {TOGETHER} a call", number):
        answers = server.send([calls.take("c", TOGETHER, 10, ["default"])] * (number // TOGETHER))
    taken = [row for rows in answers for row in rows]
    entries = [(queue.decode(), lane.decode(), entry.decode()) for queue, lane, entry, *_ in taken]
    ids = [task.task_id for task in tasks]
    if len(taken) != number:
        raise SystemExit(f"{len(taken)} of {number} tasks were taken.")
    starts = [
        calls.start(task_id, f"{lane}/{entry}", uuid.uuid4().hex, "worker@host")
        for task_id, (_, lane, entry) in zip(ids, entries, strict=True)
    ]
    alone = size == 1
    with server.measured("start" if alone else f"start, {TOGETHER} a call", number):
        attempts = server.send(starts) if alone else send_together(server, starts)
    moves = [
        calls.move(Verb.SUCCEED, task_id, attempt=started.attempt, fields={"result": "null"})
        for task_id, started in zip(ids, attempts, strict=True)
    ]
    with server.measured("move to SUCCESS" if alone else f"move to SUCCESS, {TOGETHER} a call", number):
        moved = server.send(moves) if alone else send_together(server, moves)
    if {one.outcome for one in moved} != {"moved"}:
        raise SystemExit("Not every task came to its end.")
    with server.measured(f"acknowledge, {TOGETHER} a call", number):
        server.send([calls.acknowledge(some) for some in parts(entries, TOGETHER)])


def weigh(server: Server, number: int) -> dict[str, float]:
    """Return the bytes that a queued task takes, in all and by part."""
    server.client.flushall()
    server.yard.ledger.submit(server.tasks(BATCH))
    tasks = server.tasks(number)
    before = server.memory()
    server.yard.ledger.submit(tasks)
    keys = server.yard.ledger.keys
    found: dict[str, float] = {"a queued task, in all": (server.memory() - before) / number}
    found["of it the record"] = server.client.memory_usage(keys.task(tasks[0].task_id), samples=0)
    shared = {"queue entry": keys.queue("default", "normal"), "event": keys.events, "index": f"{keys.prefix}tasks"}
    for part, key in shared.items():
        found[f"of it the {part}"] = server.client.memory_usage(key, samples=0) / (number + BATCH)
    found["its message"] = len(tasks[0].message)
    server.client.xtrim(keys.events, 0, approximate=False)
    found["a queued task, its event recorded"] = (server.memory() - before) / number
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_600, help="tasks a round, a multiple of 800")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench") as folder, EmbeddedServer(f"{folder}/server") as embedded:
        server = Server(embedded.url, folder)
        live(server, TOGETHER, 1)  # the server gets to know the scripts
        server.costs.clear()
        for _ in range(chosen.rounds):
            for size in (1, TOGETHER, BATCH):
                server.client.flushdb()
                live(server, chosen.tasks, size)
        bytes_ = weigh(server, 20_000)
    found = {step: round(min(costs), 2) for step, costs in server.costs.items()}
    if chosen.json:
        print(json.dumps({"microseconds": found, "bytes": {part: round(weight) for part, weight in bytes_.items()}}))
        return
    for step, cost in found.items():
        print(f"{step:36} {cost:8.2f} us a task")
    for part, weight in bytes_.items():
        print(f"{part:36} {weight:8.0f} bytes")


if __name__ == "__main__":
    main()

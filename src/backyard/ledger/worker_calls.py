"""What can be asked of workers: how they live, what they are told, how they end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from backyard.core.worker import Worker, WorkerState
from backyard.ledger.call import Call, CallBuilder, Word, pairs_of, text_of

#: Workers that a list shows; more than one yard will have.
MOST = 1_000
#: Times a task is put off, a quarter of an hour in all, before it is set aside.
PUT_OFF = 200


class WorkerCalls(CallBuilder):
    """Calls about workers."""

    def introduce(self, name: str, instance: str, lease: float, age: float, fields: Mapping[str, Word]) -> Call[int]:
        """Say who a worker is, at its start or when the server has forgotten.

        Args:
            name: Its name.
            instance: What tells this process from others of the same name.
            lease: Seconds after which it counts as dead when it is silent.
            age: Seconds since it started.
            fields: What it says of itself.
        """
        words: list[Word] = [name, instance, int(lease * 1000), int(age * 1000)]
        return self._run("introduce", [*words, *(word for pair in fields.items() for word in pair)], int)

    def beat(
        self, name: str, instance: str, lease: float, state: str, used: tuple[int, float | None], running: Sequence[str]
    ) -> Call[tuple[str, dict[str, Any]]]:
        """Say that a worker lives. Returns ``known``, ``unknown`` or ``taken``, and its wish to drain, if there is one.

        Args:
            name: Its name.
            instance: What tells this process from others of the same name.
            lease: Seconds after which it counts as dead when it is silent.
            state: ``running``, ``draining`` or ``stopping``.
            used: Its memory in bytes, and the cores it keeps busy, if that is known.
            running: Ids of tasks it runs.
        """
        rss, cpu = used
        busy = "" if cpu is None else f"{cpu:.3f}"
        words: list[Word] = [name, instance, int(lease * 1000), state, rss, busy, json.dumps(list(running))]
        return self._run("beat", words, _heard)

    def goodbye(self, name: str, instance: str) -> Call[bool]:
        """Forget a worker that ends."""
        return self._run("goodbye", [name, instance], bool)

    def workers(self, most: int = MOST) -> Call[list[Worker]]:
        """List the workers that spoke lately, by name."""
        return self._run("workers", [most], _workers)

    def put_off(self, queue: str, lane: str, entry: str, *, task: str, worker: str) -> Call[str]:
        """Put off a task that a worker does not know, for others that do.

        Args:
            queue: The queue.
            lane: Its lane.
            entry: The entry's id.
            task: The task's name.
            worker: The worker that does not know it.

        Returns:
            ``put_off``; or why not: ``alone`` (nobody else knows it), ``often``, ``other`` (it is not this entry's).
        """
        words: list[Word] = [self.events_kept, queue, lane, entry, worker, json.dumps(task), json.dumps(queue), PUT_OFF]
        return self._run("put_off", words, text_of)

    def drain(self, names: Sequence[str], *, stay: bool) -> Call[dict[str, bool]]:
        """Tell workers to drain; says of each whether there is such a worker.

        Args:
            names: Their names.
            stay: Whether they stay, idle, instead of ending.
        """
        wish = json.dumps({"stay": stay})
        return self._run("drain", [wish, *names], lambda told: dict(zip(names, map(bool, told), strict=True)))


def _heard(answer: Any) -> tuple[str, dict[str, Any]]:
    wish = answer[1] if len(answer) > 1 else b""
    return text_of(answer[0]), json.loads(wish) if wish else {}


def _workers(answer: Any) -> list[Worker]:
    now = int(answer[0])
    return sorted(
        (_worker(text_of(name), pairs_of(row), now) for name, row in answer[1:]), key=lambda one: one.worker_name
    )


def _worker(name: str, row: Mapping[bytes, bytes], now: int) -> Worker:
    """Read a worker's hash. A field that an older version does not write is empty."""

    def number(field: bytes) -> int:
        return int(row.get(field) or 0)

    def listed(field: bytes) -> Any:
        return json.loads(row.get(field) or b"[]")

    definitions = json.loads(row.get(b"definitions") or b"{}")
    started = number(b"started")
    return Worker(
        worker_name=name,
        state=WorkerState(text_of(row.get(b"state") or b"running")),
        alive=now - number(b"beat") <= number(b"lease"),
        age=(now - number(b"beat")) / 1000,
        lease=number(b"lease") / 1000,
        uptime=(now - started) / 1000,
        started=datetime.fromtimestamp(started / 1000, UTC),
        host=text_of(row.get(b"host") or b""),
        pid=number(b"pid"),
        pool=text_of(row.get(b"pool") or b""),
        max_concurrency=number(b"concurrency"),
        queues=listed(b"queues"),
        registered_tasks=sorted(definitions),
        definitions=definitions,
        running=listed(b"running"),
        rss=number(b"rss"),
        cpu=float(row[b"cpu"]) if row.get(b"cpu") else None,
        version=text_of(row.get(b"version") or b""),
    )

"""A bench for the ledger's scripts: what a worker does with them, step by step, and a look at what is really there."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from backyard.core.news import News
from backyard.core.states import State, Verb
from backyard.ledger.call import Call
from backyard.ledger.events import read_entry
from backyard.ledger.keys import GROUP, LANES
from backyard.ledger.ledger import Ledger
from backyard.ledger.limit_calls import Limit
from backyard.ledger.record import Record
from backyard.ledger.submission import Accepted, Submission
from backyard.ledger.task_calls import Deaths, Moved, Started

LEASE = 60.0
#: Small, so that tests get there.
DEATHS = Deaths(losses=4, crashes=2)


@dataclass(frozen=True)
class Taken:
    """An entry as a worker holds it."""

    queue: str
    lane: str
    entry: str
    message: str
    again: bool

    @property
    def tag(self) -> str:
        """What a start names the entry by."""
        return f"{self.lane}/{self.entry}"

    @property
    def place(self) -> tuple[str, str, str]:
        """What an acknowledgement names it by."""
        return self.queue, self.lane, self.entry


class Bench:
    """One yard's ledger, and a plain client beside it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.calls = ledger.calls
        self.keys = ledger.keys
        #: Any, since redis-py's annotations leave open what every answer is.
        self.client: Any = redis.Redis.from_url(
            ledger.url, decode_responses=True, encoding_errors="surrogateescape", protocol=2
        )
        self._bytes: Any = redis.Redis.from_url(ledger.url, protocol=2)
        #: Connections of others that listened to anything on the server when this began.
        self.strangers: frozenset[str] = frozenset()
        self._numbers = itertools.count(1)

    def run(self, call: Call[Any]) -> Any:
        return self.ledger.run(call)

    # -- verbs ----------------------------------------------------------------------------------------------------

    def submission(self, task_id: str = "", **options: Any) -> Submission:
        task_id = task_id or f"t{next(self._numbers)}"
        given = {"name": "f", "queue": "q", "lane": "normal", "message": f"m:{task_id}".encode(), "lifetime": 600}
        return Submission(task_id, **{**given, **options})

    def submit(self, task_id: str = "", **options: Any) -> Accepted:
        (accepted,) = self.ledger.submit([self.submission(task_id, **options)])
        return accepted

    def take(self, consumer: str = "c", most: int = 1, queues: Sequence[str] = ("q",)) -> list[Taken]:
        rows = self.run(self.calls.take(consumer, most, LEASE, queues))
        return [
            Taken(queue.decode(), lane.decode(), entry.decode(), text.decode(), again == b"1")
            for queue, lane, entry, text, again in rows
        ]

    def start(
        self,
        task_id: str,
        entry: str = "",
        token: str = "",
        worker: str = "w",
        deaths: Deaths = DEATHS,
        limits: Sequence[Limit] = (),
    ) -> Started:
        token = token or uuid.uuid4().hex
        started: Started = self.run(self.calls.start(task_id, entry, token, worker, deaths, limits))
        return started

    def move(self, verb: Verb, task_id: str, attempt: int, **options: Any) -> Moved:
        moved: Moved = self.run(self.calls.move(verb, task_id, attempt=attempt, **options))
        return moved

    def running(self, task_id: str = "", consumer: str = "c", **options: Any) -> tuple[str, Taken]:
        """Submit a task, take it and start it; returns its id and what the worker holds."""
        accepted = self.submit(task_id, **options)
        (taken,) = self.take(consumer, 1, [options.get("queue", "q")])
        assert self.start(accepted.task_id, taken.tag).attempt is not None
        return accepted.task_id, taken

    def retry(self, task_id: str, attempt: int, **options: Any) -> Accepted:
        return self.submit(task_id, again=True, attempt=attempt, **options)

    def cancel(self, *task_ids: str) -> list[str]:
        return self.ledger.cancel(task_ids)

    # -- time, as an argument -------------------------------------------------------------------------------------

    def make_due(self, *task_ids: str) -> None:
        """Let the time come that tasks wait for."""
        for task_id in task_ids:
            self.client.zadd(f"{self.keys.prefix}due", {task_id: 1}, xx=True)

    def lapse(self, *consumers: str) -> None:
        """Let the leases of consumers run out."""
        self.client.zadd(self.keys.leases, dict.fromkeys(consumers, 1))

    def end_grace(self) -> None:
        """Let the time pass in which nobody is declared dead."""
        self.client.hset(f"{self.keys.prefix}pulse", "grace", 0)

    def expire_now(self, task_id: str) -> None:
        """Let the time pass within which a task may start."""
        self.client.hset(self.keys.task(task_id), "expires", 1)

    # -- what is there --------------------------------------------------------------------------------------------

    def record(self, task_id: str) -> Record:
        return self.ledger.record(task_id)

    def state(self, task_id: str) -> State:
        return self.record(task_id).state

    def raw(self, task_id: str) -> dict[str, str]:
        fields: dict[str, str] = self.client.hgetall(self.keys.task(task_id))
        return fields

    def records(self) -> dict[str, dict[str, str]]:
        """Return the records of all tasks of the index, empty where there is none any more."""
        task_ids = self.client.zrange(f"{self.keys.prefix}tasks", 0, -1)
        with self.client.pipeline(transaction=False) as pipe:
            for task_id in task_ids:
                pipe.hgetall(self.keys.task(task_id))
            return dict(zip(task_ids, pipe.execute(), strict=True))

    def events(self, task_id: str | None = None) -> list[News]:
        """Return the news on the stream, of one task or of all."""
        news = [read_entry(entry, fields) for entry, fields in self._bytes.xrange(self.keys.events)]
        return [one for one in news if task_id in (None, one.task_id)]

    def states(self, task_id: str) -> list[str]:
        """Return the states that a task's events tell of, in order."""
        return [one.state for one in self.events(task_id) if one.event == "state"]

    def due(self) -> list[str]:
        return list(self.client.zrange(f"{self.keys.prefix}due", 0, -1))

    def count(self, name: str) -> int:
        return int(self.client.hget(self.keys.counts, name) or 0)

    def entries(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the entries of all lanes (``queue/lane/id``) with their task ids: the ready and the held ones."""
        lanes = [(queue, lane) for queue in self.client.smembers(self.keys.queues) for lane in LANES]
        with self.client.pipeline(transaction=False) as pipe:
            for place in lanes:
                pipe.xrange(self.keys.queue(*place))
                pipe.xpending_range(self.keys.queue(*place), GROUP, "-", "+", 10_000)
            answers = pipe.execute(raise_on_error=False)
        ready: dict[str, str] = {}
        pending: dict[str, str] = {}
        for (queue, lane), found, rows in zip(lanes, answers[::2], answers[1::2], strict=True):
            held = set() if isinstance(rows, Exception) else {row["message_id"] for row in rows}
            assert held <= {entry for entry, _ in found}, "an entry is pending that is no more"
            for entry, fields in found:
                (pending if entry in held else ready)[f"{queue}/{lane}/{entry}"] = fields["t"]
        return ready, pending

    def snapshot(self) -> dict[str, Any]:
        """Return everything the yard holds."""
        return {key: self.client.dump(key) for key in sorted(self.client.scan_iter(f"{self.keys.prefix}*", 1_000))}

    def check_nothing_lost(self) -> None:
        """Check that every task that is not final is in exactly one place, and that no entry could start another."""
        ready, pending = self.entries()
        due = self.due()
        for task_id, fields in self.records().items():
            if not fields:
                continue  # forgotten
            state, entry = State(fields["state"]), f"{fields['queue']}/{fields.get('entry', '')}"
            waits = [tag for tag, owner in ready.items() if owner == task_id]
            if state in (State.SCHEDULED, State.RETRY):
                assert (due.count(task_id), waits, "message" in fields) == (1, [], True), (task_id, fields)
            elif "parked" in fields:
                # Waits at a limit, with its message, and in no queue.
                assert (state, waits, task_id in due, "message" in fields, "entry" in fields) == (
                    State.PENDING, [], False, True, False,
                ), (task_id, fields)  # fmt: skip
            elif state is State.PENDING:
                assert task_id not in due
                assert pending.get(entry) == task_id or waits == [entry], (task_id, fields, ready, pending)
                assert waits in ([], [entry])
            elif state in (State.STARTED, State.PROGRESS):
                assert (pending.get(entry), waits, task_id in due) == (task_id, [], False), (task_id, fields)
            else:
                assert (waits, task_id in due, "entry" in fields) == ([], False, False), (task_id, fields)

    def parked(self, limit: str) -> list[str]:
        """Return the tasks that wait at a limit, the first to go on first."""
        return list(self.client.zrange(f"{self.keys.prefix}parked:{limit}", 0, -1))

    def slots(self, limit: str) -> set[str]:
        """Return the tasks that hold a slot of a limit."""
        return set(self.client.zrange(f"{self.keys.prefix}slots:{limit}", 0, -1))

    def check_limits(self, most: Mapping[str, int], gates: Collection[str] = ()) -> None:
        """Check that records and limits agree, that no limit lets more run, and that nobody waits at a free one."""
        prefix = self.keys.prefix
        records = {task_id: fields for task_id, fields in self.records().items() if fields}
        waits = [*most, *gates]
        held = {limit: {one for one, row in records.items() if limit in row.get("held", "").split()} for limit in most}
        parked = {limit: {one for one, row in records.items() if row.get("parked") == limit} for limit in waits}
        for limit, number in most.items():
            assert self.slots(limit) == held[limit], limit
            assert len(held[limit]) <= number, limit
            assert set(self.parked(limit)) == parked[limit], limit
            assert not parked[limit] or len(held[limit]) == number, f"{parked[limit]} wait at {limit}, which is free"
        assert set(self.client.hkeys(f"{prefix}limits")) == {limit for limit in most if parked[limit]}
        assert set(self.client.hkeys(f"{prefix}gates")) >= {limit for limit in gates if parked[limit]}
        for queue in self.client.smembers(self.keys.queues):
            there = {one for rows in parked.values() for one in rows if records[one]["queue"] == queue}
            assert self.client.smembers(f"{prefix}parked_of:{queue}") == there

    def close(self) -> None:
        self.client.close()
        self._bytes.close()


def listeners(bench: Bench) -> list[str]:
    """Return the ids of the connections that listen to anything on the server, whosever they are."""
    return [one["id"] for one in bench.client.client_list() if int(one["sub"]) > 0]


@contextmanager
def bench_of(url: str, **options: Any) -> Iterator[Bench]:
    """Give the bench of a new yard."""
    # A machine that stands still for seconds is no fault of the ledger; tests of its time limit say which.
    ledger = Ledger(url, f"b{uuid.uuid4().hex[:12]}", **{"timeout": 30.0, **options})
    bench = Bench(ledger)
    bench.strangers = frozenset(listeners(bench))
    try:
        yield bench
    finally:
        bench.close()
        ledger.close()

"""Limits under workers, clients and losses in any order: no more at once than allowed, and nobody waits for nothing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from backyard.core.states import FINAL, State, Verb
from backyard.ledger.ledger import Ledger
from backyard.ledger.limit_calls import Limit
from backyard.ledger.task_calls import Deaths
from support.bench import Bench, Taken

WORKERS = ("w1", "w2")
QUEUES = ("q", "r")
NAMES = ("f", "g")
KEYS = ("a", "b")
MOST = {"key:f:a": 1, "key:f:b": 1, "key:g:a": 1, "key:g:b": 1, "definition:f": 2, "definition:g": 1, "running": 2}
#: However often its worker dies, no task is quarantined here.
NONE = Deaths(1_000, 1_000)
PAUSES = [("queue", "q"), ("queue", "r"), ("definition", "f")]


@dataclass
class Job:
    """A task's definition and key, and its attempt where it runs."""

    name: str
    key: str
    held: tuple[Taken, str, int] | None = None

    @property
    def limits(self) -> list[Limit]:
        names = (f"key:{self.name}:{self.key}", f"definition:{self.name}", "running")
        return [Limit(name, MOST[name]) for name in names]


class Limits(RuleBasedStateMachine):
    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(Ledger(self.url, f"l{uuid.uuid4().hex[:12]}", timeout=30.0))
        self.jobs: dict[str, Job] = {}
        #: Tasks whose worker took them and has not started them yet.
        self.hands: list[tuple[str, Taken, str]] = []

    def teardown(self) -> None:
        try:
            self.all_of_them_end()
        finally:
            self.bench.close()
            self.bench.ledger.close()

    # -- what may happen ------------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(NAMES),
        key=st.sampled_from(KEYS),
        queue=st.sampled_from(QUEUES),
        lane=st.sampled_from(["high", "normal", "low"]),
        number=st.integers(1, 3),
    )
    def submit(self, name: str, key: str, queue: str, lane: str, number: int) -> None:
        for _ in range(number):
            task_id = f"t{len(self.jobs):03}"
            assert self.bench.submit(task_id, name=name, queue=queue, lane=lane).outcome == "created"
            self.jobs[task_id] = Job(name, key)

    @rule(worker=st.sampled_from(WORKERS), most=st.integers(1, 3))
    def take(self, worker: str, most: int) -> None:
        paused = self.bench.run(self.bench.calls.paused("queue"))
        for taken in self.bench.take(worker, most, QUEUES):
            assert taken.queue not in paused
            self.hands.append((taken.message[2:], taken, worker))

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), twice=st.booleans())
    def start(self, data: st.DataObject, *, twice: bool) -> None:
        self.begin(*self.hands.pop(data.draw(st.integers(0, len(self.hands) - 1))), twice=twice)

    @rule(worker=st.sampled_from(WORKERS))
    def take_and_start(self, worker: str) -> None:
        for taken in self.bench.take(worker, 2, QUEUES):
            self.begin(taken.message[2:], taken, worker)

    def begin(self, task_id: str, taken: Taken, worker: str, *, twice: bool = False) -> None:
        token = uuid.uuid4().hex
        limits = self.jobs[task_id].limits
        started = self.bench.start(task_id, taken.tag, token, worker, deaths=NONE, limits=limits)
        if twice:
            assert self.bench.start(task_id, taken.tag, token, worker, deaths=NONE, limits=limits) == started
        if started.attempt is not None:
            self.jobs[task_id].held = (taken, worker, started.attempt)
        else:
            self.bench.run(self.bench.calls.acknowledge([taken.place]))

    @precondition(lambda self: self.running())
    @rule(data=st.data(), how=st.sampled_from(["succeed", "fail", "retry", "replace"]))
    def end(self, data: st.DataObject, how: str) -> None:
        task_id = data.draw(st.sampled_from(self.running()))
        taken, _, attempt = self.jobs[task_id].held or (None, "", 0)
        assert taken is not None
        if how == "replace":
            # Those in its place are no part of this; it ends a moment later.
            assert self.bench.run(self.bench.calls.note(task_id, attempt, "replaced", "null", fields={"replaced": 1}))
        if how == "retry":
            assert self.bench.retry(task_id, attempt, due="+600000", queue=taken.queue).outcome == "retried"
            self.bench.make_due(task_id)
        else:
            verb = Verb.FAIL if how == "fail" else Verb.SUCCEED
            assert self.bench.move(verb, task_id, attempt).applied
        self.bench.run(self.bench.calls.acknowledge([taken.place]))
        self.jobs[task_id].held = None

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from(sorted(self.jobs)))
        (outcome,) = self.bench.cancel(task_id)
        if outcome == "requested":
            taken, _, attempt = self.jobs[task_id].held or (None, "", 0)
            assert taken is not None
            assert self.bench.move(Verb.STOP, task_id, attempt).applied
            self.bench.run(self.bench.calls.acknowledge([taken.place]))
            self.jobs[task_id].held = None

    @rule(worker=st.sampled_from(WORKERS))
    def lose_worker(self, worker: str) -> None:
        self.bench.lapse(worker)
        self.bench.end_grace()
        self.bench.run(self.bench.calls.reap(100))
        self.hands = [hand for hand in self.hands if hand[2] != worker]
        for job in self.jobs.values():
            if job.held and job.held[1] == worker:
                job.held = None

    @rule(pause=st.sampled_from(PAUSES), on=st.booleans())
    def pause(self, pause: tuple[str, str], *, on: bool) -> None:
        if on:
            self.bench.run(self.bench.calls.pause(pause[0], pause[1], ""))  # type: ignore[arg-type]  # one of both
        else:
            self.bench.run(self.bench.calls.resume(pause[0], pause[1]))  # type: ignore[arg-type]  # one of both

    @rule(most=st.sampled_from([1, 100]))
    def promote(self, most: int) -> None:
        assert self.bench.run(self.bench.calls.promote(most)) <= most

    @rule(queue=st.sampled_from(QUEUES), most=st.sampled_from([1, 100]))
    def purge(self, queue: str, most: int) -> None:
        assert self.bench.run(self.bench.calls.purge(queue, most)) <= most

    # -- what must hold -------------------------------------------------------------------------------------------

    def running(self) -> list[str]:
        return sorted(task_id for task_id, job in self.jobs.items() if job.held)

    @invariant()
    def limits_hold(self) -> None:
        most = dict(MOST)
        pauses = {f"paused:{kind}:{name}" for kind, name in PAUSES}
        self.bench.check_limits(most, pauses)

    @invariant()
    def who_runs_holds_all_its_slots(self) -> None:
        records = self.bench.records()
        for task_id, job in self.jobs.items():
            fields = records[task_id]
            if fields["state"] in ("STARTED", "PROGRESS"):
                assert set(fields["held"].split()) == {limit.name for limit in job.limits}
            elif fields["state"] != "PENDING":
                assert "held" not in fields
                assert "parked" not in fields

    @invariant()
    def nothing_is_lost(self) -> None:
        self.bench.check_nothing_lost()

    def all_of_them_end(self) -> None:
        """Whatever happened: when workers go on, every task ends, and nothing is left of the limits."""
        for kind, name in PAUSES:
            self.bench.run(self.bench.calls.resume(kind, name))  # type: ignore[arg-type]  # one of both
        for worker in WORKERS:
            self.lose_worker(worker)
        over = 0
        for _ in range(8 * len(self.jobs) + 2):
            self.bench.run(self.bench.calls.promote(100))
            for taken in self.bench.take("last", 100, QUEUES):
                self.begin(taken.message[2:], taken, "last")
            self.limits_hold()
            for task_id in self.running():
                held, _, attempt = self.jobs[task_id].held or (None, "", 0)
                assert held is not None
                assert self.bench.move(Verb.SUCCEED, task_id, attempt).applied
                self.bench.run(self.bench.calls.acknowledge([held.place]))
                self.jobs[task_id].held = None
            over += {State(row["state"]) for row in self.bench.records().values()} <= FINAL
            if over == 3:  # limits that nobody waits for any more are gone by then
                break
        assert {State(row["state"]) for row in self.bench.records().values()} <= FINAL
        left = [f"{kind}:{name}" for kind in ("slots", "parked") for name in MOST] + ["limits", "gates", "paused"]
        left += [f"parked_of:{name}" for name in QUEUES]
        assert [name for name in left if self.bench.client.exists(self.bench.keys.prefix + name)] == []


def test_limits_in_any_order(server_url: str) -> None:
    class OnServer(Limits):
        url = server_url

    run_state_machine_as_test(
        OnServer,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Each step asks a server: to shrink a failure takes minutes. Add Phase.shrink when you look for one.
            phases=[Phase.reuse, Phase.generate],
        ),
    )

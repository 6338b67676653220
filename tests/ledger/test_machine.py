"""The real scripts, driven by several workers in any order, beside a model in plain Python made of ``states.move``."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from backyard.core.states import FINAL, RUNNING, WAITING, Standing, State, Verb, move
from backyard.ledger.ledger import Ledger
from backyard.ledger.record import Record
from backyard.ledger.task_calls import Deaths
from support.bench import LEASE, Bench, Taken

WORKERS = ("w1", "w2", "w3")
QUEUES = ("q", "r")
SEEN = ("", "worker_lost", "shutdown")
DEATHS = Deaths(losses=99, crashes=2)  # no task becomes a suspect, which would have to wait for others
STAGES = ("", "requested", "seen", "stopped", "too_late")


@dataclass
class Task:
    """What the model knows of a task."""

    standing: Standing
    #: Which of its entries is the living one: they are counted.
    entry: int = 0
    events: Counter[str] = field(default_factory=Counter)
    #: How far its cancel has come, '' where nobody has asked for one.
    stage: str = ""
    lost: int = 0
    crashed: int = 0
    expired: bool = False

    def apply(self, verb: Verb, attempt: int | None = None) -> bool:
        """Apply a verb as the table says; return whether it was."""
        after = move(self.standing, verb, attempt)
        if after is None:
            return False
        self.standing = after
        self.events[after.state] += 1
        if self.stage and after.state is State.PROGRESS:
            self.move_stage("seen")
        if self.stage and after.state in FINAL:
            self.move_stage("stopped" if after.state is State.REVOKED else "too_late")
        return True

    def move_stage(self, stage: str) -> None:
        """Let the cancel come further; no stage is said twice."""
        if STAGES.index(stage) > STAGES.index(self.stage):
            self.stage = stage
            self.events["cancel"] += 1

    @property
    def state(self) -> State:
        return self.standing.state

    @property
    def deadly(self) -> bool:
        """Whether too many have died under it."""
        return self.lost >= DEATHS.losses or self.crashed >= DEATHS.crashes


@dataclass
class Delivery:
    """An entry in a worker's hands, and what the worker made of it. Its lease may be long gone without it knowing."""

    taken: Taken
    task_id: str
    entry: int
    worker: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    attempt: int | None = None
    #: Still on the server's list of what the worker holds.
    held: bool = True


def stage_of(record: dict[str, str]) -> str:
    """Return how far a cancel has come, as people see it."""
    cancel = Record("", {name: value.encode() for name, value in record.items()}).cancel
    return str(cancel.stage) if cancel else ""


class Workers(RuleBasedStateMachine):
    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(Ledger(self.url, f"m{uuid.uuid4().hex[:12]}", timeout=30.0))
        self.tasks: dict[str, Task] = {}
        self.hands: list[Delivery] = []

    def teardown(self) -> None:
        self.bench.close()
        self.bench.ledger.close()

    # -- what clients do ------------------------------------------------------------------------------------------

    @rule(
        lane=st.sampled_from(["high", "normal", "low"]),
        queue=st.sampled_from(QUEUES),
        delayed=st.booleans(),
        expires=st.booleans(),
    )
    def submit(self, lane: str, queue: str, *, delayed: bool, expires: bool) -> None:
        task_id = f"t{len(self.tasks)}"
        options = {"due": "+600000" if delayed else "", "expires": "+600000" if expires else ""}
        assert self.bench.submit(task_id, lane=lane, queue=queue, **options).outcome == "created"
        task = Task(Standing(State.SCHEDULED if delayed else State.PENDING, 0))
        task.events[task.state] += 1
        self.tasks[task_id] = task

    @precondition(lambda self: self.tasks)
    @rule(data=st.data(), again=st.booleans())
    def submit_doubled(self, data: st.DataObject, *, again: bool) -> None:
        task_id, task = self.any_task(data)
        outcome = self.bench.submit(task_id, again=again, queue=data.draw(st.sampled_from(QUEUES))).outcome
        if again and task.state in FINAL:
            assert outcome == "created"
            task.standing = Standing(State.PENDING, task.standing.attempt)
            task.events[State.PENDING] += 1
            task.entry += 1
            task.stage, task.lost, task.crashed, task.expired = "", 0, 0, False
        else:
            assert outcome == "exists"

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task_id, task = self.any_task(data)
        (outcome,) = self.bench.cancel(task_id)
        if task.state in WAITING:
            task.stage = "requested"
            assert (outcome, task.apply(Verb.CANCEL)) == ("cancelled", True)
            for delivery in self.hands:
                if delivery.task_id == task_id and delivery.entry == task.entry:
                    delivery.held = False
        elif task.state in RUNNING:
            assert outcome == "requested"
            task.move_stage("requested")
        else:
            assert outcome == "final"

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def let_time_to_start_pass(self, data: st.DataObject) -> None:
        task_id, task = self.any_task(data)
        if "expires" in self.bench.raw(task_id):
            self.bench.expire_now(task_id)
            task.expired = True

    @rule(queue=st.sampled_from(QUEUES))
    def purge(self, queue: str) -> None:
        ready, _ = self.bench.entries()
        gone = [owner for place, owner in ready.items() if place.startswith(f"{queue}/")]
        assert self.bench.run(self.bench.calls.purge(queue, 1_000)) == len(gone)
        for task_id in gone:
            assert self.tasks[task_id].apply(Verb.CANCEL)

    # -- what workers do ------------------------------------------------------------------------------------------

    @rule(worker=st.sampled_from(WORKERS), most=st.integers(1, 4), queues=st.permutations(QUEUES))
    def take(self, worker: str, most: int, queues: list[str]) -> None:
        taken = self.bench.take(worker, most, queues)
        ready, _ = self.bench.entries()
        assert len(taken) <= most
        assert len(taken) == most or not ready, "there was more, and it was not handed out"
        for one in taken:
            task_id = one.message[2:]
            assert self.tasks[task_id].state is State.PENDING
            self.hands.append(Delivery(one, task_id, self.tasks[task_id].entry, worker))

    @rule(worker=st.sampled_from(WORKERS), progress=st.booleans())
    def begin(self, worker: str, *, progress: bool) -> None:
        """Take and start whatever comes first, so that tasks get far."""
        for one in self.bench.take(worker, 1, QUEUES):
            task_id = one.message[2:]
            task = self.tasks[task_id]
            delivery = Delivery(one, task_id, task.entry, worker)
            self.hands.append(delivery)
            delivery.attempt = self.bench.start(task_id, one.tag, delivery.token, worker, DEATHS).attempt
            assert task.apply(Verb.EXPIRE if task.expired or task.deadly else Verb.START)
            if progress and delivery.attempt is not None:
                assert self.bench.move(Verb.PROGRESS, task_id, delivery.attempt).applied
                assert task.apply(Verb.PROGRESS, delivery.attempt)

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), twice=st.booleans(), new_token=st.booleans())
    def start(self, data: st.DataObject, *, twice: bool, new_token: bool) -> None:
        delivery = self.any_delivery(data)
        task = self.tasks[delivery.task_id]
        if new_token:
            delivery.token = uuid.uuid4().hex
        repeated = task.state is State.STARTED and self.bench.raw(delivery.task_id).get("token") == delivery.token
        for _ in range(1 + twice):
            started = self.bench.start(delivery.task_id, delivery.taken.tag, delivery.token, delivery.worker, DEATHS)
            if repeated:
                assert started.attempt == task.standing.attempt
            elif delivery.entry != task.entry or task.state is not State.PENDING:
                assert started.attempt is None
            elif task.expired or task.deadly:
                assert started.reason == ("expired" if task.expired else "lost")
                assert task.apply(Verb.EXPIRE)
            else:
                assert task.apply(Verb.START)
                assert started.attempt == task.standing.attempt
                delivery.attempt = started.attempt
                repeated = True

    @precondition(lambda self: self.hands)
    @rule(
        data=st.data(),
        verb=st.sampled_from([Verb.PROGRESS, Verb.SUCCEED, Verb.FAIL, Verb.STOP]),
        twice=st.booleans(),
        off=st.sampled_from([0, 0, 0, -1, 1]),
    )
    def say(self, data: st.DataObject, verb: Verb, off: int, *, twice: bool) -> None:
        delivery = self.any_delivery(data)
        task = self.tasks[delivery.task_id]
        attempt = (delivery.attempt or 0) + off
        for _ in range(1 + twice):
            before = task.state
            moved = self.bench.move(verb, delivery.task_id, attempt)
            assert (moved.outcome == "moved") is task.apply(verb, attempt)
            assert moved.state == task.state
            assert moved.applied or moved.outcome in ("stale", "refused")
            assert moved.outcome != "repeated" or before == moved.state

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), off=st.sampled_from([0, 0, -1, 1]))
    def ask_whether_to_stop(self, data: st.DataObject, off: int) -> None:
        delivery = self.any_delivery(data)
        task = self.tasks[delivery.task_id]
        attempt = (delivery.attempt or 0) + off
        live = task.state in RUNNING and attempt == task.standing.attempt
        if live and task.stage:
            task.move_stage("seen")
        assert self.bench.run(self.bench.calls.asked(delivery.task_id, attempt)) is (not live or bool(task.stage))

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), off=st.sampled_from([0, 0, -1, 1]))
    def log(self, data: st.DataObject, off: int) -> None:
        delivery = self.any_delivery(data)
        task = self.tasks[delivery.task_id]
        attempt = (delivery.attempt or 0) + off
        noted = self.bench.run(self.bench.calls.add_lines(delivery.task_id, attempt, ["{}"]))
        assert noted is (task.state in RUNNING and attempt == task.standing.attempt)
        task.events["log"] += noted

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), off=st.sampled_from([0, 0, 0, -1, 1]))
    def retry(self, data: st.DataObject, off: int) -> None:
        delivery = self.any_delivery(data)
        task = self.tasks[delivery.task_id]
        attempt = (delivery.attempt or 0) + off
        if attempt < 0:
            return  # no attempt speaks: see submit_doubled
        outcome = self.bench.retry(delivery.task_id, attempt, due="+600000", queue="q").outcome
        if task.stage and task.state in RUNNING and attempt == task.standing.attempt:
            assert task.apply(Verb.STOP, attempt)
            assert outcome == "exists"
        else:
            retried = task.apply(Verb.RETRY, attempt)
            assert (outcome == "retried") is retried
            if retried:
                task.lost = task.crashed = 0

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), twice=st.booleans())
    def acknowledge(self, data: st.DataObject, *, twice: bool) -> None:
        """A worker acknowledges what it has dealt with: what is over, was sent anew, or is another's by now."""
        delivery = self.any_delivery(data)
        task = self.tasks[delivery.task_id]
        if delivery.entry == task.entry and task.state in (State.PENDING, *RUNNING):
            return
        self.bench.run(self.bench.calls.acknowledge([delivery.taken.place] * (1 + twice)))
        self.hands.remove(delivery)

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), reason=st.sampled_from(["rejected", "asked", "shutdown", "crashed"]))
    def reject(self, data: st.DataObject, reason: str) -> None:
        delivery = self.any_delivery(data)
        evidence = {"signal": "SIGSEGV"} if reason == "crashed" else None
        self.bench.run(self.bench.calls.give_back([delivery.taken.place], reason, evidence))
        if delivery.held:
            self.give_back(delivery, reason)

    # -- what time does -------------------------------------------------------------------------------------------

    @precondition(lambda self: any(task.state in (State.SCHEDULED, State.RETRY) for task in self.tasks.values()))
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        waiting = [one for one, task in self.tasks.items() if task.state in (State.SCHEDULED, State.RETRY)]
        due = data.draw(st.lists(st.sampled_from(waiting), min_size=1, unique=True))
        self.bench.make_due(*due)
        assert self.bench.run(self.bench.calls.promote(100)) == len(due)
        for task_id in due:
            assert self.tasks[task_id].apply(Verb.PROMOTE)
            self.tasks[task_id].entry += 1

    @rule(worker=st.sampled_from(WORKERS), most=st.sampled_from([1, 2, 100]), seen=st.sampled_from(SEEN))
    def lose_worker(self, worker: str, most: int, seen: str) -> None:
        """Its guardian sees it die, or its lease runs out: it may be only slow, and goes on to speak."""
        held = [delivery for delivery in self.hands if delivery.worker == worker and delivery.held]
        if not seen:
            self.bench.lapse(worker)
            self.bench.end_grace()
            assert sum(iter(lambda: self.bench.run(self.bench.calls.reap(most)), 0)) == len(held)
        while seen and self.bench.run(self.bench.calls.bury(most, [worker], seen, {"": {"signal": "SIGKILL"}}))[1]:
            pass
        for delivery in held:
            self.give_back(delivery, seen or "worker_lost")

    @rule(worker=st.sampled_from(WORKERS))
    def retire(self, worker: str) -> None:
        """Its channel closes: what never started goes back, and what runs stays."""
        kept = []
        for delivery in self.hands:
            if delivery.worker == worker and delivery.held:
                task = self.tasks[delivery.task_id]
                if delivery.entry == task.entry and task.state in RUNNING:
                    kept.append(delivery)
                else:
                    self.give_back(delivery)
        empty = self.bench.run(self.bench.calls.renew(LEASE, [], [worker]))
        assert empty == ([] if kept else [worker])

    @rule()
    def nobody_is_reaped_without_cause(self) -> None:
        self.bench.run(self.bench.calls.renew(LEASE, WORKERS, []))
        self.bench.end_grace()
        assert self.bench.run(self.bench.calls.reap(100)) == 0

    # -- the model ------------------------------------------------------------------------------------------------

    def any_task(self, data: st.DataObject) -> tuple[str, Task]:
        task_id = data.draw(st.sampled_from(sorted(self.tasks)))
        return task_id, self.tasks[task_id]

    def any_delivery(self, data: st.DataObject) -> Delivery:
        return self.hands[data.draw(st.integers(0, len(self.hands) - 1))]

    def give_back(self, delivery: Delivery, reason: str = "released") -> None:
        """An entry leaves a worker's hands on the server; the worker's own copy stays, to be late with."""
        delivery.held = False
        task = self.tasks[delivery.task_id]
        if delivery.entry != task.entry or task.state not in (State.PENDING, *RUNNING):
            return
        if task.state in RUNNING and task.stage:
            assert task.apply(Verb.STOP, task.standing.attempt)
            return
        if task.state in RUNNING:
            assert task.apply(Verb.LOSE, task.standing.attempt)
            task.lost += reason == "worker_lost"
            task.crashed += reason == "crashed"
        task.entry += 1

    @invariant()
    def model_and_ledger_agree(self) -> None:
        told: dict[str, Counter[str]] = {task_id: Counter() for task_id in self.tasks}
        for news in self.bench.events():
            told[news.task_id][news.state if news.event == "state" else news.event] += 1
        records = self.bench.records()
        assert records.keys() == self.tasks.keys()
        for task_id, task in self.tasks.items():
            record = records[task_id]
            assert Standing(State(record["state"]), int(record["attempt"])) == task.standing, task_id
            assert told[task_id] == +task.events, task_id
            assert ("finished" in record) is (task.state in FINAL)
            assert stage_of(record) == task.stage, task_id
            assert (int(record.get("lost", 0)), int(record.get("crashed", 0))) == (task.lost, task.crashed), task_id
            evidence = [one["reason"] for one in json.loads(record.get("evidence", "[]"))]
            assert (evidence.count("worker_lost"), evidence.count("crashed")) == (task.lost, task.crashed)

    @invariant()
    def nothing_is_lost(self) -> None:
        self.bench.check_nothing_lost()


def test_workers_in_any_order(server_url: str) -> None:
    class OnServer(Workers):
        url = server_url

    run_state_machine_as_test(
        OnServer,
        settings=settings(
            max_examples=80,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Each step asks a server: to shrink a failure takes minutes. Add Phase.shrink when you look for one.
            phases=[Phase.reuse, Phase.generate],
        ),
    )

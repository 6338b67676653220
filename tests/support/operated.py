"""A yard whose tasks are dealt with by operations: the test does what workers and keepers would do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backyard import Backyard
from backyard.core.operation import Operation, OperationPlan
from backyard.core.states import State, Verb
from backyard.core.task_filter import TaskFilter
from backyard.history import operations
from backyard.history.queries import page_of
from backyard.keeper.operations import OperationsDuty
from backyard.keeper.recording import Recording
from backyard.submit import Options
from support.bench import Bench

FAILURE = '{"kind":"error","type":"ValueError","message":"no such customer","fingerprint":"f00"}'


class Stage:
    """A yard without workers and keepers: the test does what they would do."""

    def __init__(self, yard: Backyard) -> None:
        self.yard = yard
        self.bench = Bench(yard.ledger)
        self.now = 1_000.0
        self.recording = Recording(yard.ledger, yard.history, "test", 100_000)

    def duty(self) -> OperationsDuty:
        return OperationsDuty(self.yard, lambda: self.now)

    def submit(self, number: int, name: str = "mail", **options: Any) -> list[str]:
        """Submit tasks; their inputs count up."""
        definition = self.yard.definition(name)
        return [
            self.yard.submit_sync(definition, b'{"number":%d}' % one, Options().having(**options)).task_id
            for one in range(number)
        ]

    def work(self, state: State = State.FAILURE, most: int = 1_000) -> list[str]:
        """Do what waits, with this end; returns the ids."""
        done = []
        for taken in self.bench.take("c", most, ["default"]):
            task_id = self._owner(taken.tag)
            started = self.bench.start(task_id, taken.tag)
            assert started.attempt is not None
            verb = Verb.FAIL if state is State.FAILURE else Verb.SUCCEED
            fields = {"failure": FAILURE} if state is State.FAILURE else {"result": "1"}
            self.bench.move(verb, task_id, started.attempt, fields=fields)
            self.bench.run(self.bench.calls.acknowledge([taken.place]))
            done.append(task_id)
        self.record()
        return done

    def _owner(self, tag: str) -> str:
        _, pending = self.bench.entries()
        return pending[f"default/{tag}"]

    def record(self) -> None:
        """Let the history have what has happened."""
        calls = self.yard.ledger.calls
        newest = self.yard.ledger.run(calls.last_event())
        while True:
            self.recording.step()
            recorded = self.yard.ledger.run(calls.recorded())
            if recorded is not None and recorded.position == newest:
                return

    def make(self, verb: str, operation_id: str = "o", **plan: Any) -> Operation:
        known = OperationPlan.model_validate(
            {"verb": verb, **({"everything": True} if "filter" not in plan else {}), **plan}
        )
        return operations.create(self.yard.history, operation_id, known, actor="me", now=1)[0]

    def seen(self, operation_id: str = "o") -> Operation:
        found = operations.get(self.yard.history, operation_id)
        assert found is not None
        return found

    def run(self, *duties: OperationsDuty, steps: int = 100) -> Operation:
        """Let duties take turns until the operation is over, or so many steps."""
        working = duties or (self.duty(),)
        for step in range(steps):
            if self.seen().final:
                break
            self.now += working[step % len(working)].step()
        return self.seen()

    def reruns(self) -> list[str]:
        """Return the ids of what the operation has submitted, newest first."""
        self.record()
        page = page_of(self.yard.history, TaskFilter(operation="o"), 500)
        return [one.task_id for one in page.tasks]


def states(stage: Stage, task_ids: Sequence[str]) -> set[State]:
    return {stage.bench.state(task_id) for task_id in task_ids}

"""Coroutines run beside each other in one process; what one of them does is no other's business."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from backyard import Backyard
from backyard.core.models import FailureKind
from backyard.core.states import State
from backyard.engine.message import compose
from backyard.ledger.record import Record
from backyard.ledger.task_calls import CRASHES
from backyard.submit import Options, submission
from support.clean import assert_clean, counted, wait_final, wait_for_state, wait_until
from support.hosted import TARGET, yard_of
from support.processes import Process, start_worker
from support.trials import starts


@pytest.fixture
def yard(environment: dict[str, str]) -> Iterator[Backyard]:
    made = yard_of(environment)
    yield made
    made.ledger.close()


@pytest.fixture
def work(environment: dict[str, str]) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(**more: str) -> Process:
        process = start_worker({**environment, **more}, "--concurrency=1", target=TARGET)
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()


def submit(yard: Backyard, name: str, inputs: Sequence[dict[str, Any]]) -> list[str]:
    ready = [submission(yard.definition(name), json.dumps(one).encode(), Options(), yard.settings) for one in inputs]
    return [one.task_id for one in yard.ledger.submit(ready)]


def steps(yard: Backyard, gate: Path, whats: Sequence[str]) -> list[str]:
    return submit(yard, "step", [{"gate": str(gate), "what": what, "number": n} for n, what in enumerate(whats)])


def ended(yard: Backyard, task_ids: Sequence[str]) -> list[Record]:
    return [wait_final(yard.ledger, task_id) for task_id in task_ids]


def ways(records: Sequence[Record]) -> set[tuple[State, int]]:
    return {(record.state, record.number("attempt")) for record in records}


def results(records: Sequence[Record]) -> list[Any]:
    return [json.loads(record.fields["result"]) for record in records]


def wait_for_starts(gate: Path, count: int) -> None:
    wait_until(lambda: len(starts(gate)) >= count, f"{count} have begun")


def test_all_run_at_the_same_time(yard: Backyard, work: Callable[..., Process]) -> None:
    work()
    task_ids = submit(yard, "meet", [{"place": "a", "parties": 200, "number": number} for number in range(200)])
    records = ended(yard, task_ids)
    assert ways(records) == {(State.SUCCESS, 1)}
    assert [number for number, _ in results(records)] == list(range(200))
    assert len({pid for _, pid in results(records)}) == 1
    assert_clean(yard.ledger)


def test_functions_keep_their_own_process(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    work()
    gate = tmp_path / "gate"
    waiting = steps(yard, gate, ["wait"] * 3)
    wait_for_starts(gate, 3)
    beside = results(ended(yard, submit(yard, "plain", [{}] * 3)))
    assert [wait_for_state(yard.ledger, task_id, State.STARTED).number("attempt") for task_id in waiting] == [1] * 3
    gate.touch()
    assert not set(beside) & set(results(ended(yard, waiting)))
    assert_clean(yard.ledger)


def test_limited_and_large_ones_run_alone(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    work()
    (limited,) = results(ended(yard, submit(yard, "limited", [{}])))
    large, beside = results(ended(yard, steps(yard, tmp_path / "gate", ["x" * 100_000, "go"])))
    (function,) = results(ended(yard, submit(yard, "plain", [{}])))
    assert limited == large == function != beside


def test_all_ways_to_end(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    work()
    whats = ["go", "fail", "retry", "ignore", "reject", "requeue"] * 5
    records = ended(yard, steps(yard, tmp_path / "gate", whats))
    assert {what: ways(records[place::6]) for place, what in enumerate(whats[:6])} == {
        "go": {(State.SUCCESS, 1)},
        "fail": {(State.FAILURE, 3)},
        "retry": {(State.SUCCESS, 2)},
        "ignore": {(State.SUCCESS, 1)},
        "reject": {(State.FAILURE, 1)},
        "requeue": {(State.SUCCESS, 2)},
    }
    assert_clean(yard.ledger)


def test_one_of_many_is_cancelled(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    work()
    gate = tmp_path / "gate"
    task_ids = steps(yard, gate, ["wait"] * 20)
    wait_for_starts(gate, 20)
    one = task_ids.pop(7)
    assert yard.cancel_sync([one]) == {one: "requested"}
    record = wait_final(yard.ledger, one)
    assert (record.state, record.text("cancel_by")) == (State.REVOKED, "stopped")
    gate.touch()
    assert ways(ended(yard, task_ids)) == {(State.SUCCESS, 1)}
    assert len(starts(gate)) == 20
    assert_clean(yard.ledger)


def test_one_that_will_not_stop_is_killed_when_it_is_alone(
    yard: Backyard, work: Callable[..., Process], tmp_path: Path
) -> None:
    work(BACKYARD_CANCEL_GRACE="0.5")
    gate, never = tmp_path / "gate", tmp_path / "never"
    others, (stubborn,) = steps(yard, gate, ["wait"] * 3), steps(yard, never, ["deaf"])
    wait_for_starts(gate, 3)
    wait_for_starts(never, 1)
    assert yard.cancel_sync([stubborn]) == {stubborn: "requested"}
    wait_until(lambda: ["swallowed"] in starts(never))
    assert "shares its process" in wait_until(lambda: yard.ledger.record(stubborn).text("cancel_reason") or "")
    gate.touch()
    assert ways(ended(yard, others)) == {(State.SUCCESS, 1)}
    record = wait_final(yard.ledger, stubborn)
    assert (record.state, record.text("cancel_by")) == (State.REVOKED, "killed")
    assert_clean(yard.ledger)


def test_one_that_ends_the_process_is_found_out(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    work()
    gate = tmp_path / "gate"
    others = steps(yard, gate, ["wait once"] * 10)
    wait_for_starts(gate, 10)
    (culprit,) = steps(yard, gate, ["die"])
    failure = wait_final(yard.ledger, culprit).failure
    assert failure is not None
    assert failure.kind is FailureKind.QUARANTINED
    assert [(one.reason, one.exit_code) for one in failure.evidence or ()] == [("crashed", 7)] * CRASHES
    records = ended(yard, others)
    assert ways(records) == {(State.SUCCESS, 2)}
    # A new process runs those that come.
    (host,) = results(ended(yard, steps(yard, tmp_path / "more", ["go"])))
    assert host not in results(records)
    assert_clean(yard.ledger)


def test_a_death_is_seen_though_a_child_lives_on(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    work()
    gate = tmp_path / "gate"
    others = steps(yard, gate, ["wait once"] * 3)
    wait_for_starts(gate, 3)
    task_ids = [*others, *steps(yard, gate, ["leave a child and die"])]
    assert ways(ended(yard, task_ids)) == {(State.SUCCESS, 2)}
    assert_clean(yard.ledger)


@pytest.mark.parametrize("body", [b"[1, 2]", b'{"gate": "\xff"}', b"{"])
def test_a_body_that_is_none_troubles_nobody(
    yard: Backyard, work: Callable[..., Process], tmp_path: Path, body: bytes
) -> None:
    work()
    gate = tmp_path / "gate"
    beside = steps(yard, gate, ["wait"] * 3)
    odd = compose("odd", "step", body, queue="default", lane="normal", timelimit=(None, None))
    client: redis.Redis = yard.ledger.client
    client.xadd(yard.ledger.keys.queue("default", "normal"), {"t": "", "m": odd, "r": "0"})
    assert wait_until(lambda: client.xlen(f"{yard.ledger.keys.prefix}dead")) == 1
    gate.touch()
    assert ways(ended(yard, beside)) == {(State.SUCCESS, 1)}
    assert_clean(yard.ledger)


def test_a_worker_that_is_killed_loses_none(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    first = work()
    gate = tmp_path / "gate"
    task_ids = steps(yard, gate, ["wait once"] * 20)
    wait_for_starts(gate, 20)
    first.kill()
    work()
    assert ways(ended(yard, task_ids)) == {(State.SUCCESS, 2)}
    assert_clean(yard.ledger)


def test_a_worker_that_stops_lets_them_finish(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    worker = work(BACKYARD_STOP_GRACE="600")
    gate = tmp_path / "gate"
    task_ids = steps(yard, gate, ["wait"] * 20)
    wait_for_starts(gate, 20)
    worker.child.send_signal(signal.SIGTERM)
    worker.wait_for_line("Waiting for 20 async tasks")
    later = steps(yard, tmp_path / "later", ["go"])
    gate.touch()
    assert ways(ended(yard, task_ids)) == {(State.SUCCESS, 1)}
    assert worker.child.wait(30) == 0
    assert [yard.ledger.record(task_id).state for task_id in later] == [State.PENDING]


def test_what_outlasts_the_grace_goes_back(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    worker = work(BACKYARD_STOP_GRACE="2")
    gate = tmp_path / "gate"
    task_ids = steps(yard, gate, ["wait once"] * 20)
    wait_for_starts(gate, 20)
    worker.child.send_signal(signal.SIGTERM)
    assert worker.child.wait(30) == 0
    work()
    records = ended(yard, task_ids)
    assert ways(records) == {(State.SUCCESS, 2)}
    assert not [record for record in records if "crashed" in record.fields or "lost" in record.fields]
    assert_clean(yard.ledger)


def test_no_more_run_than_are_let(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    work(BACKYARD_ASYNC_CONCURRENCY="5")
    gate = tmp_path / "gate"
    task_ids = [*steps(yard, gate, ["wait"] * 12), *submit(yard, "plain", [{}])]
    wait_for_starts(gate, 5)
    records = yard.ledger.run(yard.ledger.calls.records(task_ids))
    assert Counter(record.state for record in records) == {State.STARTED: 5, State.PENDING: 8}
    gate.touch()
    assert ways(ended(yard, task_ids)) == {(State.SUCCESS, 1)}
    assert len(starts(gate)) == 12
    assert counted(yard.ledger).get("returned", 0) < 40, "it took again and again what it had no room for"
    assert_clean(yard.ledger)


def test_they_outlive_a_connection(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    worker = work()
    gate = tmp_path / "gate"
    task_ids = steps(yard, gate, ["wait"] * 20)
    wait_for_starts(gate, 20)
    client: redis.Redis = yard.ledger.client
    client.client_kill_filter(_type="normal", skipme=True)
    worker.wait_for_line("Connection to broker lost")
    later = steps(yard, tmp_path / "later", ["go"] * 20)
    records = ended(yard, later)
    assert ways(records) == {(State.SUCCESS, 1)}
    gate.touch()
    assert results(ended(yard, task_ids)) == results(records)
    assert len(starts(gate)) == 20
    assert_clean(yard.ledger, leases=1)

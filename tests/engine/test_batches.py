"""Short tasks go to a process in batches; what one of them does is no other's business."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

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
from support.processes import Process, start_worker
from support.quick import TARGET, yard_of
from support.trials import starts

WARM = 60


@pytest.fixture
def yard(environment: dict[str, str]) -> Iterator[Backyard]:
    made = yard_of(environment)
    yield made
    made.ledger.close()


@pytest.fixture
def work(environment: dict[str, str]) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(*options: str, **more: str) -> Process:
        process = start_worker({**environment, **more}, *options, target=TARGET)
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()


def submit(yard: Backyard, gate: Path, whats: Sequence[str], *, paused: bool = True) -> list[str]:
    """Submit tasks that wait together before any of them is taken.

    A read that was under way takes them nevertheless, and they are put aside and back: in the order of their ids, where
    all of that is of one millisecond.
    """
    definition = yard.definition("step")
    if paused:
        yard.pause_queue_sync("default")
    ready = []
    for number, what in enumerate(whats):
        payload = json.dumps({"gate": str(gate), "what": what, "number": number}).encode()
        options = Options(task_id=f"{gate.name}-{number:03}")
        ready.append(submission(definition, payload, options, yard.settings))
    accepted = yard.ledger.submit(ready)
    if paused:
        yard.resume_queue_sync("default")
    return [one.task_id for one in accepted]


def ended(yard: Backyard, task_ids: Sequence[str]) -> list[Record]:
    return [wait_final(yard.ledger, task_id) for task_id in task_ids]


def warm(yard: Backyard, tmp_path: Path) -> None:
    """Let the worker see that the task is short, so that it takes many at once."""
    records = ended(yard, submit(yard, tmp_path / "warm", ["go"] * WARM))
    assert {record.state for record in records} == {State.SUCCESS}


def successes(worker: Process) -> int:
    return sum(" succeeded in " in line for line in worker.lines)


@pytest.mark.parametrize("processes", [1, 2])
def test_each_runs_once_and_in_batches(
    yard: Backyard, work: Callable[..., Process], tmp_path: Path, processes: int
) -> None:
    worker = work(f"--concurrency={processes}")
    for turn in range(5):
        gate, before = tmp_path / f"gate{turn}", successes(worker)
        records = ended(yard, submit(yard, gate, ["go"] * 400))
        assert [json.loads(record.fields["result"]) for record in records] == list(range(400))
        assert {record.state for record in records} == {State.SUCCESS}
        assert Counter(int(number) for number, *_ in starts(gate)) == Counter(range(400))
        assert len({pid for *_, pid in starts(gate)}) == processes
        assert_clean(yard.ledger)
        if successes(worker) - before < 200:  # those that ran alone; on a busy machine some look long
            return
    pytest.fail("they never ran in batches")


def test_a_long_one_holds_nobody_up(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    work("--concurrency=2")
    warm(yard, tmp_path)
    gate = tmp_path / "gate"
    task_ids = submit(yard, gate, ["go"] * 5 + ["wait"] + ["go"] * 60)
    long = task_ids.pop(5)
    assert {record.state for record in ended(yard, task_ids)} == {State.SUCCESS}
    assert wait_for_state(yard.ledger, long, State.STARTED).number("attempt") == 1
    gate.touch()
    assert wait_final(yard.ledger, long).state is State.SUCCESS
    assert Counter(int(number) for number, *_ in starts(gate)) == Counter(range(66))
    assert_clean(yard.ledger)


def test_what_has_ended_is_told_while_the_next_one_runs(
    yard: Backyard, work: Callable[..., Process], tmp_path: Path
) -> None:
    work("--concurrency=1")
    warm(yard, tmp_path)
    gate = tmp_path / "gate"
    # A pause could let the one that waits begin before those that were put aside come back.
    task_ids = submit(yard, gate, ["go"] * 12 + ["wait"] + ["go"] * 2, paused=False)
    before, long, after = task_ids[:12], task_ids[12], task_ids[13:]
    assert {record.state for record in ended(yard, before)} == {State.SUCCESS}
    assert wait_for_state(yard.ledger, long, State.STARTED)
    waiting = [wait_for_state(yard.ledger, task_id, State.PENDING) for task_id in after]

    def active() -> list[tuple[str, str]]:
        shown = yard.celery.control.inspect(timeout=2).active() or {}
        return [(row["id"], row["name"]) for rows in shown.values() for row in rows]

    wait_until(lambda: active() == [(long, "step")], "the worker says what runs")
    gate.touch()
    records = [*ended(yard, [long, *after])]
    assert {record.state for record in (*records, *waiting)} == {State.SUCCESS, State.PENDING}
    assert Counter(int(number) for number, *_ in starts(gate)) == Counter(range(15))
    assert_clean(yard.ledger)


def test_a_death_in_the_middle_counts_for_one_alone(
    yard: Backyard, work: Callable[..., Process], tmp_path: Path
) -> None:
    work("--concurrency=1")
    warm(yard, tmp_path)
    gate = tmp_path / "gate"
    task_ids = submit(yard, gate, ["go"] * 10 + ["die"] + ["go"] * 10)
    culprit = wait_final(yard.ledger, task_ids.pop(10))
    failure = culprit.failure
    assert failure is not None
    assert failure.kind is FailureKind.QUARANTINED
    assert [(one.reason, one.exit_code) for one in failure.evidence or ()] == [("crashed", 7)] * CRASHES
    others = ended(yard, task_ids)
    assert {record.state for record in others} == {State.SUCCESS}
    assert not [record for record in others if "crashed" in record.fields or "lost" in record.fields]
    runs = Counter(int(number) for number, *_ in starts(gate))
    assert runs[10] == CRASHES  # each death was noted as its own
    # An outcome that had not gone out yet died with its process: that task, and no other, has run twice.
    assert sum(count - 1 for number, count in runs.items() if number != 10) <= 10
    assert_clean(yard.ledger)


def test_a_worker_that_is_killed_loses_none(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    first = work("--concurrency=2")
    warm(yard, tmp_path)
    gate = tmp_path / "gate"
    task_ids = submit(yard, gate, ["go"] * 20 + ["wait once"] + ["go"] * 200)
    wait_for_state(yard.ledger, task_ids[20], State.STARTED)
    first.kill()
    work("--concurrency=2")
    assert {record.state for record in ended(yard, task_ids)} == {State.SUCCESS}
    assert {int(number) for number, *_ in starts(gate)} == set(range(221))
    assert_clean(yard.ledger)


def test_what_a_process_had_in_its_pipe_when_it_died_runs_once(
    yard: Backyard, work: Callable[..., Process], tmp_path: Path
) -> None:
    work("--concurrency=1")
    warm(yard, tmp_path)
    pid = int(starts(tmp_path / "warm")[0][-1])

    def written() -> int:
        stats = wait_until(lambda: yard.celery.control.inspect(timeout=2).stats(), "the worker tells its figures")
        return sum(worker["pool"]["writes"]["total"] for worker in stats.values())

    before = written()
    os.kill(pid, signal.SIGSTOP)
    gate = tmp_path / "gate"
    (task_id,) = submit(yard, gate, ["go"])
    wait_until(lambda: written() > before, "it is in the pipe")
    os.kill(pid, signal.SIGKILL)
    record = wait_final(yard.ledger, task_id)
    assert (record.state, record.number("attempt")) == (State.SUCCESS, 1)
    assert not {"crashed", "lost"} & set(record.fields)
    ((*_, other),) = starts(gate)
    assert int(other) != pid
    assert_clean(yard.ledger)


def test_one_that_will_not_stop_is_killed_alone(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    work("--concurrency=1", BACKYARD_CANCEL_GRACE="0.5")
    warm(yard, tmp_path)
    gate = tmp_path / "gate"
    task_ids = submit(yard, gate, ["go"] * 3 + ["spin"] + ["go"] * 10)
    stubborn = task_ids.pop(3)
    wait_until(lambda: [one for one in starts(gate) if one[0] == "3"], "it spins")
    assert yard.cancel_sync([stubborn]) == {stubborn: "requested"}
    record = wait_final(yard.ledger, stubborn)
    assert (record.state, record.text("cancel_by")) == (State.REVOKED, "killed")
    assert {record.state for record in ended(yard, task_ids)} == {State.SUCCESS}
    assert_clean(yard.ledger)


def test_all_ways_to_end(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    work("--concurrency=1")
    warm(yard, tmp_path)
    gate = tmp_path / "gate"
    whats = ["go", "fail", "retry", "ignore", "reject", "requeue"] * 5
    records = ended(yard, submit(yard, gate, whats))
    # Runs, not attempts: on a slow machine what was begun behind a task that takes long goes back, and begins anew.
    runs = Counter(int(number) for number, *_ in starts(gate))
    found = {
        what: {(record.state, runs[number]) for number, record in enumerate(records) if whats[number] == what}
        for what in whats
    }
    assert found == {
        "go": {(State.SUCCESS, 1)},
        "fail": {(State.FAILURE, 3)},
        "retry": {(State.SUCCESS, 2)},
        "ignore": {(State.SUCCESS, 1)},
        "reject": {(State.FAILURE, 1)},
        "requeue": {(State.SUCCESS, 2)},
    }
    assert_clean(yard.ledger)


def test_a_body_that_is_none_spoils_no_batch(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    work("--concurrency=1")
    warm(yard, tmp_path)
    gate = tmp_path / "gate"
    yard.pause_queue_sync("default")
    odd = compose("odd", "step", b"[1, 2]", queue="default", lane="normal", timelimit=(None, None))
    client: redis.Redis = yard.ledger.client
    client.xadd(yard.ledger.keys.queue("default", "normal"), {"t": "", "m": odd, "r": "0"})
    records = ended(yard, submit(yard, gate, ["go"] * 20))
    assert {record.state for record in records} == {State.SUCCESS}
    assert wait_until(lambda: client.xlen(f"{yard.ledger.keys.prefix}dead")) == 1
    assert_clean(yard.ledger)


def test_a_cancelled_one_never_starts(yard: Backyard, work: Callable[..., Process], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task_ids = submit(yard, gate, ["go"] * 30)
    cancelled = task_ids[::3]
    assert set(yard.cancel_sync(cancelled).values()) == {"cancelled"}
    work("--concurrency=2")
    states = {task_id: record.state for task_id, record in zip(task_ids, ended(yard, task_ids), strict=True)}
    assert {states[task_id] for task_id in cancelled} == {State.REVOKED}
    assert {int(number) for number, *_ in starts(gate)} == {number for number in range(30) if number % 3}
    assert not counted(yard.ledger).get("stale")
    assert_clean(yard.ledger)

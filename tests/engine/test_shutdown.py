"""Workers that are told to stop: what runs may finish within the grace, and the rest runs elsewhere at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backyard.core.states import State
from backyard.embedded.server import EmbeddedServer
from support.clean import assert_clean, counted, news_of, wait_for_state, wait_until
from support.family import guardian_of
from support.processes import Process, make_environment, start_worker
from support.stage import TARGET, Stage, staged
from support.trials import starts

Start = Callable[..., Process]
POOLS = ["prefork", "threads", "solo"]
ENDING = 60.0  # seconds of patience on a busy machine, where the grace is far longer or all but nothing


@pytest.fixture
def patient(environment: dict[str, str]) -> dict[str, str]:
    """A lease and a grace so long that nothing in the test comes from their running out."""
    return change(environment, lease=300, grace=300)


def change(environment: dict[str, str], *, lease: float, grace: float) -> dict[str, str]:
    environment.update(BACKYARD_LEASE=str(lease), BACKYARD_STOP_GRACE=str(grace))
    return environment


def given_back(stage: Stage, task_id: str) -> None:
    """The task waits again, and nobody counts that as a loss or a crash."""
    record = stage.ledger.record(task_id)
    assert record.state is State.PENDING
    assert not {"lost", "crashed", "evidence"} & set(record.fields)
    assert counted(stage.ledger).get("workers_lost", 0) == 0


@pytest.mark.parametrize("pool", POOLS)
def test_what_does_not_finish_in_time_goes_back_at_once(
    patient: dict[str, str], stage: Stage, workers: Start, gate: Path, pool: str
) -> None:
    change(patient, lease=300, grace=1)
    first = workers(f"--pool={pool}", "--concurrency=2", "-n", "first")
    handles = [stage.typed.hold.submit_sync(str(gate)) for _ in range(1 if pool == "solo" else 2)]
    wait_until(lambda: len(starts(gate)) == len(handles), "they start")
    first.child.terminate()
    assert first.child.wait(ENDING) == 0
    assert stage.ledger.client.zcard(stage.ledger.keys.leases) == 0
    assert stage.yard.workers() == []
    for handle in handles:
        given_back(stage, handle.task_id)
        assert [state for state, _ in news_of(stage.ledger, handle.task_id)] == ["PENDING", "STARTED", "PENDING"]
    for pid, *_ in starts(gate):
        assert not Path(f"/proc/{pid}").exists(), "nothing of it runs on"
    workers(f"--pool={pool}", "--concurrency=2", "-n", "second")
    gate.touch()
    assert [handle.result_sync(30) for handle in handles] == [2] * len(handles)
    assert_clean(stage.ledger)


@pytest.mark.parametrize("pool", POOLS)
def test_what_finishes_in_time_is_left_to_it(
    patient: dict[str, str], stage: Stage, workers: Start, gate: Path, pool: str
) -> None:
    first = workers(f"--pool={pool}", "--concurrency=1", "-n", "first@h")
    handle = stage.typed.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    waiting = stage.typed.add.submit_sync(1)
    os.kill(first.child.pid, signal.SIGINT)
    wait_until(lambda: [one.state for one in stage.yard.workers()] == ["stopping"], "others see it")
    assert waiting.status_sync().state is State.PENDING
    gate.touch()
    assert handle.result_sync(30) == 1
    assert first.child.wait(ENDING) == 0
    assert waiting.status_sync().state is State.PENDING, "it took nothing more"
    workers("--concurrency=1")
    assert waiting.result_sync(30) == 3
    assert_clean(stage.ledger)
    assert patient["BACKYARD_STOP_GRACE"] == "300"


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_hands_back_at_once(
    patient: dict[str, str], stage: Stage, workers: Start, gate: Path, pool: str, second: signal.Signals
) -> None:
    first = workers(f"--pool={pool}", "--concurrency=1", "-n", "first")
    handle = stage.typed.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    first.child.terminate()
    first.wait_for_line("Warm shutdown")
    os.kill(first.child.pid, second)
    assert first.child.wait(ENDING) == 0
    given_back(stage, handle.task_id)
    assert patient["BACKYARD_STOP_GRACE"] == "300"


def test_the_last_act_needs_no_guardian(patient: dict[str, str], stage: Stage, workers: Start, gate: Path) -> None:
    """Where the process that waits for the worker ends its machine with it, as in a container, no other one is left."""
    change(patient, lease=300, grace=1)
    first = workers("--concurrency=1")
    handle = stage.typed.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    guardian = guardian_of(first.child.pid)
    os.kill(guardian, signal.SIGSTOP)
    try:
        first.child.terminate()
        assert first.child.wait(ENDING) == 0
        given_back(stage, handle.task_id)
    finally:
        os.kill(guardian, signal.SIGCONT)


def test_what_was_taken_ahead_goes_back_with_the_first_signal(
    patient: dict[str, str], stage: Stage, workers: Start, gate: Path
) -> None:
    first = workers("--concurrency=1", "--prefetch-multiplier=4", "-n", "first")
    handle = stage.typed.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    ahead = [stage.typed.add.submit_sync(number) for number in range(3)]
    wait_until(lambda: stage.yard.queue_depths(["default"])["default"] == 0, "they are taken ahead")
    first.child.terminate()
    wait_until(lambda: stage.yard.queue_depths(["default"])["default"] == 3, "they are back")
    workers("--concurrency=1", "-n", "second")
    assert [one.result_sync(30) for one in ahead] == [2, 3, 4]
    assert first.child.poll() is None
    gate.touch()
    assert handle.result_sync(30) == 1
    assert first.child.wait(ENDING) == 0
    assert_clean(stage.ledger)
    assert patient["BACKYARD_STOP_GRACE"] == "300"


def test_celerys_own_shutdown_keeps_to_the_grace(
    patient: dict[str, str], stage: Stage, workers: Start, gate: Path
) -> None:
    change(patient, lease=300, grace=1)
    worker = workers("--concurrency=1")
    handle = stage.typed.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    stage.yard.celery.control.shutdown()
    assert worker.child.wait(ENDING) == 0
    given_back(stage, handle.task_id)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of the test's own."""
    with EmbeddedServer(tmp_path / "own") as server:
        yield server


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("how", ["killed", "frozen"])
@pytest.mark.parametrize("busy", [False, True])
def test_a_worker_ends_while_the_server_is_away(
    server: EmbeddedServer, tmp_path: Path, gate: Path, pool: str, how: str, *, busy: bool
) -> None:
    environment = change(make_environment(server.url, tmp_path), lease=4, grace=3)
    with staged(environment) as own:
        pid = server.pid
        assert pid is not None
        worker = start_worker(environment, f"--pool={pool}", "--concurrency=1", target=TARGET)
        try:
            held = own.typed.hold.submit_sync(str(gate)) if busy else None
            if busy:
                wait_until(lambda: starts(gate), "it starts")
            if how == "killed":
                server.kill()
                server.exited.result(10)
            else:
                os.kill(pid, signal.SIGSTOP)
            if not busy:
                # Its main loop has begun to wait for the server.
                worker.wait_for_line("rying")
            worker.child.terminate()
            assert worker.child.wait(3 + ENDING) == 0
        finally:
            if how == "frozen":
                os.kill(pid, signal.SIGCONT)
            worker.end()
        if held is not None and how == "frozen":
            # The guardian gives it back when the server is there again, or its lease runs out.
            second = start_worker(environment, "--concurrency=1", target=TARGET)
            try:
                wait_until(lambda: len(starts(gate)) == 2, "it runs again")
                gate.touch()
                assert held.result_sync(30) == 2
            finally:
                second.end()


def test_a_rolling_deploy_loses_nothing(environment: dict[str, str], stage: Stage, workers: Start, gate: Path) -> None:
    """Two workers replaced one by one, again and again, under load; each has a long task that will not finish."""
    change(environment, lease=300, grace=0.5)
    crew: list[Any] = [workers("--concurrency=2", "-n", f"w{number}") for number in range(2)]
    handles = []
    for turn in range(3):
        held = stage.typed.hold.submit_sync(f"{gate}.{turn}")
        handles += [stage.typed.add.submit_sync(number) for number in range(100)]
        wait_until(partial(starts, f"{gate}.{turn}"), "the long one runs")
        for place in range(2):
            crew[place].child.terminate()
            handles += [stage.typed.add.submit_sync(number) for number in range(50)]
            assert crew[place].child.wait(ENDING) == 0
            crew[place] = workers("--concurrency=2", "-n", f"w{place}")
        Path(f"{gate}.{turn}").touch()
        attempts = held.result_sync(30)
        assert 2 <= attempts <= 3
        assert [int(row[1]) for row in starts(f"{gate}.{turn}")] == list(range(1, attempts + 1))
    for handle in handles:
        handle.result_sync(30)
    assert counted(stage.ledger).get("workers_lost", 0) == 0
    assert_clean(stage.ledger, leases=2)
    for handle in handles:
        final = [state for state, _ in news_of(stage.ledger, handle.task_id) if state == "SUCCESS"]
        assert final == ["SUCCESS"]
    assert wait_for_state(stage.ledger, handles[-1].task_id, State.SUCCESS)

"""Workers that are told to drain: by the command, over HTTP and from Python."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backyard.core.errors import UnknownWorkerError
from backyard.core.states import State
from backyard.engine.registry import BEAT
from support.clean import assert_clean, wait_until
from support.processes import TESTS, Process, start_worker
from support.stage import TARGET, Stage
from support.trials import starts

Start = Callable[..., Process]
POOLS = ["prefork", "threads", "solo"]


def command(stage: Stage, *words: str) -> subprocess.Popen[str]:
    """Start the command for the trials' yard."""
    return subprocess.Popen(
        [sys.executable, "-m", "backyard", "drain", "--target", "support.trials:yard", *words],
        env={**os.environ, "PYTHONPATH": str(TESTS), "PYTHONUNBUFFERED": "1", **stage.environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def drained(stage: Stage, *words: str) -> tuple[int, str]:
    """Run the command, and return its exit code and what it says."""
    with command(stage, *words) as running:
        said, _ = running.communicate(timeout=90)
    return running.returncode, said


@pytest.mark.parametrize("pool", POOLS)
def test_a_drained_worker_finishes_and_ends(stage: Stage, workers: Start, gate: Path, pool: str) -> None:
    first = workers(f"--pool={pool}", "--concurrency=1", "-n", "first@h")
    held = stage.typed.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    with command(stage, "first") as draining:
        wait_until(lambda: [one.state for one in stage.yard.workers()] == ["draining"], "it drains")
        waiting = stage.typed.add.submit_sync(1)
        assert draining.poll() is None
        gate.touch()
        assert held.result_sync(30) == 1
        said, _ = draining.communicate(timeout=60)
    assert first.child.wait(30) == 0
    assert draining.returncode == 0
    assert said.splitlines()[-1] == "first@h: has ended"
    assert waiting.status_sync().state is State.PENDING
    assert_clean_but(stage, waiting.task_id)


def assert_clean_but(stage: Stage, task_id: str) -> None:
    """All is over and nothing is left, but for one task that waits."""
    stage.yard.handle(task_id).cancel_sync()
    assert_clean(stage.ledger, leases=0)


@pytest.mark.parametrize("pool", POOLS)
def test_a_drained_worker_may_stay(stage: Stage, workers: Start, pool: str) -> None:
    first = workers(f"--pool={pool}", "--concurrency=1", "-n", "first@h")
    second = workers("--concurrency=1", "-n", "second@h")
    assert stage.yard.drain(["first"], stay=True) == ["first@h"]
    wait_until(lambda: "draining" in [one.state for one in stage.yard.workers()], "it drains")
    # At once: a read of the queues is still under way, and what it brings goes back.
    for number in range(10):
        handle = stage.typed.add.submit_sync(number)
        assert handle.result_sync(30) == number + 2
        assert handle.status_sync().worker == "second@h"
    assert {one.worker_name: one.state for one in stage.yard.workers()} == {
        "first@h": "draining",
        "second@h": "running",
    }
    assert drained(stage, "first@h", "--stay") == (0, "first@h: takes nothing and runs nothing\n")
    assert first.child.poll() is None
    assert first.stop() == second.stop() == 0


def test_all_are_drained_where_none_is_named(stage: Stage, workers: Start) -> None:
    assert drained(stage) == (0, "There is no worker.\n")
    crew = [workers("--concurrency=1", "-n", name) for name in ("a@h", "b@h")]
    code, said = drained(stage)
    assert code == 0
    assert {"a@h: has ended", "b@h: has ended"} <= set(said.splitlines())
    assert [one.child.wait(30) for one in crew] == [0, 0]


def test_what_cannot_be_drained_is_said(stage: Stage, workers: Start, gate: Path) -> None:
    worker = workers("--concurrency=1", "-n", "first@h")
    assert drained(stage, "frist") == (1, "Error: There is no worker 'frist'. Did you mean 'first@h'?\n")
    with pytest.raises(UnknownWorkerError, match="There are: first@h"):
        stage.yard.drain(["zzz"])
    held = stage.typed.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    code, said = drained(stage, "--timeout", "3")
    assert code == 1
    assert said.splitlines()[-1] == "The time is up; still draining: first@h."
    with command(stage) as draining:
        assert draining.stdout is not None
        assert "first@h: draining" in draining.stdout.readline(), "it has seen it alive"
        worker.kill()
        said, _ = draining.communicate(timeout=60)
    assert draining.returncode == 1
    assert "first@h: died or was cut off while it drained" in said
    assert held.status_sync().state is not State.SUCCESS


def test_two_workers_of_one_short_name(stage: Stage, workers: Start) -> None:
    for name in ("w@a", "w@b"):
        workers("--concurrency=1", "-n", name)
    with pytest.raises(UnknownWorkerError, match="Several workers are called 'w': w@a, w@b"):
        stage.yard.drain(["w"])


def test_a_worker_hears_of_it_within_two_seconds_with_the_longest_lease(
    environment: dict[str, str], stage: Stage
) -> None:
    environment["BACKYARD_LEASE"] = "3600"
    worker = start_worker(environment, "--concurrency=1", target=TARGET)
    try:
        assert stage.yard.drain(stay=True)
        # A quarter of its lease would be a quarter of an hour.
        wait_until(lambda: [one.state for one in stage.yard.workers()] == ["draining"], "it drains", patience=30)
        assert 2 * BEAT <= 2, "the promise"
    finally:
        worker.end()

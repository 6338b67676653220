"""Time limits: kept by the pool that can end a process, and refused by the others before they start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backyard.core.models import FailureKind
from backyard.core.states import State
from support.clean import assert_clean, news_of, wait_final, wait_until
from support.processes import TESTS, Process
from support.stage import Stage
from support.trials import starts

TIMED = """
import os
from backyard import Backyard
yard = Backyard(os.environ["TEST_YARD"])
kind = os.environ["KIND"]
if kind == "typed":
    @yard.task(timeout=30, queue="timed")
    def timed() -> None: ...
elif kind == "async":
    @yard.task(timeout=30, queue="timed")
    async def timed() -> None: ...
elif kind == "soft":
    @yard.celery.task(name="timed", soft_time_limit=30, queue="timed")
    def timed() -> None: ...
elif kind == "hard":
    @yard.celery.task(name="timed", time_limit=30, queue="timed")
    def timed() -> None: ...
elif kind == "setting":
    yard.celery.conf.task_time_limit = 30
@yard.task
def free() -> None: ...
"""
REASON = (
    "Error: 'timed' has a time limit of 30 s, which the pool '{pool}' cannot keep, for only a process can be ended "
    "from outside: start this worker with --pool=prefork, or let it read only queues (-Q, --queues) without such tasks."
)
STOCK = (sys.executable, "-W", "ignore", "-m", "celery", "-A", "timed:yard.celery", "worker")
OURS = (sys.executable, "-m", "backyard", "worker", "timed:yard")


def refused(
    environment: dict[str, str], folder: Path, kind: str, command: tuple[str, ...], *options: str
) -> subprocess.CompletedProcess[str]:
    (folder / "timed.py").write_text(TIMED)
    return subprocess.run(
        [*command, *options], cwd=folder, env={**environment, "KIND": kind, "PATH": ""},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("command", [STOCK, OURS], ids=["celery", "backyard"])
@pytest.mark.parametrize("pool", ["threads", "solo"])
@pytest.mark.parametrize("kind", ["typed", "async", "soft", "hard"])
def test_a_pool_that_cannot_keep_a_limit_is_refused(
    environment: dict[str, str], tmp_path: Path, kind: str, pool: str, command: tuple[str, ...]
) -> None:
    done = refused(
        environment, tmp_path, kind, command, f"--pool={pool}", "-Q" if command is STOCK else "--queues", "timed"
    )
    assert done.returncode == 1
    assert REASON.format(pool=pool) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [STOCK, OURS], ids=["celery", "backyard"])
def test_a_limit_for_all_tasks_is_refused_as_well(
    environment: dict[str, str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = refused(environment, tmp_path, "setting", command, "--pool=threads")
    assert done.returncode == 1
    assert "Error: The setting task_time_limit or task_soft_time_limit is set, and time limits are" in done.stderr


def test_the_stock_options_for_limits_are_refused_as_well(environment: dict[str, str], tmp_path: Path) -> None:
    done = refused(environment, tmp_path, "none", STOCK, "--pool=threads", "--time-limit=30")
    assert done.returncode == 1
    assert "cannot keep" in done.stderr


def test_a_worker_of_other_queues_may_start(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "timed.py").write_text(TIMED)
    worker = Process(
        [*STOCK, "--pool=threads", "-Q", "default", "--loglevel=INFO"],
        {**environment, "KIND": "typed", "PYTHONPATH": str(tmp_path)},
    )
    try:
        worker.wait_for_line(" ready.")
    finally:
        assert worker.stop() == 0
    assert TESTS.exists()


@pytest.mark.parametrize("how", ["stubborn", "too_slow", "too_slow_async"])
def test_limits_end_the_attempt_and_the_policy_goes_on(
    stage: Stage, workers: Callable[..., Process], gate: Path, how: str
) -> None:
    """``stubborn`` goes on after the soft limit, so that only the hard one, five seconds later, can end it."""
    worker = workers("--concurrency=2")
    neighbour = stage.typed.hold.submit_sync(f"{gate}.neighbour")
    wait_until(lambda: starts(f"{gate}.neighbour"), "it runs beside")
    words: tuple[Any, ...] = () if how == "too_slow" else (str(gate),)
    handle = getattr(stage.typed, how).submit_sync(*words)
    record = wait_final(stage.ledger, handle.task_id)
    assert record.state is State.FAILURE
    assert record.failure is not None
    assert record.failure.kind is FailureKind.TIMEOUT
    expected = 2 if how == "stubborn" else 1
    assert record.number("attempt") == expected
    if how == "stubborn":
        assert [row[1] for row in starts(gate)] == ["1", "2"]
        states = [state for state, _ in news_of(stage.ledger, handle.task_id)]
        assert states == ["PENDING", "STARTED", "RETRY", "PENDING", "STARTED", "FAILURE"]
        assert not {"lost", "crashed"} & set(record.fields)
    assert stage.typed.add.submit_sync(1).result_sync(30) == 3
    Path(f"{gate}.neighbour").touch()
    assert neighbour.result_sync(30) == 1
    assert len(starts(f"{gate}.neighbour")) == 1
    assert_clean(stage.ledger)
    assert worker.child.poll() is None

"""Other pools than prefork, and the stock command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backyard.core.models import FailureKind
from backyard.core.states import State
from support.clean import assert_clean, wait_final, wait_until
from support.processes import TESTS, Process, make_environment, start_worker
from support.stage import TARGET, Stage, staged
from support.trials import starts


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_another_pool(stage: Stage, workers: Any, gate: Path, pool: str) -> None:
    worker = workers(f"--pool={pool}", "--concurrency=4")
    assert [stage.typed.add.submit_sync(n).result_sync(30) for n in range(5)] == [2, 3, 4, 5, 6]
    assert stage.typed.flaky.submit_sync(1).result_sync(30) == 2
    loops = {tuple(stage.typed.on_loop.submit_sync(n).result_sync(30)[1:]) for n in range(6)}
    assert len(loops) == 1, "one process, one loop"
    for how in ("memory", "exit", "interrupt"):
        failure = wait_final(stage.ledger, stage.typed.break_out.submit_sync(how).task_id).failure
        assert failure is not None
        assert failure.kind is FailureKind.ERROR
    assert stage.plain.multiply.delay(2, 3).get(timeout=30) == 6
    dozing = stage.typed.doze.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    assert dozing.cancel_sync()
    assert wait_final(stage.ledger, dozing.task_id).state is State.REVOKED
    assert starts(gate)[-1] == ["rested"]
    assert_clean(stage.ledger)
    assert worker.child.poll() is None
    assert worker.stop() == 0


def test_threads_keep_their_attempts_apart(stage: Stage, workers: Any, gate: Path) -> None:
    workers("--pool=threads", "--concurrency=4")
    handles = [stage.typed.report.submit_sync(str(gate)) for _ in range(4)]
    wait_until(lambda: len(starts(gate)) == 4, "all run")
    gate.touch()
    for handle in handles:
        count = handle.result_sync(30)
        view = handle.status_sync()
        assert (view.progress, view.progress_message) == (100.0, "done")
        assert json.loads(stage.ledger.record(handle.task_id).fields["progress"])["current"] == count
    assert_clean(stage.ledger)


def command(stage: Stage, *words: str, code: int = 0) -> str:
    """Run the stock ``celery`` program, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "celery", "-A", TARGET, *words],
        env={"PYTHONPATH": str(TESTS), **stage.environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_the_stock_command_line(stage: Stage, workers: Any, gate: Path) -> None:
    for number in range(3):
        stage.typed.add.submit_sync(number)
    waiting = stage.typed.add.submit_sync(9)
    assert "4" in command(stage, "amqp", "queue.purge", "default")
    assert waiting.status_sync().state is State.REVOKED
    stage.plain.multiply.delay(1, 2)
    stage.typed.lane.submit_sync(str(gate), "x")
    assert "Purged 2 messages" in command(stage, "purge", "-f")
    assert_clean(stage.ledger, leases=0)

    worker = workers("--concurrency=1", "-n", "w@h")
    held = stage.typed.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    ask = ("inspect", "--timeout", "30", "--destination", "w@h")  # over as soon as that one has answered
    assert "pong" in command(stage, *ask, "ping")
    assert held.task_id in command(stage, *ask, "active")
    assert "multiply" in command(stage, *ask, "registered")
    gate.touch()
    assert held.result_sync(30) == 1
    command(stage, "control", "shutdown", code=os.EX_UNAVAILABLE)  # a worker that ends does not reply, says Celery
    assert worker.child.wait(30) == 0
    assert_clean(stage.ledger, leases=0)


def test_celery_events_are_sent(stage: Stage, workers: Any, gate: Path) -> None:
    watcher = Process(
        [sys.executable, "-W", "ignore", "-m", "celery", "-A", TARGET, "events", "--dump"], stage.environment
    )
    try:
        watcher.wait_for_line("evdump: starting")
        workers("--concurrency=1", "-E")
        watcher.wait_for_line(" heartbeat: ")  # "started" is said once, and maybe before anybody listens
        done = stage.plain.multiply.delay(2, 2)
        assert done.get(timeout=30) == 4
        watcher.wait_for_line("task succeeded")
        held = stage.typed.hold.submit_sync(str(gate))
        wait_until(lambda: starts(gate), "it starts")
        stage.yard.celery.control.revoke(held.task_id, terminate=True)
        assert wait_final(stage.ledger, held.task_id).state is State.REVOKED
        watcher.wait_for_line("task revoked")
    finally:
        watcher.end()


def test_two_yards_on_one_server_do_not_meet(stage: Stage, workers: Any, server_url: str, tmp_path: Path) -> None:
    workers("--concurrency=1", "-n", "here")
    with staged(make_environment(server_url, tmp_path / "other")) as other:
        there = start_worker(other.environment, "--concurrency=1", "-n", "there", target=TARGET)
        try:
            mine, theirs = stage.typed.add.submit_sync(1), other.typed.add.submit_sync(2)
            assert (mine.result_sync(30), theirs.result_sync(30)) == (3, 4)
            assert other.ledger.run(other.ledger.calls.record(mine.task_id)) is None
            for one, name in ((stage, "here"), (other, "there")):
                answers = wait_until(partial(one.yard.celery.control.ping, timeout=2), f"{name} answers")
                assert [list(answer) for answer in answers] == [[f"celery@{name}"]]
            assert_clean(other.ledger)
        finally:
            there.end()
    assert_clean(stage.ledger)


def test_definitions_of_one_yard_are_unknown_to_another_in_the_same_process(stage: Stage) -> None:
    from backyard import Backyard  # noqa: PLC0415 - one test's own

    another = Backyard("another", settings=stage.yard.settings)
    assert "add" not in another.celery.tasks
    assert "multiply" not in another.celery.tasks
    another.celery.close()

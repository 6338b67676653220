"""The sign of life, and the probe that reads it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backyard.embedded.server import EmbeddedServer
from backyard.engine.alive import SignOfLife, stands_still
from support.clean import wait_until
from support.processes import Process, make_environment, start_worker
from support.stage import TARGET, Stage, staged
from support.trials import starts

AGE = 3.0  # the probe's patience; long enough for a busy machine to write once a second


@pytest.fixture
def sign(environment: dict[str, str], tmp_path: Path) -> Path:
    """The file that the workers of the test write."""
    environment["BACKYARD_ALIVE_FILE"] = str(tmp_path / "alive")
    return tmp_path / "alive"


def reason(sign: Path, age: float = AGE) -> str:
    return stands_still(sign, age, time.time())


def lives_for(sign: Path, seconds: float) -> None:
    """See it alive, again and again: a busy machine may keep it from its turn for a moment, and a fault would last."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        wait_until(lambda: not reason(sign), "it lives", patience=20)
        time.sleep(0.1)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_worker_lives_idle_busy_and_full(
    sign: Path, stage: Stage, workers: Callable[..., Process], gate: Path, pool: str
) -> None:
    worker = workers(f"--pool={pool}", "--concurrency=1")
    lives_for(sign, 1.5 * AGE)
    held = stage.typed.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it runs")
    lives_for(sign, 1.5 * AGE)
    with sign.open() as opened:  # each time that it is written it is another file
        slowest = min(json.load(opened)["parts"].values())
        assert abs(os.fstat(opened.fileno()).st_mtime - slowest) < 0.01
    worker.child.terminate()
    worker.wait_for_line("Warm shutdown")
    lives_for(sign, 1.5 * AGE)
    gate.touch()
    assert held.result_sync(30) == 1
    assert worker.child.wait(30) == 0
    assert "it has ended" in reason(sign)


def test_a_drained_worker_that_stays_lives(sign: Path, stage: Stage, workers: Callable[..., Process]) -> None:
    workers("--concurrency=1")
    stage.yard.drain(stay=True)
    wait_until(lambda: [one.state for one in stage.yard.workers()] == ["draining"], "it drains")
    lives_for(sign, 1.5 * AGE)


def test_a_frozen_worker_stands_still(sign: Path, stage: Stage, workers: Callable[..., Process]) -> None:
    worker = workers("--concurrency=1")
    os.killpg(worker.child.pid, signal.SIGSTOP)
    wait_until(lambda: reason(sign).startswith("the whole worker stands still since "), "the probe says so")
    os.killpg(worker.child.pid, signal.SIGCONT)
    wait_until(lambda: not reason(sign), "it lives again")
    assert stage.typed.add.submit_sync(1).result_sync(30) == 3


def hears(stage: Stage) -> None:
    """Wait until the worker hears what is broadcast: its mailbox opens after its queues."""
    wait_until(lambda: stage.yard.celery.control.ping(timeout=0.5), "it answers")


def test_a_main_loop_that_hangs_stands_still(sign: Path, workers: Callable[..., Process], stage: Stage) -> None:
    workers("--concurrency=1")
    hears(stage)
    stage.yard.celery.control.broadcast("trial_hang", arguments={"seconds": 60})
    wait_until(lambda: reason(sign).startswith("stands still: main loop (since "), "the probe says so")


def test_takes_that_are_jammed_stand_still(sign: Path, workers: Callable[..., Process], stage: Stage) -> None:
    workers("--concurrency=1")
    hears(stage)
    stage.yard.celery.control.broadcast("trial_jam")
    # A main loop that stood still would be named first, and for as long.
    wait_until(lambda: reason(sign).startswith("stands still: takes (since "), "the probe says so")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of the test's own."""
    with EmbeddedServer(tmp_path / "own") as server:
        yield server


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_worker_whose_server_is_away_stands_still(server: EmbeddedServer, tmp_path: Path, how: str) -> None:
    sign = tmp_path / "alive"
    environment = {**make_environment(server.url, tmp_path), "BACKYARD_ALIVE_FILE": str(sign)}
    with staged(environment) as own:
        worker = start_worker(environment, "--concurrency=1", target=TARGET)
        try:
            pid = server.pid
            assert pid is not None
            if how == "killed":
                server.kill()
                server.exited.result(10)
            else:
                os.kill(pid, signal.SIGSTOP)
            wait_until(lambda: "server (since " in reason(sign), "the probe says so")
            if how == "killed":
                server.start()
            else:
                os.kill(pid, signal.SIGCONT)
            wait_until(lambda: not reason(sign), "it lives again")
            assert own.typed.add.submit_sync(1).result_sync(30) == 3
        finally:
            worker.end()


def probe(*words: str, **environment: str) -> tuple[int, str]:
    """Run the command, and return its exit code and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "backyard", "alive", *words],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).strip()


def test_the_command_says_what_stands_still(tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    code, said = probe("--file", str(sign))
    assert (code, said) == (1, f"no worker writes {sign}: it has not started, or it has ended")
    now = time.time()
    later = now + 60  # however long the command takes to begin
    parts = {"main loop": later, "server": now - 20, "takes": later}
    sign.write_text(json.dumps({"pid": 1, "written": later, "parts": parts}))
    code, said = probe(BACKYARD_ALIVE_FILE=str(sign))
    assert code == 1
    assert said.startswith("stands still: server (since ")
    assert probe("--file", str(sign), "--max-age", "300") == (0, "alive")
    sign.write_text("{}")
    assert probe("--file", str(sign))[0] == 1
    assert probe()[0] == 2


def test_a_sign_that_is_written_while_it_is_taken_away_comes_too_late(tmp_path: Path) -> None:
    sign = SignOfLife(tmp_path / "alive", heard=time.monotonic, held=lambda: True, lease=2)
    sign.write()
    assert sign.path.exists()
    sign.remove()
    sign.write()
    assert list(tmp_path.iterdir()) == []

"""``backyard worker``: somebody waits for the worker, tells how it ended, and is no stranger to signals."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backyard.core.states import State
from backyard.engine import guardian, waiter
from support.clean import assert_clean, counted, wait_final, wait_for_state, wait_until
from support.deadly import define, yard_of
from support.family import alive, children, command_of, field, guardian_of
from support.processes import Process
from support.trials import starts

Start = Callable[..., Process]


@pytest.fixture
def yard(environment: dict[str, str]) -> Iterator[SimpleNamespace]:
    made = yard_of(environment)
    yield SimpleNamespace(ledger=made.ledger, tasks=define(made))
    made.ledger.close()


@pytest.fixture
def work(environment: dict[str, str]) -> Iterator[Start]:
    started: list[Process] = []

    def start(*options: str, **more: str) -> Process:
        command = [sys.executable, "-m", "backyard", "worker", "support.deadly:yard", "--concurrency", "1", *options]
        process = Process(command, {**environment, "BACKYARD_LEASE": "600", **more})
        started.append(process)
        process.wait_for_line(" ready.")
        return process

    yield start
    for process in started:
        process.end()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def worker_of(process: Process) -> int:
    """Return the worker's own process, which is the only child of the one that waits."""
    (pid,) = children(process.child.pid)
    return pid


def test_it_tells_by_which_signal_a_task_ended_its_worker(yard: SimpleNamespace, work: Start, gate: Path) -> None:
    handle = yard.tasks.fell_worker.submit_sync(str(gate))
    for _ in range(2):
        process = work(BACKYARD_LOSS_LIMIT="2")
        assert process.child.wait(30) == -signal.SIGKILL, "it ends as its worker did"
    work(BACKYARD_LOSS_LIMIT="2")
    failure = wait_final(yard.ledger, handle.task_id).view().failure
    assert failure is not None
    assert [(one.signal, one.lines) for one in failure.evidence or ()] == [
        ("SIGKILL", [f"INFO felling, attempt {number}"]) for number in (1, 2)
    ]
    assert len(starts(gate)) == 2
    assert_clean(yard.ledger)


def test_it_is_small_and_stands_aside(work: Start) -> None:
    process = work()
    pid, worker = process.child.pid, worker_of(process)
    assert "waiter.py" in command_of(pid)
    assert field(pid, 2) == str(pid)
    assert field(worker, 2) == str(worker), "what is sent to the worker's group does not reach it"
    assert field(worker, 3) == str(pid), "one session: a terminal's worker stays a terminal's"
    size = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    assert int(size.split()[1]) < 20_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("to_group", [False, True])
def test_a_signal_is_passed_on_once(
    yard: SimpleNamespace, work: Start, gate: Path, number: signal.Signals, *, to_group: bool
) -> None:
    process = work()
    handle = yard.tasks.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    (os.killpg if to_group else os.kill)(process.child.pid, number)
    process.wait_for_line("Warm shutdown")
    gate.touch()
    assert handle.result_sync(30) == 1, "it was let finish"
    assert process.child.wait(30) == 0
    assert process.output.count("Warm shutdown") == 1
    assert_clean(yard.ledger, leases=0)


@pytest.mark.parametrize("to_group", [False, True])
def test_a_worker_does_not_outlive_who_waits_for_it(
    yard: SimpleNamespace, work: Start, gate: Path, *, to_group: bool
) -> None:
    process = work()
    worker = worker_of(process)
    family = [worker, guardian_of(worker), *children(worker)]
    handle = yard.tasks.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    (os.killpg if to_group else os.kill)(process.child.pid, signal.SIGKILL)
    wait_for_state(yard.ledger, handle.task_id, State.PENDING)
    wait_until(lambda: not any(map(alive, family)), "all are gone")
    assert counted(yard.ledger)["workers_lost"] == 1


def test_it_stands_still_with_who_waits_for_it(yard: SimpleNamespace, work: Start, gate: Path) -> None:
    """Nobody can pass SIGSTOP on; the guardian sees to it."""
    process = work("--name", "first", BACKYARD_LEASE="1")
    worker = worker_of(process)
    handle = yard.tasks.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    os.killpg(process.child.pid, signal.SIGSTOP)
    wait_until(lambda: field(worker, 0) == "T", "the worker is stopped")
    work("--name", "second", BACKYARD_LEASE="1")
    wait_until(lambda: len(starts(gate)) == 2, "another worker starts it")
    gate.touch()
    assert handle.result_sync(30) == 2
    os.killpg(process.child.pid, signal.SIGCONT)
    wait_until(lambda: counted(yard.ledger).get("stale", 0), "the late outcome arrives")
    assert yard.tasks.add.submit_sync(1).result_sync(30) == 3
    assert_clean(yard.ledger, leases=2)


def test_the_exit_code_is_the_workers(work: Start, environment: dict[str, str]) -> None:
    process = Process([sys.executable, "-m", "backyard", "worker", "no.such:yard"], environment)
    assert process.child.wait(30) == 1
    process.stop()
    assert "Error: " in process.output
    living = work()
    os.kill(worker_of(living), signal.SIGSEGV)
    assert living.child.wait(30) == -signal.SIGSEGV


# -- the word ---------------------------------------------------------------------------------------------------------


def hello(**more: Any) -> dict[str, Any]:
    common = {"pid": os.getppid(), "host": "h", "lease": 1, "folder": None, "address": {}, "prefix": "", "waiter": None}
    return {**common, **more}


@pytest.mark.parametrize(
    ("said", "known"),
    [(b'{"signal": "SIGKILL"}', {"signal": "SIGKILL"}), (b"", {}), (b'{"exit_code": 3}', {"exit_code": 3})],
)
def test_the_guardian_hears_the_word(said: bytes, known: dict[str, Any]) -> None:
    """The system may tell nobody but the parent how a process ended."""
    reading, telling = os.pipe()
    os.write(telling, said)
    os.close(telling)
    assert guardian.Guardian(hello(waiter=[1, reading])).word() == known
    os.close(reading)


def test_the_guardian_waits_for_no_word_that_nobody_can_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guardian, "WORD", 0.05)
    assert guardian.Guardian(hello()).word() == {}
    reading, telling = os.pipe()
    began = time.monotonic()
    assert guardian.Guardian(hello(waiter=[1, reading])).word() == {}
    assert time.monotonic() - began >= 0.05
    os.close(telling)
    os.close(reading)


def test_an_ending_is_told_in_the_words_of_the_evidence() -> None:
    assert waiter.ending(9) == {"signal": "SIGKILL"}
    assert waiter.ending(3 << 8) == {"exit_code": 3}
    assert json.loads(json.dumps(waiter.ending(139))) == {"signal": "SIGSEGV"}

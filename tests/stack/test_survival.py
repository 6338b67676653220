"""``backyard up``, killed in each of its parts: no record, queue entry or artifact is lost."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.processes import PATIENCE, Process

LEASE = 2


class Stack:
    """``backyard up`` on one data directory, started as often as a test likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: Process | None = None
        self.url = ""

    def up(self) -> None:
        """Start everything, and wait until it is ready."""
        command = [sys.executable, "-m", "backyard", "up", "support.application:app", "--port", "0", "--no-flower"]
        environment = {
            "BACKYARD_DATA_DIR": str(self.folder),
            "BACKYARD_REDIS_URL": "",
            "BACKYARD_LEASE": str(LEASE),
            "BACKYARD_CONCURRENCY": "2",
        }
        self.process = Process(command, environment)
        line = self.process.wait_for_line("  API  ")
        self.url = re.findall(r"http://\S+", line)[0]

    def pids(self, role: str) -> list[int]:
        """Find the processes of a role by their command lines."""
        assert self.process is not None
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _parent(int(entry.name)) == self.process.child.pid:
                words = _command(int(entry.name))
                if role in words or any(role in Path(word).name for word in words[:1]):
                    found.append(int(entry.name))
        return found

    def down(self) -> None:
        """Stop everything."""
        if self.process is not None:
            self.process.stop()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API; a part that is just starting is asked again."""
        answer = httpx2.request(method, f"{self.url}{path}", json=body, timeout=10)
        answer.raise_for_status()
        return answer.json() if answer.headers["content-type"] == "application/json" else answer.content


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def _until(check: Callable[[], Any], what: str) -> Any:
    """Ask again and again until an answer is true; a part that is away is no answer."""
    end = time.monotonic() + PATIENCE
    last: Any = None
    while time.monotonic() < end:
        try:
            last = check()
            if last:
                return last
        except httpx2.HTTPError as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"never: {what}; last: {last!r}")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "data")
    stack.up()
    yield stack
    stack.down()


def _state(stack: Stack, task_id: str) -> str:
    return str(stack.call("GET", f"/tasks/{task_id}")["state"])


def _fill(stack: Stack, gate: Path) -> tuple[str, list[str], str]:
    """Have one finished task with an artifact, two running, four queued, one scheduled."""
    saved = stack.call("POST", "/tasks/save_and_log", {"name": "kept.txt", "text": "still here"})["task_id"]
    _until(lambda: _state(stack, saved) == "SUCCESS", "the artifact is saved")
    waiting = [stack.call("POST", "/tasks/wait_for", {"gate": str(gate), "note": str(n)})["task_id"] for n in range(6)]
    _until(lambda: sum(_state(stack, one) == "STARTED" for one in waiting) == 2, "two tasks run")
    noted = Path(f"{gate}.starts")
    _until(lambda: noted.exists() and len(noted.read_text().splitlines()) == 2, "both have noted it")
    later = stack.call("POST", "/tasks/add?delay=1", {"a": 1})["task_id"]
    return saved, waiting, later


def _check(stack: Stack, gate: Path, saved: str, waiting: list[str], later: str) -> None:
    gate.touch()
    for one in waiting:
        _until(lambda one=one: _state(stack, one) == "SUCCESS", f"{one} ends")  # type: ignore[misc]  # bound at once
    _until(lambda: _state(stack, later) == "SUCCESS", "the scheduled task ends")
    assert stack.call("GET", f"/tasks/{saved}")["result"] == f"/tasks/{saved}/artifacts/kept.txt"
    assert stack.call("GET", f"/tasks/{saved}/artifacts/kept.txt") == b"still here"
    # Until the next keeper leads, five seconds after the one that was killed, no list can be fresh.
    listed = _until(lambda: stack.call("GET", "/tasks?limit=100&fresh=true"), "the history is fresh again")
    assert sorted(task["task_id"] for task in listed) == sorted([saved, *waiting, later])
    starts = Path(f"{gate}.starts").read_text().splitlines()
    by_note = {note: [line for line in starts if line.endswith(f" {note}")] for note in "012345"}
    # Only what was running when the worker died has started twice, and each second start is counted as an attempt.
    assert all(len(lines) in (1, 2) for lines in by_note.values()), starts
    for one, lines in zip(waiting, by_note.values(), strict=True):
        assert stack.call("GET", f"/tasks/{one}")["attempt"] == len(lines)


@pytest.mark.parametrize("victim", ["api", "worker", "valkey-server"])
def test_a_killed_part_is_restarted_and_nothing_is_lost(stack: Stack, tmp_path: Path, victim: str) -> None:
    gate = tmp_path / "gate"
    saved, waiting, later = _fill(stack, gate)
    pids = stack.pids(victim)
    assert pids, f"no process of {victim} found below {stack.process}"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    _until(lambda: stack.pids(victim) and stack.pids(victim) != pids, f"{victim} is back")
    _check(stack, gate, saved, waiting, later)


def test_a_killed_stack_goes_on_where_it_was(stack: Stack, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    saved, waiting, later = _fill(stack, gate)
    assert stack.process is not None
    os.kill(stack.process.child.pid, signal.SIGKILL)
    stack.process.child.wait()
    stack.down()  # only closes our end of the pipe: the process is gone
    stack.up()
    _check(stack, gate, saved, waiting, later)

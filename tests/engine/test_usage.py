"""What a worker's processes use: read from the system, summed over those that live."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from backyard.engine import usage
from backyard.engine.usage import Usage
from support.clean import wait_until


@pytest.fixture
def busy() -> Iterator[int]:
    """A process that keeps a core busy."""
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield child.pid
    child.kill()
    child.wait()


def test_a_busy_process_is_seen_to_be_busy_and_an_idle_one_to_be_idle(
    busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "SPAN", 0.01)
    working, resting = Usage(lambda: [busy]), Usage(lambda: [os.getppid()])
    assert working.cores() is None
    assert resting.cores() is None
    wait_until(lambda: (working.cores() or 0) > 0, "the busy one is seen")
    assert working.memory() > 1_000_000


def test_a_process_that_began_meanwhile_counts_and_one_that_ended_does_not(
    busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "SPAN", 0.0)
    pids = [os.getpid()]
    one = Usage(lambda: pids)
    one.cores()
    wait_until(lambda: usage._ticks(busy), "it has worked")
    pids.append(busy)
    assert (one.cores() or 0) > 0
    pids[:] = [busy, 2**22 + 1]
    assert one.cores() is not None


def test_nobody_can_tell_of_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "SPAN", 0.0)
    gone = Usage(lambda: [2**22 + 1])
    assert (gone.memory(), gone.cores()) == (0, None)
    assert gone.cores() is None

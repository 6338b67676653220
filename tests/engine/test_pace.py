"""How long tasks take, on a machine that is busy with others as well; and how many are taken at once for that."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backyard import Backyard
from backyard.engine import batch, delays, pace
from backyard.engine.batch import LONG, Batch, read_item
from backyard.engine.batches import Batches, Lot
from support.child import HOSTNAME, Child


@pytest.fixture
def child(new_yard: Backyard) -> Iterator[Child]:
    @new_yard.task
    def nap(seconds: float = 0.0) -> None:
        time.sleep(seconds)

    made = Child(new_yard)
    yield made
    made.close()


def test_a_thread_knows_how_long_it_waited_for_a_processor() -> None:
    program = """
import os, time
from backyard.engine.delays import waited

os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
if not os.fork():
    while True:
        pass
begun = time.monotonic()
before = waited()
while time.monotonic() < begun + 1:
    pass
print(waited() - before, time.monotonic() - begun, flush=True)
os.killpg(0, 9)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, start_new_session=True, check=False)
    delay, whole = map(float, done.stdout.split())
    assert 0.1 < delay < whole


def test_where_the_system_does_not_say_nothing_was_waited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text in (None, b"", b"1", b"1 x 2"):
        place = tmp_path / "schedstat"
        if text is not None:
            place.write_bytes(text)
        monkeypatch.setattr(delays, "_SCHEDSTAT", place)
        assert delays.waited() == 0


def test_what_others_had_of_the_processor_makes_no_task_long(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    nap = '{"seconds": 0.02}'
    whole = [told[3] for told, _ in child.run("nap", nap, nap)]
    assert min(whole) > 0.01
    said = iter([7.0, 7.015, 1_000.0])
    monkeypatch.setattr(batch, "waited", lambda: next(said))
    first, second = [told[3] for told, _ in child.run("nap", nap, nap)]
    assert first >= 0.005
    assert second == 0


def test_a_task_is_long_that_several_looks_have_found(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    app = child.yard.celery
    rows = child.deliver("nap", "{}", "{}")
    under_test = Batch(app, [read_item(app, row, HOSTNAME) for row in rows], 2, quiet=True)
    given: list[float] = []
    monkeypatch.setattr(under_test, "give_back", lambda: given.append(under_test.running_since or 0))
    under_test.running_since = 1.0
    for _ in range(LONG - 1):
        under_test.look(100.0)  # one look, however late it is, may be one of a process that had to wait
    under_test.running_since = 2.0
    for _ in range(LONG - 1):
        under_test.look(100.0)
    assert given == []
    under_test.look(100.0)
    assert given == [2.0]


@pytest.fixture
def batches(child: Child, monkeypatch: pytest.MonkeyPatch) -> Batches:
    """The batches of a worker that has no processes: what they would get is kept in ``sent``."""
    monkeypatch.setattr("backyard.engine.batches.pace", pace.Pace())
    controller = SimpleNamespace(pool_start_method="spawn")
    made = Batches(SimpleNamespace(app=child.yard.celery, controller=controller, event_dispatcher=None))
    made.sent = []  # type: ignore[attr-defined]  # the test's own
    monkeypatch.setattr(made, "_send", lambda lot, at_once: made.sent.append((len(lot.rows), at_once)))  # type: ignore[attr-defined]
    return made


def sent(batches: Batches) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = batches.sent  # type: ignore[attr-defined]
    return found


def note(batches: Batches, *seconds: float) -> None:
    batches._done(Lot([], []), [("id", "nap", "SUCCESS", one) for one in seconds])  # as its pool does


def test_what_was_taken_is_kept_unless_it_is_far_too_much(child: Child, batches: Batches) -> None:
    rows: list[Any] = child.deliver("nap", *["{}"] * 100)
    alone, back = batches.place(rows[:2], 1)
    assert (len(alone), len(back)) == (1, 1), "nobody knows yet how long they take"

    batches._each = 100
    note(batches, *[0.0002] * 9, 0.0014)
    assert batches.place(rows, 1) == ([], []), "all of them: a batch and a half"
    assert sent(batches) == [(100, 23)], "begun together as many as usually take 10 ms"
    assert batches.wanted(1) == 66, "and no more of them the next time than a batch has"

    note(batches, *[0.004] * 10)
    alone, back = batches.place(rows, 1)
    assert (len(alone), len(back)) == (0, 52)
    assert batches.wanted(1) == 24
    assert sent(batches)[1] == (48, 4)


def test_more_are_taken_as_long_as_they_fit(child: Child, batches: Batches) -> None:
    rows: list[Any] = child.deliver("nap", *["{}"] * 300)
    asked = []
    for _ in range(9):
        note(batches, 0.0008)
        asked.append(batches.wanted(1))
        assert batches.place(rows[: asked[-1]], 1) == ([], [])
    assert asked == [1, 2, 4, 8, 16, 32, 64, 111, 111]

"""Keepers as processes, and the comparison of what they keep with the ledger."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from backyard.core.news import event_order
from backyard.history.database import History
from backyard.history.queries import task_of
from backyard.ledger.ledger import Ledger
from support.clean import wait_until
from support.processes import Process

PATIENCE = 60.0


def start_keeper(environment: Mapping[str, str], target: str = "support.yard:yard") -> Process:
    """Start a keeper, and return it when it keeps."""
    keeper = Process([sys.executable, "-m", "backyard", "keeper", target, "--migrate"], environment)
    try:
        keeper.wait_for_line(" ready.")
    except AssertionError:
        keeper.stop()
        raise
    return keeper


def await_begun(environment: Mapping[str, str]) -> None:
    """Wait until a keeper has said how far the history is: before that, there is none for whoever asks."""
    ledger = Ledger(environment["BACKYARD_REDIS_URL"], environment["TEST_YARD"])
    try:
        wait_until(lambda: ledger.run(ledger.calls.recorded()) is not None, "the keeper has begun")
    finally:
        ledger.close()


def await_recorded(ledger: Ledger, patience: float = PATIENCE) -> None:
    """Wait until the history has everything that has happened so far."""
    newest, end = ledger.run(ledger.calls.last_event()), time.monotonic() + patience
    while True:
        found = ledger.run(ledger.calls.recorded())
        if found is not None and event_order(found.position) >= event_order(newest):
            return
        assert time.monotonic() < end, f"the history is at {found}, the newest event is {newest}"
        time.sleep(0.02)


def different(ledger: Ledger, history: History) -> list[str]:
    """Compare history and ledger, task by task and field by field; returns what is not the same."""
    wrong: list[str] = []
    place: tuple[str, str] | None = None
    calls = ledger.calls
    while True:
        place, task_ids = ledger.run(calls.index(place, 1_000))
        for at in range(0, len(task_ids), 200):
            for record in ledger.run(calls.records(task_ids[at : at + 200])):
                theirs, ours = record.view(), task_of(history, record.task_id)
                if ours is None:
                    wrong.append(f"{record.task_id}: missing")
                elif ours != theirs:
                    mine, its = dict(ours), dict(theirs)
                    parts = [f"{name}: {its[name]!r}, not {mine[name]!r}" for name in its if its[name] != mine[name]]
                    wrong.append(f"{record.task_id} ({theirs.name}, {theirs.state}): {'; '.join(parts)}")
        if place is None:
            return wrong

"""Waiting for things to come true, and what must hold of a ledger when all is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from backyard.core.states import FINAL, State
from backyard.ledger.keys import GROUP, LANES
from backyard.ledger.ledger import Ledger
from backyard.ledger.record import Record

T = TypeVar("T")
PATIENCE = 60.0  # seconds something may take on a busy machine before it counts as never


def wait_until(look: Callable[[], T], what: str = "", patience: float = PATIENCE) -> T:
    """Look again and again until what is seen is true, and return it."""
    end = time.monotonic() + patience
    while not (seen := look()):
        if time.monotonic() > end:
            raise AssertionError(f"it never came true: {what or look}; last seen: {seen!r}")
        time.sleep(0.02)
    return seen


def wait_for_state(ledger: Ledger, task_id: str, *states: State, patience: float = PATIENCE) -> Record:
    """Wait until a task is in one of some states, and return its record."""

    def look() -> Record | None:
        record = ledger.run(ledger.calls.record(task_id))
        return record if record is not None and record.state in states else None

    try:
        found = wait_until(look, patience=patience)
    except AssertionError:
        found = None
    assert found is not None, f"task {task_id} never was in {states}: {ledger.run(ledger.calls.record(task_id))}"
    return found


def wait_final(ledger: Ledger, task_id: str) -> Record:
    """Wait until a task is over, and return its record."""
    return wait_for_state(ledger, task_id, *FINAL)


def leftovers(ledger: Ledger, leases: int) -> list[str]:
    """Say what is left over in a yard where nothing is to be done."""
    client: Any = ledger.client
    prefix = ledger.keys.prefix
    left: list[str] = []
    for queue in ledger.run(ledger.calls.queues()):
        for lane in LANES:
            key = ledger.keys.queue(queue, lane)
            left += [f"entry {entry} in {key}" for entry in client.xrange(key)]
            if client.exists(key) and client.xinfo_groups(key):
                left += [f"pending {row} in {key}" for row in client.xpending_range(key, GROUP, "-", "+", 100)]
    left += [f"due: {task_id}" for task_id in client.zrange(f"{prefix}due", 0, -1)]
    left += [f"expiry: {task_id}" for task_id in client.zrange(f"{prefix}expiry", 0, -1)]
    for name in ("cancelling", "untold"):
        left += [f"{name}: {row}" for row in client.lrange(f"{prefix}{name}", 0, -1)]
    for kind in ("slots", "parked", "parked_of", "unique"):
        left += [f"{key} is there" for key in client.scan_iter(f"{prefix}{kind}:*", 1_000)]
    left += [f"{name} is there" for name in ("limits", "gates", "paused") if client.exists(f"{prefix}{name}")]
    held = client.zrange(ledger.keys.leases, 0, -1)
    if len(held) != leases:
        left.append(f"{len(held)} leases in place of {leases}: {held}")
    for task_id in client.zrange(f"{prefix}tasks", 0, -1):
        record = ledger.run(ledger.calls.record(task_id.decode()))
        if record is not None and not record.final:
            left.append(f"task {record.task_id} is {record.state}")
        if record is not None:
            kept = [
                name
                for name in ("entry", "message", "due", "token", "untold", "telling", "killed", "held", "parked")
                if name in record.fields
            ]
            left += [f"task {record.task_id} still has '{name}'" for name in kept]
    return left


def assert_clean(ledger: Ledger, leases: int = 1, patience: float = PATIENCE) -> None:
    """Fail unless all is over and nothing is left behind: an outcome is stored just before its entry goes.

    Args:
        ledger: The yard's ledger.
        leases: Workers that live.
        patience: Seconds the last acknowledgements may take.
    """
    end = time.monotonic() + patience
    while left := leftovers(ledger, leases):
        assert time.monotonic() < end, left
        time.sleep(0.02)


def news_of(ledger: Ledger, task_id: str, event: str = "state") -> list[tuple[str, int]]:
    """Return the states, with the attempts, that a task's events tell of."""
    after, found = ledger.run(ledger.calls.replay(task_id, "0-0"))
    while after:
        after, more = ledger.run(ledger.calls.replay(task_id, after))
        found += more
    return [(news.state, news.attempt) for news in found if news.event == event]


def counted(ledger: Ledger) -> dict[str, int]:
    """Return the ledger's counters."""
    client: Any = ledger.client
    return {name.decode(): int(value) for name, value in client.hgetall(ledger.keys.counts).items()}

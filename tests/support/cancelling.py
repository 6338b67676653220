"""What tests of cancelling do on a bench, and what they look at."""

from __future__ import annotations

from typing import Any

from backyard.core.states import State
from support.bench import Bench, Taken


def stages(bench: Bench, task_id: str) -> list[str]:
    """Return the stages that a task's events tell of, in order."""
    return [one.data["stage"] for one in bench.events(task_id) if one.event == "cancel"]


def stage(bench: Bench, task_id: str) -> str | None:
    """Return the stage that a task's record shows."""
    cancel = bench.record(task_id).view().cancel
    return None if cancel is None else str(cancel.stage)


def child(bench: Bench, parent: str, task_id: str = "", **options: Any) -> str:
    """Submit a task from inside another, to a queue of its own."""
    fields = {"parent_id": parent, **options.pop("fields", {})}
    return bench.submit(task_id, **{"queue": f"of-{parent}", "fields": fields, **options}).task_id


def descend(bench: Bench) -> int:
    """Go on with the children until none is left, and return the calls that took."""
    calls = 1
    while bench.run(bench.calls.descend()):
        calls += 1
    return calls


def hold(bench: Bench, task_id: str, queue: str) -> Taken:
    """Start a task that was submitted before, as the only one of its queue."""
    (taken,) = bench.take("c", 1, [queue])
    assert bench.start(task_id, taken.tag).attempt
    return taken


def settle_revoked(bench: Bench, task_id: str, entry: str, **fields: Any) -> str:
    settled: str = bench.run(
        bench.calls.settle(task_id, State.REVOKED, attempt=None, lifetime=60, data="null", fields=fields, entry=entry)
    )
    return settled

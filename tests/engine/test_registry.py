"""The registry of workers: who is there, what they know, how they come and go."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from backyard.core.worker import Worker
from backyard.engine.registry import Presence
from support.clean import wait_until
from support.processes import Process
from support.stage import Stage
from support.trials import starts

Start = Callable[..., Process]


def there(stage: Stage, name: str = "w@h") -> Worker:
    """Wait for a worker to introduce itself."""
    wait_until(lambda: name in seen(stage), "it introduces itself")
    return seen(stage)[name]


def seen(stage: Stage) -> dict[str, Worker]:
    return {one.worker_name: one for one in stage.yard.workers()}


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_worker_is_known_while_it_lives(stage: Stage, workers: Start, gate: Path, pool: str) -> None:
    assert stage.yard.workers() == []
    process = workers(f"--pool={pool}", "--concurrency=2", "-n", "w@h", "-Q", "default,slow")
    wait_until(lambda: there(stage).alive, "it lives")
    worker = there(stage)
    assert (worker.pool, worker.pid, worker.alive, worker.state) == (pool, process.child.pid, True, "running")
    assert worker.queues == ["default", "slow"]
    assert worker.max_concurrency == 2
    assert {"add", "multiply"} <= set(worker.registered_tasks)
    assert not [name for name in worker.registered_tasks if name.startswith("celery.")]
    assert worker.definitions["multiply"] == ""
    assert len(worker.definitions["add"]) == 8
    assert worker.rss > 1_000_000
    assert worker.lease == 2
    wait_until(lambda: there(stage).cpu is not None, "it says how busy it is")

    held = stage.typed.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it runs")
    wait_until(lambda: there(stage).running == [held.task_id], "it says what it runs")
    busy = there(stage)
    # Two leases: a solo pool's only thread runs the task all the time.
    wait_until(lambda: (one := seen(stage)["w@h"]).alive and one.uptime > busy.uptime + 4, "it lives on")
    gate.touch()
    assert held.result_sync(30) == 1
    assert process.stop() == 0
    assert stage.yard.workers() == []


def test_a_dead_worker_is_shown_as_dead_and_forgotten(stage: Stage, workers: Start) -> None:
    process = workers("-n", "w@h")
    wait_until(lambda: seen(stage), "it introduces itself")
    process.kill()
    wait_until(lambda: not seen(stage)["w@h"].alive, "its lease runs out")
    wait_until(lambda: not seen(stage), "it is forgotten")
    assert stage.ledger.client.keys(f"{stage.ledger.keys.prefix}worker*") == []


def test_a_restarted_worker_has_its_name_back(stage: Stage, workers: Start) -> None:
    workers("-n", "w@h").kill()
    second = workers("-n", "w@h")
    wait_until(lambda: seen(stage)["w@h"].pid == second.child.pid, "it takes the name")
    assert list(seen(stage)) == ["w@h"]


def test_two_workers_of_one_name_are_both_shown(stage: Stage, workers: Start) -> None:
    first, second = workers("-n", "w@h"), workers("-n", "w@h")
    wait_until(lambda: len(seen(stage)) == 2, "both are shown")
    assert {one.pid for one in stage.yard.workers()} == {first.child.pid, second.child.pid}
    assert set(seen(stage)) == {"w@h", f"w@h-{first.child.pid}"}


def test_workers_come_back_after_the_server_forgot_them(stage: Stage, workers: Start) -> None:
    process = workers("-n", "w@h")
    wait_until(lambda: there(stage).uptime > 6, "it is some seconds old")
    before = there(stage)
    stage.ledger.client.delete(*stage.ledger.client.keys(f"{stage.ledger.keys.prefix}worker*"))
    after = there(stage)
    assert (after.pid, after.queues) == (process.child.pid, before.queues)
    assert abs((after.started - before.started).total_seconds()) < 5


def test_a_beat_that_comes_after_the_end_brings_nobody_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end waits for a beat under way, but not for long."""
    presence = Presence(SimpleNamespace(hostname="w@h"), stage.ledger, 2, lambda **_: None)
    introduced: list[bool] = []
    monkeypatch.setattr(presence, "_introduce", lambda: introduced.append(True))
    presence._introduced = True
    monkeypatch.setattr(presence, "_usage", SimpleNamespace(memory=lambda: 1, cores=lambda: None))
    presence.beat()
    assert introduced == [True], "whom the server does not know introduces itself"
    presence.leave(os.getpid())
    presence.beat()
    assert introduced == [True]

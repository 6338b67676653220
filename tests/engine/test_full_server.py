"""A server without memory, seen from workers: they drain what there is, and nobody's work is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord

from backyard.core.errors import LedgerUnavailableError
from backyard.core.states import State
from backyard.embedded.server import EmbeddedServer
from support.clean import assert_clean, wait_final, wait_until
from support.processes import make_environment, running_api, start_worker
from support.stage import TARGET, Stage, staged
from support.trials import starts
from support.web import connect, problem_in


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stage]:
    """A yard on a server of its own, that has memory again in the end."""
    with EmbeddedServer(tmp_path / "data") as server, staged(make_environment(server.url, tmp_path)) as stage:
        yield stage


def set_memory(stage: Stage, size: str) -> None:
    client: Any = stage.ledger.client
    client.config_set("maxmemory", size)


def test_workers_drain_what_there_is(own: Stage, gate: Path) -> None:
    running = start_worker(own.environment, "--concurrency=2", target=TARGET)
    begun = [own.plain.long.delay(str(gate)), own.typed.report.submit_sync(str(gate))]
    wait_until(lambda: len(starts(gate)) == 2, "both start")
    parts = chord([own.plain.multiply.s(1, 1), own.plain.multiply.s(2, 2)])(own.plain.total.s())
    steps = chain(own.plain.multiply.s(2, 2), own.plain.multiply.s(3))()
    again = own.typed.flaky.submit_sync(1)
    queued = [own.typed.add.submit_sync(number) for number in range(5)]
    later = own.typed.add.with_options(delay=0.1).submit_sync(1)
    set_memory(own, "1mb")
    gate.touch()
    late = start_worker(own.environment, "--concurrency=2", target=TARGET)  # one that starts now works as well
    try:
        for task_id in (begun[0].id, begun[1].task_id, again.task_id, later.task_id, *(one.task_id for one in queued)):
            assert wait_final(own.ledger, task_id).state is State.SUCCESS
        with pytest.raises(LedgerUnavailableError, match="refuses to write"):
            own.typed.add.submit_sync(1)
        assert len(starts(gate)) == 2, "nothing started twice"
        # What a chain or a chord sends on is new: it waits for memory with the task that sends it, and is not lost.
        wait_until(lambda: "waits" in running.output + late.output, "a task waits to send")
        set_memory(own, "0")
        assert steps.get(timeout=60) == 12
        assert parts.get(timeout=60) == 5
        assert_clean(own.ledger, leases=2)
    finally:
        running.end()
        late.end()


def test_the_door_refuses_with_a_reason(own: Stage) -> None:
    with running_api(own.environment) as api, connect(api.url) as client:
        before = client.post("/tasks/add", json={"a": 1}).json()["task_id"]
        set_memory(own, "1mb")
        problem = problem_in(client.post("/tasks/add", json={"a": 1}), 503, "ledger_unavailable")
        assert "refuses to write" in problem["detail"]
        assert "free memory" in problem["detail"]
        assert client.get(f"/tasks/{before}").json()["state"] == "PENDING"
        assert client.get(f"/tasks/{problem['task_id']}").status_code == 404, "what was refused is not there"
        set_memory(own, "0")
        assert client.post("/tasks/add", json={"a": 1}).status_code == 201

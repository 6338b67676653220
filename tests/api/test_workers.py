"""``/workers``: who takes tasks, and the way to let one drain."""

from __future__ import annotations

from collections.abc import Callable

import httpx2

from backyard import Backyard
from support.clean import wait_until
from support.processes import Process, start_worker
from support.web import problem_in


def test_workers_are_listed(client: httpx2.Client, worker: Process) -> None:
    listed = client.get("/workers").json()
    assert [one["pid"] for one in listed] == [worker.child.pid]
    one = listed[0]
    assert {"worker_name", "uptime", "max_concurrency", "registered_tasks", "queues", "state", "running"} <= set(one)
    assert (one["pool"], one["state"], one["alive"], one["max_concurrency"]) == ("prefork", "running", True, 2)
    assert one["uptime"] > 0
    assert "add" in one["registered_tasks"]
    assert set(one["definitions"]) == set(one["registered_tasks"])
    assert "slow" in one["queues"]


def test_an_unknown_worker_cannot_be_drained(client: httpx2.Client, worker: Process) -> None:
    name = client.get("/workers").json()[0]["worker_name"]
    body = problem_in(client.post(f"/workers/{name}x/drain"), 404, "unknown_worker")
    assert f"Did you mean '{name}'?" in body["detail"]
    assert worker.child.poll() is None


def test_a_worker_is_drained(
    client: httpx2.Client, worker: Process, stack_environment: dict[str, str], stack_yard: Backyard
) -> None:
    second = start_worker(stack_environment, "--concurrency=1", "-n", "second@h")
    try:
        answer = client.post("/workers/second/drain", params={"stay": True})
        assert (answer.status_code, answer.json()) == (202, {"worker_name": "second@h", "stay": True})
        states: Callable[[], dict[str, str]] = lambda: {  # noqa: E731 - looked at again and again
            one["worker_name"]: one["state"] for one in client.get("/workers").json()
        }
        wait_until(lambda: states().get("second@h") == "draining", "it drains")
        assert sorted(states().values()) == ["draining", "running"]
        # A worker that stays idle can still be ended by a signal.
        assert second.stop() == 0
        wait_until(lambda: "second@h" not in states(), "it is gone")
        assert len(stack_yard.workers()) == 1
    finally:
        second.end()
    third = start_worker(stack_environment, "--concurrency=1", "-n", "third@h")
    try:
        assert client.post("/workers/third@h/drain").status_code == 202
        assert third.child.wait(60) == 0
        assert worker.child.poll() is None
    finally:
        third.end()

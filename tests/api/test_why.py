"""``/tasks/{task_id}/why``: the reason, from the outside and from a program."""

from __future__ import annotations

from pathlib import Path

import httpx2

from backyard import Backyard
from support.processes import Process
from support.web import final, problem_in, until


def test_a_task_without_a_worker_says_so(awkward: httpx2.Client) -> None:
    task = awkward.post("/tasks/add_batch", json={"numbers": [1.0]}).json()
    why = awkward.get(f"/tasks/{task['task_id']}/why").json()
    assert (why["task_id"], why["state"], why["reason"]) == (task["task_id"], "PENDING", "no_worker")
    assert why["why"] == "No worker lives. Start one with `backyard worker --queues default`."
    assert why["evidence"] == {"queue": "default", "workers": []}
    awkward.delete(f"/tasks/{task['task_id']}")
    assert awkward.get(f"/tasks/{task['task_id']}/why").json()["reason"] == "cancelled"


def test_a_task_that_runs_and_one_behind_it(
    client: httpx2.Client, worker: Process, stack_yard: Backyard, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    tasks = [client.post("/tasks/wait_for", json={"gate": str(gate)}).json()["task_id"] for _ in range(6)]

    def reason(task_id: str) -> str:
        return str(client.get(f"/tasks/{task_id}/why").json()["reason"])

    until(lambda: reason(tasks[0]) == reason(tasks[1]) == "running", "two that run")
    until(lambda: reason(tasks[-1]) == "queued", "one that waits")
    running = client.get(f"/tasks/{tasks[0]}/why").json()
    assert running["evidence"]["worker"] in running["why"]
    assert running["evidence"]["lease_left"] > 0
    waiting = stack_yard.why_sync(tasks[-1])
    assert "ahead of it in the queue 'default'" in waiting.why or "next of the queue" in waiting.why
    assert stack_yard.handle(tasks[-1]).why_sync().reason == waiting.reason
    gate.touch()
    assert {final(client, task_id)["state"] for task_id in tasks} == {"SUCCESS"}
    assert client.get(f"/tasks/{tasks[0]}/why").json()["reason"] == "succeeded"
    assert worker.child.poll() is None


def test_a_retry_tells_which_and_when(client: httpx2.Client, worker: Process) -> None:
    answer = client.post("/tasks/add?delay=3600", json={"a": 1})
    task_id = answer.json()["task_id"]
    why = client.get(f"/tasks/{task_id}/why").json()
    assert (why["reason"], why["state"]) == ("due", "SCHEDULED")
    client.delete(f"/tasks/{task_id}")
    assert worker.child.poll() is None


def test_an_unknown_task_is_404(client: httpx2.Client) -> None:
    problem_in(client.get("/tasks/nobody/why"), 404, "unknown_task")

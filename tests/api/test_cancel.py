"""``DELETE /tasks/{task_id}``: the stages of a cancel as clients see them, and its children."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import httpx2
import pytest

from backyard import Backyard
from support.web import final, problem_in, until, watching

pytestmark = pytest.mark.usefixtures("worker")


def start(client: httpx2.Client, gate: Path) -> str:
    """Submit a task that waits for a gate, and return its id when it runs."""
    task_id = str(client.post("/tasks/wait_for", json={"gate": str(gate)}).json()["task_id"])
    until(lambda: Path(f"{gate}.starts").exists(), "it starts")
    return task_id


def test_a_task_that_nobody_has_cancelled_shows_none(client: httpx2.Client) -> None:
    task = client.post("/tasks/add", json={"a": 1}).json()
    assert (task["cancel"], task["cancel_requested"]) == (None, False)


def test_a_waiting_task_shows_when_it_was_stopped(client: httpx2.Client) -> None:
    task_id = client.post("/tasks/add", json={"a": 1}, params={"delay": 3600}).json()["task_id"]
    client.delete(f"/tasks/{task_id}")
    task = client.get(f"/tasks/{task_id}").json()
    assert (task["state"], task["cancel_requested"]) == ("REVOKED", True)
    assert task["cancel"].keys() == {"stage", "requested_at", "seen_at", "reason"}
    assert (task["cancel"]["stage"], task["cancel"]["seen_at"], task["cancel"]["reason"]) == ("stopped", None, None)
    assert dt.datetime.fromisoformat(task["cancel"]["requested_at"]).tzinfo
    assert task["cancel"]["requested_at"] == task["date_done"]


def test_every_stage_is_news(client: httpx2.Client, tmp_path: Path) -> None:
    task_id = start(client, tmp_path / "gate")
    with watching(client, task_id) as events:
        client.delete(f"/tasks/{task_id}")
        got = [one for one in events if one.event in ("cancel", "state")]
    told = [one.data["data"]["stage"] for one in got if one.event == "cancel"]
    assert told == ["requested", "seen", "too_late"], "it looked, and returned early: its result stands"
    assert got[-1].news == ("state", "SUCCESS")
    cancel = final(client, task_id)["cancel"]
    assert cancel["stage"] == "too_late"
    requested, seen = (dt.datetime.fromisoformat(cancel[name]) for name in ("requested_at", "seen_at"))
    assert requested <= seen


@pytest.mark.parametrize("children", [True, False])
def test_children_are_cancelled_unless_they_are_to_be_left(
    client: httpx2.Client, stack_yard: Backyard, tmp_path: Path, *, children: bool
) -> None:
    parent = start(client, tmp_path / "gate")
    child = client.post("/tasks/add", json={"a": 1}, params={"delay": 3600}).json()["task_id"]
    record, keys = stack_yard.ledger.client, stack_yard.ledger.keys
    record.hset(keys.task(child), mapping={"parent_id": parent, "under": parent})
    record.sadd(keys.children(parent), child)
    query = {} if children else {"children": "false"}
    assert client.delete(f"/tasks/{parent}", params=query).status_code == 204
    assert final(client, parent)["cancel"]["stage"] == "too_late"
    task = client.get(f"/tasks/{child}").json()
    assert task["state"] == ("REVOKED" if children else "SCHEDULED")
    assert (task["cancel"] or {}).get("reason") == (f"Its parent {parent} was cancelled." if children else None)
    client.delete(f"/tasks/{child}")


def test_what_cannot_be_cancelled(client: httpx2.Client) -> None:
    problem_in(client.delete("/tasks/nobody"), 404, "unknown_task")
    problem_in(client.delete("/tasks/nobody", params={"children": "perhaps"}), 422, "invalid_request")
    task_id = client.post("/tasks/add", json={"a": 1}).json()["task_id"]
    done = final(client, task_id)
    assert client.delete(f"/tasks/{task_id}").status_code == 204
    assert client.get(f"/tasks/{task_id}").json() == done


def test_the_schema_names_the_stages(client: httpx2.Client) -> None:
    schema = client.get("/openapi.json").json()
    stages = schema["components"]["schemas"]["CancelStage"]["enum"]
    assert stages == ["requested", "seen", "stopped", "killed", "too_late"]
    parameters = schema["paths"]["/tasks/{task_id}"]["delete"]["parameters"]
    assert [one["name"] for one in parameters] == ["task_id", "children"]

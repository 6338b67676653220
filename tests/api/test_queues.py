"""``/queues``: what waits, what is paused, and what is refused because it is full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from backyard import Backyard
from backyard.ledger.keys import LANES
from backyard.ledger.queue_calls import PURGED_AT_ONCE
from support.clean import assert_clean, wait_until
from support.processes import make_environment, running_api, start_worker
from support.web import connect, final, problem_in


@pytest.fixture(scope="module")
def limited_environment(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A yard whose queues hold little."""
    limits = {"BACKYARD_MAX_QUEUED": "1000", "BACKYARD_QUEUE_LIMITS": '{"other": 3}'}
    return {**make_environment(server_url, tmp_path_factory.mktemp("limited")), **limits}


@pytest.fixture(scope="module")
def door(limited_environment: dict[str, str]) -> Iterator[httpx2.Client]:
    """A client of the API of ``support.limited``."""
    with running_api(limited_environment, "support.limited_api:app") as api, connect(api.url) as client:
        yield client


@pytest.fixture(scope="module")
def yard_of(limited_environment: dict[str, str]) -> Iterator[Backyard]:
    from backyard import Settings  # noqa: PLC0415 - as the other fixtures do

    made = Backyard(
        limited_environment["TEST_YARD"], settings=Settings(redis_url=limited_environment["BACKYARD_REDIS_URL"])
    )
    yield made
    made.ledger.close()


def queue_of(door: httpx2.Client, name: str) -> dict[str, object]:
    rows = {row["name"]: row for row in door.get("/queues").json()}
    found: dict[str, object] = rows[name]
    return found


def test_queues_are_listed_with_their_limits(door: httpx2.Client) -> None:
    assert queue_of(door, "default")["limit"] == 1000
    assert queue_of(door, "other") == {
        "name": "other", "depth": 0, "lanes": dict.fromkeys(LANES, 0), "oldest": None, "running": 0,
        "parked": 0, "paused": None, "limit": 3,
    }  # fmt: skip


def test_a_full_queue_answers_429_and_takes_a_batch_whole_or_not_at_all(door: httpx2.Client) -> None:
    answer = door.post("/tasks/elsewhere/batch", json=[{"gate": "x"}] * 4)
    body = problem_in(answer, 429, "queue_full")
    assert "Nothing was accepted" in body["detail"]
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    ids = door.post("/tasks/elsewhere/batch", json=[{"gate": "x"}] * 3).json()["task_ids"]
    assert queue_of(door, "other")["depth"] == 3
    problem_in(door.post("/tasks/elsewhere", json={"gate": "x"}), 429, "queue_full")
    again = door.post("/tasks/elsewhere", json={"gate": "x"}, params={"task_id": ids[0]})
    assert (again.status_code, again.json()["task_id"]) == (200, ids[0])
    for task_id in ids:
        assert door.delete(f"/tasks/{task_id}").status_code == 204
    assert queue_of(door, "other")["depth"] == 0


def test_a_large_batch_is_refused_before_any_of_it_is_accepted(door: httpx2.Client) -> None:
    problem_in(door.post("/tasks/free/batch", json=[{"gate": "x"}] * 1001), 429, "queue_full")
    assert queue_of(door, "default")["depth"] == 0


def test_a_twin_answers_with_the_earlier_task(door: httpx2.Client) -> None:
    first = door.post("/tasks/alike", json={"gate": "x", "customer": 1})
    twin = door.post("/tasks/alike", json={"gate": "y", "customer": 1})
    assert (first.status_code, twin.status_code) == (201, 200)
    assert twin.json()["task_id"] == first.json()["task_id"]
    assert door.post("/tasks/alike", json={"gate": "x", "customer": 2}).status_code == 201
    for task in door.get("/tasks", params={"name": "alike"}).json():
        door.delete(f"/tasks/{task['task_id']}")


def test_a_queue_is_paused_and_resumed(
    door: httpx2.Client, yard_of: Backyard, limited_environment: dict[str, str], tmp_path: object
) -> None:
    paused = door.post("/queues/other/pause", json={"reason": "the printer burns"})
    assert paused.json() == {"name": "other", "paused": True, "changed": True}
    assert door.post("/queues/other/pause").json()["changed"] is False
    assert door.post("/queues/other/pause", json={"reason": "still"}).status_code == 200
    shown = queue_of(door, "other")["paused"]
    assert isinstance(shown, dict)
    assert shown["reason"] == "still"
    assert shown["since"].endswith("Z")
    worker = start_worker(limited_environment, target="support.limited:yard.celery")
    try:
        task_id = door.post("/tasks/elsewhere", json={"gate": f"{tmp_path}/gate"}).json()["task_id"]
        why = door.get(f"/tasks/{task_id}/why").json()
        assert why["reason"] == "paused"
        assert door.post("/queues/other/resume").json() == {"name": "other", "paused": False, "changed": True}
        assert door.post("/queues/other/resume").json()["changed"] is False
        assert final(door, task_id)["state"] == "SUCCESS"

        assert door.post("/definitions/free/pause", json={"reason": "bad deploy"}).json()["changed"]
        assert door.get("/definitions/free").json()["paused"]["reason"] == "bad deploy"
        names = {row["name"]: row["paused"] for row in door.get("/definitions").json()}
        assert [name for name, pause in names.items() if pause] == ["free"]
        task_id = door.post("/tasks/free", json={"gate": f"{tmp_path}/gate"}).json()["task_id"]
        wait_until(lambda: queue_of(door, "default")["parked"] == 1, "it is parked")
        assert door.get(f"/tasks/{task_id}/why").json()["reason"] == "paused"
        assert door.post("/definitions/free/resume").json()["changed"]
        assert final(door, task_id)["state"] == "SUCCESS"
        assert_clean(yard_of.ledger)
    finally:
        worker.end()


def test_what_does_not_exist_cannot_be_paused(door: httpx2.Client) -> None:
    problem_in(door.post("/queues/nobody/pause"), 404, "unknown_queue")
    problem_in(door.post("/definitions/nobody/pause"), 404, "unknown_definition")
    problem_in(door.post("/queues/other/pause", json={"because": "x"}), 422, "invalid_request")
    problem_in(door.post("/queues/other/pause", json={"reason": "x" * 501}), 422, "invalid_request")


def test_a_queue_is_purged_and_its_tasks_end(door: httpx2.Client, yard_of: Backyard, tmp_path: object) -> None:
    ids = door.post("/tasks/elsewhere/batch", json=[{"gate": "x"}] * 2).json()["task_ids"]
    later = door.post("/tasks/elsewhere", json={"gate": f"{tmp_path}/gate"}, params={"delay": 3_600}).json()["task_id"]
    wait_until(lambda: (queue_of(door, "other")["oldest"] or 0) != 0, "it ages")

    assert door.post("/queues/other/purge").json() == {"name": "other", "discarded": 2}

    assert [final(door, task_id)["state"] for task_id in ids] == ["REVOKED", "REVOKED"]
    assert door.get(f"/tasks/{later}").json()["state"] == "SCHEDULED"
    assert (queue_of(door, "other")["depth"], queue_of(door, "other")["oldest"]) == (0, None)
    assert door.post("/queues/other/purge").json()["discarded"] == 0
    door.delete(f"/tasks/{later}")
    assert_clean(yard_of.ledger, leases=0)
    problem_in(door.post("/queues/nobody/purge"), 404, "unknown_queue")


def test_more_than_one_step_is_purged(door: httpx2.Client) -> None:
    ids = door.post("/tasks/free/batch", json=[{"gate": "x"}] * (PURGED_AT_ONCE + 10)).json()["task_ids"]
    assert door.post("/queues/default/purge").json()["discarded"] == len(ids)
    assert {door.get(f"/tasks/{task_id}").json()["state"] for task_id in (ids[0], ids[-1])} == {"REVOKED"}


def test_the_depth_over_time_is_asked_of_the_history(door: httpx2.Client, awkward: httpx2.Client) -> None:
    problem_in(awkward.get("/queues/nobody/depth"), 404, "unknown_queue")
    problem_in(awkward.get("/queues/default/depth", params={"range": "2h"}), 422, "invalid_request")
    problem_in(door.get("/queues/other/depth"), 503, "history_unavailable")

    def asked() -> dict[str, Any]:
        found: dict[str, Any] = awkward.get("/queues/default/depth", params={"range": "15m"}).json()
        return found

    wait_until(lambda: any(point["depth"] is not None for point in asked().get("series", ())), "a keeper has looked")
    found = asked()
    assert (found["name"], found["step"]) == ("default", 10)
    assert 90 <= len(found["series"]) <= 91
    assert set(found["series"][-1]) == {"at", "depth", "running", "parked", "oldest"}
    assert awkward.get("/queues/default/depth", params={"range": "30d"}).json()["step"] == 14_400

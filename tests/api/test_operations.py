"""``/operations``: asked for, previewed, watched, stopped, and refused where they cannot work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from support.keepers import start_keeper
from support.processes import make_environment, running_api, start_worker
from support.web import await_history, connect, final, locations, problem_in, until


@pytest.fixture(scope="module")
def door(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of a stack of its own, with a keeper: operations would take the tasks of other tests."""
    environment = make_environment(server_url, tmp_path_factory.mktemp("operations"))
    keeper, worker = start_keeper(environment), start_worker(environment)
    try:
        with running_api(environment) as api, connect(api.url) as client:
            yield client
    finally:
        worker.end()
        keeper.end()


def over(door: httpx2.Client, answer: httpx2.Response) -> dict[str, Any]:
    """Wait until an operation is final."""
    assert answer.status_code == 202, answer.text
    place = answer.headers["location"]

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = door.get(place).json()
        return found if found["state"] in ("done", "stopped", "failed") else None

    found: dict[str, Any] = until(look, f"{place} ends")
    return found


def test_a_life_from_cancel_over_rerun_to_delete(door: httpx2.Client) -> None:
    inputs = [{"a": number} for number in range(5)]
    waits = door.post("/tasks/add/batch", json=inputs, params={"delay": 600}).json()["task_ids"]
    await_history(door)
    plan: dict[str, Any] = {"verb": "cancel", "filter": {"name": "add", "state": "SCHEDULED"}}
    answer = door.post("/operations/preview", json=plan)
    assert (answer.status_code, answer.json()["exact"]) == (200, True)
    done = over(door, door.post("/operations", json=plan))
    assert (done["state"], done["done"], done["report"]["outcomes"]) == ("done", 5, {"cancelled": 5})
    assert (done["progress"], done["filter"]["name"]) == (100.0, ["add"])
    assert {door.get(f"/tasks/{one}").json()["state"] for one in waits} == {"REVOKED"}

    await_history(door)
    plan = {"verb": "rerun", "filter": {"name": "add"}, "options": {"input": {"b": 7}, "canary": 2}}
    again = over(door, door.post("/operations", json=plan))
    assert (again["state"], again["report"]["outcomes"]) == ("done", {"submitted": 5})
    await_history(door)
    listed = door.get("/tasks", params={"operation": again["operation_id"]}).json()
    assert sorted(one["rerun_of"] for one in listed) == sorted(waits)
    assert sorted(final(door, one["task_id"])["result"] for one in listed) == [7, 8, 9, 10, 11]

    await_history(door)
    plan = {"verb": "delete", "filter": {"operation": again["operation_id"]}}
    assert over(door, door.post("/operations", json=plan))["report"]["outcomes"] == {"deleted": 5}
    problem_in(door.get(f"/tasks/{listed[0]['task_id']}"), 404, "unknown_task")


def test_a_key_makes_one_operation(door: httpx2.Client) -> None:
    headers = {"Idempotency-Key": "once"}
    plan: dict[str, Any] = {"verb": "rerun", "filter": {"name": "nobody"}, "options": {"input": {"a": 1}}}
    first, second = (door.post("/operations", json=plan, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.headers["location"] == second.headers["location"]
    other = door.post("/operations", json={**plan, "options": {}}, headers=headers)
    problem_in(other, 422, "idempotency_conflict")


def test_lists_and_stops(door: httpx2.Client) -> None:
    plan = {"verb": "cancel", "filter": {"name": "nobody"}}
    made = [door.post("/operations", json=plan).json()["operation_id"] for _ in range(3)]
    page = door.get("/operations", params={"limit": 2})
    assert [one["operation_id"] for one in page.json()] == [made[2], made[1]]
    rest = door.get(page.links["next"]["url"])
    assert rest.json()[0]["operation_id"] == made[0]
    assert door.post(f"/operations/{made[0]}/stop").status_code == 200
    problem_in(door.post("/operations/unknown/stop"), 404, "unknown_operation")
    problem_in(door.get("/operations/unknown"), 404, "unknown_operation")


@pytest.mark.parametrize(
    ("plan", "place", "said"),
    [
        ({"verb": "cancel"}, ["filter"], '"everything": true'),
        ({"verb": "cancel", "filter": {"colour": "red"}}, ["filter", "colour"], "no such field"),
        ({"verb": "cancel", "filter": {"since": "2026-01-31T12:00:00"}}, ["filter", "since"], "with its zone"),
        ({"verb": "burn", "filter": {"name": "x"}}, ["verb"], "'cancel', 'rerun' or 'delete'"),
        ({"verb": "delete", "filter": {"name": "x"}, "options": {"rate": 1}}, ["options"], "delete has no options"),
        ({"verb": "cancel", "filter": {"name": "x"}, "options": {"canary": 1}}, ["options"], "are: children"),
        ({"verb": "rerun", "filter": {"name": "x"}, "options": {"rate": 0}}, ["options", "rate"], "greater than 0"),
        ({"verb": "cancel", "filter": {"text": "!!!"}}, ["filter", "text"], "has 0 words"),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(
    door: httpx2.Client, plan: dict[str, Any], place: list[str], said: str
) -> None:
    before = [one["operation_id"] for one in door.get("/operations").json()]
    body = problem_in(door.post("/operations", json=plan), 422, "invalid_input")
    assert locations(body) == [place]
    assert said in body["errors"][0]["message"]
    assert [one["operation_id"] for one in door.get("/operations").json()] == before


def test_without_a_history_nothing_is_promised(client: httpx2.Client) -> None:
    plan = {"verb": "cancel", "filter": {"name": "x"}}
    for path in ("/operations", "/operations/preview"):
        body = problem_in(client.post(path, json=plan), 503, "history_unavailable")
        assert "keeper" in body["detail"]
    problem_in(client.get("/operations"), 503, "history_unavailable")

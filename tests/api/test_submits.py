"""``POST /tasks...``: one task, by its typed route and by name."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from backyard import Backyard
from support.web import connect, final, locations, problem_in

pytestmark = pytest.mark.usefixtures("worker")


def stored(yard: Backyard, task_id: str) -> bytes:
    """Return a task's input as the ledger keeps it."""
    return yard.ledger.record(task_id).fields["input"]


def test_a_typed_submit_makes_a_task_that_runs(client: httpx2.Client) -> None:
    answer = client.post("/tasks/add", json={"a": 1, "b": 5})
    task = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/tasks/{task['task_id']}"
    assert (task["name"], task["input"], task["queue"]) == ("add", {"a": 1, "b": 5}, "default")
    done = final(client, task["task_id"])
    assert (done["state"], done["result"], done["progress"], done["attempt"]) == ("SUCCESS", 6, 100, 1)
    created, started, ended = (datetime.fromisoformat(done[f"date_{name}"]) for name in ("created", "started", "done"))
    assert created <= started <= ended


def test_any_definition_can_be_submitted_by_name(client: httpx2.Client) -> None:
    answer = client.post("/tasks", json={"name": "add", "input": {"a": 2}, "tags": ["x", "y"]})
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/tasks/{answer.json()['task_id']}"
    assert answer.json()["tags"] == ["x", "y"]
    assert final(client, answer.json()["task_id"])["result"] == 4


def test_without_an_input_the_defaults_count(client: httpx2.Client) -> None:
    assert client.post("/tasks/wrong_result").status_code == 201
    assert client.post("/tasks", json={"name": "wrong_result"}).status_code == 201
    assert locations(problem_in(client.post("/tasks/add"), 422, "invalid_input")) == [["a"]]


def test_each_wrong_field_is_named_with_its_place(client: httpx2.Client) -> None:
    parcels: list[Any] = [{"when": "2026-01-01T00:00:00Z", "price": "1", "key": str(uuid.uuid4())}, {"when": "soon"}]
    wrong = {"parcels": parcels, "raw": "", "other": 1}
    expected: list[list[str | int]] = [
        ["parcels", 1, "when"],
        ["parcels", 1, "price"],
        ["parcels", 1, "key"],
        ["other"],
    ]
    body = problem_in(client.post("/tasks/echo", json=wrong), 422, "invalid_input")
    assert locations(body) == expected
    assert "parcels.1.when" in body["detail"]
    by_name = problem_in(client.post("/tasks", json={"name": "echo", "input": wrong}), 422, "invalid_input")
    assert locations(by_name) == [["input", *place] for place in expected]
    assert locations(problem_in(client.post("/tasks", json={"input": {}}), 422, "invalid_input")) == [["name"]]


@pytest.mark.parametrize("by_name", [False, True])
def test_an_unknown_definition_is_404_and_names_the_closest(client: httpx2.Client, *, by_name: bool) -> None:
    answer = client.post("/tasks", json={"name": "ad"}) if by_name else client.post("/tasks/ad", json={"a": 1})
    assert "Did you mean 'add'?" in problem_in(answer, 404, "unknown_definition")["detail"]
    assert "GET /definitions" in problem_in(client.post("/tasks/zzzzzz"), 404, "unknown_definition")["detail"]


def test_options_stand_in_the_query(client: httpx2.Client, stack_yard: Backyard) -> None:
    query = {"delay": "3600", "priority": "high", "expires": "7200", "tags": ["red", "blue"]}
    task = client.post("/tasks/add", json={"a": 1}, params=query).json()
    assert (task["state"], task["priority"], task["tags"]) == ("SCHEDULED", "high", ["red", "blue"])
    created, due = (datetime.fromisoformat(task[name]) for name in ("date_created", "date_due"))
    assert due - created == timedelta(hours=1)
    record = stack_yard.ledger.record(task["task_id"])
    assert record.number("expires") - record.number("due") == 7_200_000, "it counts from when the task is due"
    at = datetime(2090, 1, 31, 12, tzinfo=UTC)
    by_name = client.post("/tasks", json={"name": "add", "input": {"a": 1}, "at": at.isoformat()}).json()
    assert (by_name["state"], datetime.fromisoformat(by_name["date_due"])) == ("SCHEDULED", at)


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ({"dealy": "5"}, ["dealy"]),
        ({"queue": "other"}, ["queue"]),
        ({"delay": "-1"}, ["delay"]),
        ({"delay": "nan"}, ["delay"]),
        ({"delay": "soon"}, ["delay"]),
        ({"delay": "1e300"}, None),
        ({"delay": "inf"}, None),
        ({"delay": ["1", "2"]}, None),
        ({"delay": "1", "at": "2090-01-01T00:00:00Z"}, None),
        ({"at": "2090-01-01T00:00:00"}, None),
        ({"at": "9999-12-31T23:59:59-14:00"}, None),
        ({"at": "0001-01-01T00:00:00+14:00"}, None),
        ({"expires": "0"}, ["expires"]),
        ({"expires": "1e300"}, None),
        ({"priority": "urgent"}, ["priority"]),
        ({"task_id": "../x"}, ["task_id"]),
        ({"task_id": "x" * 129}, ["task_id"]),
        ({"tags": ["x"] * 21}, None),
        ({"tags": ""}, None),
    ],
)
def test_an_option_that_cannot_work_is_refused(
    client: httpx2.Client, query: dict[str, Any], place: list[str] | None
) -> None:
    body = problem_in(client.post("/tasks/add", json={"a": 1}, params=query), 422, "invalid_input")
    assert body.get("errors") is None if place is None else locations(body) == [place]
    if not any(isinstance(value, list) and name != "tags" for name, value in query.items()):
        problem_in(client.post("/tasks", json={"name": "add", "input": {"a": 1}, **query}), 422, "invalid_input")


def test_values_arrive_as_they_were_sent(client: httpx2.Client, stack_yard: Backyard) -> None:
    """By each of the ways in, as the same bytes on the record, and as their own types in the worker."""
    parcel = f'{{"when":"2026-01-31T12:00:00Z","price":0.10000000000000000555,"key":"{uuid.uuid4()}"}}'
    text = f'{{"parcels":[{parcel}],"raw":"AAH/"}}'
    texts = {
        "/tasks/echo": text,
        "/tasks": f'{{"input": {text},"name":"echo"}}',
        "/tasks/echo/batch": f"[ {text} ]",
    }
    kept = set()
    for path, text in texts.items():
        answer = client.post(path, content=text, headers={"content-type": "application/json"}).json()
        kept.add(stored(stack_yard, answer["task_ids"][0] if "task_ids" in answer else answer["task_id"]))
    assert len(kept) == 1
    done = final(client, answer["task_ids"][0])
    assert (done["result"][1], done["input"]["raw"]) == ("AAH_", "AAH_")
    assert done["result"][0][0]["price"] == done["input"]["parcels"][0]["price"]


def test_the_same_key_gives_the_first_task_back(client: httpx2.Client) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = client.post("/tasks/add", json={"a": 1, "b": 2}, headers=headers)
    again = client.post("/tasks/add", json={"b": 2, "a": 1}, headers=headers)
    by_name = client.post("/tasks", json={"name": "add", "input": {"a": 1}}, headers=headers)
    assert [one.status_code for one in (first, again, by_name)] == [201, 200, 200]
    assert {one.json()["task_id"] for one in (first, again, by_name)} == {first.json()["task_id"]}
    assert again.headers["location"] == first.headers["location"]
    other = problem_in(client.post("/tasks/add", json={"a": 9}, headers=headers), 422, "idempotency_conflict")
    assert first.json()["task_id"] in other["detail"]
    problem_in(client.post("/tasks/echo_async", json={"value": 1}, headers=headers), 422, "idempotency_conflict")


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_cannot_work_is_refused(client: httpx2.Client, key: str) -> None:
    problem_in(client.post("/tasks/add", json={"a": 1}, headers={"Idempotency-Key": key}), 422, "invalid_input")


def test_a_key_whose_task_is_gone_is_not_answered_with_404(client: httpx2.Client, stack_yard: Backyard) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = client.post("/tasks/add", json={"a": 1}, headers=headers).json()
    stack_yard.ledger.run(stack_yard.ledger.calls.forget(first["task_id"]))
    again = client.post("/tasks/add", json={"a": 1}, headers=headers)
    assert first["task_id"] in problem_in(again, 422, "idempotency_conflict")["detail"]


@pytest.mark.parametrize("by", ["key", "id"])
def test_fifty_at_once_make_one_task(client: httpx2.Client, by: str) -> None:
    mark = uuid.uuid4().hex
    headers = {"Idempotency-Key": mark} if by == "key" else {}
    query = {"task_id": mark} if by == "id" else {}

    def submit(_: int) -> tuple[int, str]:
        with connect(str(client.base_url)) as own:
            body = {"gate": "/nowhere", "note": mark}
            answer = own.post("/tasks/wait_for", json=body, headers=headers, params={**query, "delay": 3600})
        return answer.status_code, answer.json()["task_id"]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(submit, range(50)))
    assert sorted(status for status, _ in answers) == [200] * 49 + [201]
    assert len({task_id for _, task_id in answers}) == 1
    listed = client.get("/tasks", params={"name": "wait_for", "limit": 500}).json()
    assert [one["task_id"] for one in listed if one["input"]["note"] == mark] == [answers[0][1]]


def test_an_id_of_the_clients_own_makes_one_task(client: httpx2.Client) -> None:
    mine = f"order:{uuid.uuid4()}"
    first = client.post("/tasks/add", json={"a": 1}, params={"task_id": mine})
    assert (first.status_code, first.json()["task_id"]) == (201, mine)
    assert final(client, mine)["result"] == 3
    again = client.post("/tasks", json={"name": "add", "input": {"a": 1}, "task_id": mine})
    assert (again.status_code, again.json()["result"], again.json()["attempt"]) == (200, 3, 1)
    other = client.post("/tasks/echo_async", json={"value": 1}, params={"task_id": mine})
    assert "belongs to a task of add" in problem_in(other, 422, "idempotency_conflict")["detail"]

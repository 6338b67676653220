"""``POST /tasks/{name}/batch``: many tasks, all or none."""

from __future__ import annotations

import uuid
from typing import Any

import httpx2
import pytest

from backyard import Backyard
from support.web import final, locations, problem_in

pytestmark = pytest.mark.usefixtures("worker")

JSON = {"content-type": "application/json"}


def ids(yard: Backyard) -> set[bytes]:
    """Return the ids of all tasks; what others have left may be forgotten at any time."""
    client: Any = yard.ledger.client
    return set(client.zrange(f"{yard.ledger.keys.prefix}tasks", 0, -1))


def test_a_batch_makes_a_task_of_each_input_in_their_order(client: httpx2.Client) -> None:
    answer = client.post("/tasks/add/batch", json=[{"a": n} for n in range(20)], params={"tags": "many"})
    assert answer.status_code == 201
    assert answer.json()["count"] == len(set(answer.json()["task_ids"])) == 20
    tasks = [final(client, task_id) for task_id in answer.json()["task_ids"]]
    assert [task["result"] for task in tasks] == [n + 2 for n in range(20)]
    assert {tuple(task["tags"]) for task in tasks} == {("many",)}


def test_one_wrong_input_and_none_is_submitted(client: httpx2.Client, stack_yard: Backyard) -> None:
    before = ids(stack_yard)
    inputs: list[Any] = [{"a": 1}, {"a": "x"}, {"a": 2}, 7, {"a": 3, "c": 1, "b": None}]
    body = problem_in(client.post("/tasks/add/batch", json=inputs), 422, "invalid_input")
    assert locations(body) == [[1, "a"], [3], [4, "b"], [4, "c"]]
    assert "none was submitted" in body["detail"]
    assert ids(stack_yard) <= before


def test_the_list_of_errors_has_an_end(client: httpx2.Client) -> None:
    body = problem_in(client.post("/tasks/add/batch", json=[{}] * 1_000), 422, "invalid_input")
    assert locations(body) == [[number, "a"] for number in range(100)]
    assert body["detail"].startswith("1000 errors")


def test_a_batch_has_one_to_ten_thousand_inputs(client: httpx2.Client, stack_yard: Backyard) -> None:
    before = ids(stack_yard)
    inputs = [{"a": number} for number in range(10_001)]
    for wrong in ([], inputs):
        body = problem_in(client.post("/tasks/add/batch", json=wrong, params={"delay": 3600}), 422, "invalid_input")
        assert "1 to 10,000" in body["detail"]
    assert ids(stack_yard) <= before
    answer = client.post("/tasks/add/batch", json=inputs[:10_000], params={"delay": 3600})
    assert (answer.status_code, answer.json()["count"]) == (201, 10_000)
    records: Any = stack_yard.ledger.client
    assert records.exists(*map(stack_yard.ledger.keys.task, answer.json()["task_ids"])) == 10_000
    for task_id, number in zip(answer.json()["task_ids"][::2_500], range(0, 10_000, 2_500), strict=True):
        assert client.get(f"/tasks/{task_id}").json()["input"]["a"] == number


@pytest.mark.parametrize(
    "text",
    ["", "{}", "null", '"x"', '[{"a":1}', '[{"a":1},]', "[,]", '[{"a":1}]]', '[{"a":1}] []', '[{"a":1},{"a":1 "b":2}]',
     '[{"a":1} {"a":1}]', '{"a":1}', '[{"a":1},,{"a":1}]', '[,{"a":1}]', '[{"a":1}}'],
)  # fmt: skip
def test_what_is_no_list_of_inputs_is_refused(client: httpx2.Client, text: str) -> None:
    problem_in(client.post("/tasks/add/batch", content=text, headers=JSON), 422, "invalid_input")


def test_one_input_of_a_batch_may_be_as_large_as_one_alone(client: httpx2.Client) -> None:
    large = "x" * 1_048_576
    answer = client.post("/tasks/save_and_log/batch", json=[{"name": "a", "text": "1"}, {"name": "b", "text": large}])
    assert "input 1" in problem_in(answer, 413, "too_large")["detail"]


def test_what_is_for_one_task_is_refused_for_many(client: httpx2.Client) -> None:
    answer = client.post("/tasks/add/batch", json=[{"a": 1}], params={"task_id": "x"})
    assert locations(problem_in(answer, 422, "invalid_input")) == [["task_id"]]


def test_a_batch_with_a_key_is_made_once(client: httpx2.Client, stack_yard: Backyard) -> None:
    inputs = [{"a": number} for number in range(250)]
    key = {"Idempotency-Key": f"batch {uuid.uuid4()}"}
    first = client.post("/tasks/add/batch", json=inputs, headers=key)
    before = ids(stack_yard)
    again = client.post("/tasks/add/batch", json=inputs, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert len(set(first.json()["task_ids"])) == 250
    for other in ([*inputs, {"a": 0}], inputs[:-1], inputs[::-1], [*inputs[:-1], {"a": 1}]):
        answer = client.post("/tasks/add/batch", json=other, headers=key)
        assert key["Idempotency-Key"] in problem_in(answer, 422, "idempotency_conflict")["detail"]
    assert ids(stack_yard) <= before
    alone = client.post("/tasks/add", json={"a": 1}, headers=key)
    assert alone.status_code == 201, "the key of a single submit is another one"


def test_a_batch_of_an_unknown_definition_is_404(client: httpx2.Client) -> None:
    problem_in(client.post("/tasks/ad/batch", json=[{}]), 404, "unknown_definition")

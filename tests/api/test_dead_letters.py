from __future__ import annotations

import re
import uuid

import httpx2
import pytest

from backyard import Backyard
from backyard.engine.message import compose
from backyard.ledger.submission import Submission
from support.web import problem_in


def bury(yard: Backyard, number: int) -> list[str]:
    """Set entries of tasks aside, as a worker does; returns the ids of the tasks."""
    made = []
    for _ in range(number):
        task_id = str(uuid.uuid4())
        message = compose(task_id, "add", b'{"a":1}', queue="aside", lane="normal", timelimit=(None, None))
        yard.ledger.submit([Submission(task_id, "add", "aside", "normal", message, 60, fields={"input": '{"a":1}'})])
        ((_, lane, entry, *_),) = yard.ledger.run(yard.ledger.calls.take("c", 1, 60, ["aside"]))
        yard.ledger.run(yard.ledger.calls.set_aside("aside", lane.decode(), entry.decode(), "nobody can run it"))
        made.append(task_id)
    return made


@pytest.fixture
def client(client: httpx2.Client, stack_yard: Backyard) -> httpx2.Client:
    """A client of a yard without dead letters."""
    stack_yard.ledger.client.delete(f"{stack_yard.ledger.keys.prefix}dead")
    return client


def test_letters_are_listed_page_by_page(client: httpx2.Client, stack_yard: Backyard) -> None:
    made = bury(stack_yard, 5)
    found, query = [], "/dead-letters?limit=2"
    while query:
        answer = client.get(query)
        found += [one["task_id"] for one in answer.json()]
        link = re.match(r'<(.*)>; rel="next"', answer.headers.get("link", ""))
        query = link[1] if link else ""
    assert found == made[::-1]
    problem_in(client.get("/dead-letters", params={"before": "nonsense"}), 404, "unknown_dead_letter")


def test_a_letter_is_shown_put_back_and_gone(client: httpx2.Client, stack_yard: Backyard) -> None:
    (task_id,) = bury(stack_yard, 1)
    (one,) = client.get("/dead-letters").json()
    assert (one["queue"], one["name"], one["state"], one["reason"]) == ("aside", "add", "FAILURE", "nobody can run it")
    place = f"/dead-letters/{one['letter_id']}"
    shown = client.get(place).json()
    assert shown.pop("message").endswith('{"a":1}')
    assert shown == one
    back = client.post(f"{place}/requeue")
    assert (back.status_code, back.json()) == (200, {"letter_id": one["letter_id"], "queue": "aside"})
    task = client.get(f"/tasks/{task_id}").json()
    assert (task["state"], task["input"], task["failure"]) == ("PENDING", {"a": 1}, None)
    for answer in (client.get(place), client.post(f"{place}/requeue"), client.delete(place)):
        problem_in(answer, 404, "unknown_dead_letter")
    client.delete(f"/tasks/{task_id}")


def test_a_letter_whose_task_lives_again_is_not_put_back(client: httpx2.Client, stack_yard: Backyard) -> None:
    (task_id,) = bury(stack_yard, 1)
    (one,) = client.get("/dead-letters").json()
    place = f"/dead-letters/{one['letter_id']}"
    again = Submission(task_id, "add", "aside", "normal", b"m", 60, again=True)
    stack_yard.ledger.submit([again])
    problem = problem_in(client.post(f"{place}/requeue"), 409, "dead_letter_conflict")
    assert "is PENDING now" in problem["detail"]
    assert client.delete(place).status_code == 204
    client.delete(f"/tasks/{task_id}")


def test_letters_are_deleted_up_to_one(client: httpx2.Client, stack_yard: Backyard) -> None:
    bury(stack_yard, 4)
    rows = client.get("/dead-letters").json()
    assert client.delete("/dead-letters", params={"until": rows[1]["letter_id"]}).json() == {"deleted": 3}
    assert [one["letter_id"] for one in client.get("/dead-letters").json()] == [rows[0]["letter_id"]]
    assert client.delete("/dead-letters").status_code == 422

"""``GET /tasks``: newest first, by state and name, page by page."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import httpx2
import pytest

from backyard import Backyard
from support.processes import running_api
from support.web import connect, locations, problem_in

LATER = {"delay": 3600}


@pytest.fixture
def empty(environment: dict[str, str]) -> Iterator[httpx2.Client]:
    """A client of an API whose yard is empty."""
    with running_api(environment) as api, connect(api.url) as client:
        yield client


def submit(client: httpx2.Client, count: int, name: str = "add") -> list[str]:
    field = {"add": "a", "echo_async": "value"}[name]
    inputs = [{field: number} for number in range(count)]
    return list(client.post(f"/tasks/{name}/batch", json=inputs, params=LATER).json()["task_ids"])


def pages(client: httpx2.Client, path: str, between: Callable[[], Any] = lambda: None) -> Iterator[list[str]]:
    """Follow the links to the end."""
    link: str | None = path
    while link:
        answer = client.get(link)
        assert answer.status_code == 200, answer.text
        yield [task["task_id"] for task in answer.json()]
        between()
        link = answer.links["next"]["url"] if "next" in answer.links else None


def test_an_empty_yard_has_an_empty_list(empty: httpx2.Client) -> None:
    answer = empty.get("/tasks")
    assert (answer.status_code, answer.json(), answer.headers.get("link")) == (200, [], None)


def test_pages_have_no_gap_and_no_double_while_tasks_arrive(empty: httpx2.Client) -> None:
    """The tasks of one batch share their milliseconds, so that only the order within one tells them apart."""
    there = {*submit(empty, 600), *submit(empty, 47)}
    found = list(pages(empty, "/tasks?limit=50", lambda: submit(empty, 30)))
    assert [len(page) for page in found[:-1]] == [50] * 12
    flat = list(itertools.chain(*found))
    assert len(flat) == len(set(flat)) == 647
    assert set(flat) == there


def test_the_newest_come_first(empty: httpx2.Client) -> None:
    rounds = [submit(empty, 3) for _ in range(3)]
    listed = empty.get("/tasks").json()
    assert [task["task_id"] for task in listed] == list(itertools.chain(*(sorted(one)[::-1] for one in rounds[::-1])))
    created = [datetime.fromisoformat(task["date_created"]) for task in listed]
    assert created == sorted(created, reverse=True)


def test_filters_hold_on_every_page(empty: httpx2.Client) -> None:
    add, other = submit(empty, 25), submit(empty, 25, "echo_async")
    for task_id in [*add[:12], *other[:5]]:
        empty.delete(f"/tasks/{task_id}")
    assert set(itertools.chain(*pages(empty, "/tasks?name=add&limit=4"))) == set(add)
    path = "/tasks?name=add&state=REVOKED&limit=5"
    assert [len(page) for page in pages(empty, path)] in ([5, 5, 2], [5, 5, 2, 0])
    assert set(itertools.chain(*pages(empty, path))) == set(add[:12])
    both = itertools.chain(*pages(empty, "/tasks?state=REVOKED&state=SCHEDULED&limit=7"))
    assert set(both) == {*add, *other}
    assert empty.get("/tasks?state=SUCCESS").json() == []
    assert empty.get("/tasks?name=ad").json() == []
    assert empty.get("/tasks?name=a&state=PENDING").headers.get("link") is None


def test_a_needle_far_down_is_found(empty: httpx2.Client) -> None:
    """The server looks at 2,000 tasks at a time; a page is filled over several looks."""
    (needle,) = submit(empty, 1, "echo_async")
    submit(empty, 2_500)
    assert [task["task_id"] for task in empty.get("/tasks?name=echo_async&limit=1").json()] == [needle]


def test_a_record_that_is_gone_leaves_no_hole(empty: httpx2.Client, new_yard: Backyard) -> None:
    ids = submit(empty, 10)
    for task_id in ids[::2]:
        new_yard.ledger.run(new_yard.ledger.calls.forget(task_id))
    assert set(itertools.chain(*pages(empty, "/tasks?limit=2"))) == set(ids[1::2])


@pytest.mark.parametrize(("limit", "count"), [("1", 1), ("500", 500)])
def test_the_limit_has_bounds_that_hold(empty: httpx2.Client, limit: str, count: int) -> None:
    submit(empty, 501)
    assert len(empty.get("/tasks", params={"limit": limit}).json()) == count
    assert len(empty.get("/tasks").json()) == 50


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=-1", "limit=x", "limit=1e2", "state=GONE", "state="])
def test_a_query_that_cannot_work_is_refused(client: httpx2.Client, query: str) -> None:
    assert locations(problem_in(client.get(f"/tasks?{query}"), 422, "invalid_request"))[0][0] == "query"


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    ["x", "%", "ä", "AAAA", "_" * 5_000, encoded("x|y"), encoded("1"), encoded("1|"), encoded("|x"), encoded("nan|x"),
     encoded("inf|x"), encoded("-1|x"), encoded("(1|x"), encoded("1_0|x"), encoded("1e5|x"), encoded("9" * 400 + "|x")],
)  # fmt: skip
def test_a_cursor_of_ones_own_is_refused(client: httpx2.Client, cursor: str) -> None:
    body = problem_in(client.get("/tasks", params={"cursor": cursor}), 422, "invalid_input")
    assert "Link header" in body["detail"]


def test_states_are_those_of_now(empty: httpx2.Client) -> None:
    task_id = empty.post("/tasks/add", json={"a": 1}).json()["task_id"]
    assert [task["task_id"] for task in empty.get("/tasks?state=PENDING").json()] == [task_id]
    empty.delete(f"/tasks/{task_id}")
    assert empty.get("/tasks?state=PENDING").json() == []
    assert [task["task_id"] for task in empty.get("/tasks?state=REVOKED").json()] == [task_id]

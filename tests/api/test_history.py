"""The history through the API: lists with every filter, what is gone from the ledger, numbers, the trail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from backyard.ledger.ledger import Ledger
from support.keepers import start_keeper
from support.processes import Api, Process, make_environment, running_api, start_worker
from support.web import await_history, connect


@pytest.fixture(scope="module")
def environment(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the module's stack."""
    return make_environment(server_url, tmp_path_factory.mktemp("history"))


@pytest.fixture(scope="module")
def stack(environment: dict[str, str]) -> Iterator[Api]:
    """A stack with a keeper."""
    worker, keeper = start_worker(environment), start_keeper(environment)
    with running_api(environment) as running:
        yield running
    for process in (worker, keeper):
        process.end()


@pytest.fixture(scope="module")
def web(stack: Api) -> Iterator[httpx2.Client]:
    """A client of it."""
    with connect(stack.url) as client:
        yield client


def submit(web: httpx2.Client, name: str, body: dict[str, Any], **query: Any) -> str:
    """Submit a task, and return its id when it has ended."""
    answer = web.post(f"/tasks/{name}", json=body, params=query)
    assert answer.status_code == 201, answer.text
    task_id: str = answer.json()["task_id"]
    assert web.get(f"/tasks/{task_id}", params={"wait": 30}).json()["state"] in ("SUCCESS", "FAILURE")
    return task_id


def ids(web: httpx2.Client, **query: Any) -> list[str]:
    await_history(web)
    answer = web.get("/tasks", params=query)
    assert answer.status_code == 200, answer.text
    return [one["task_id"] for one in answer.json()]


def test_a_fresh_list_has_what_was_accepted_before(web: httpx2.Client) -> None:
    for number in range(20):
        task_id = web.post("/tasks/add", json={"a": number}).json()["task_id"]
        assert ids(web, limit=1) == [task_id]


def test_lists_by_text_tag_queue_and_time(web: httpx2.Client) -> None:
    first = submit(web, "steps", {"count": 1}, tags="zebra")
    second = submit(web, "wrong_result", {}, tags=["zebra", "other"])
    assert ids(web, tag="zebra") == [second, first]
    assert ids(web, tag=["zebra", "other"]) == [second]
    assert ids(web, queue="slow", tag="zebra") == [first]
    assert ids(web, text="zebra wrong") == [second]
    assert ids(web, tag="zebra", state="FAILURE") == [second]
    created = web.get(f"/tasks/{second}").json()["date_created"]
    assert ids(web, tag="zebra", since=created) == [second]
    assert ids(web, tag="zebra", until=created) == [first]
    assert web.get("/tasks/count", params={"tag": "zebra"}).json() == {
        "states": {"SUCCESS": 1, "FAILURE": 1}, "total": 2, "exact": True,
    }  # fmt: skip


def test_pages_lead_on_and_back(web: httpx2.Client) -> None:
    made = [submit(web, "add", {"a": number}, tags="paged") for number in range(5)][::-1]
    await_history(web)
    page = web.get("/tasks", params={"tag": "paged", "limit": 2})
    found = [one["task_id"] for one in page.json()]
    pages = [page]
    while (link := re.search(r'<([^>]+)>; rel="next"', page.headers.get("link", ""))) is not None:
        page = web.get(link[1])
        pages.append(page)
        found += [one["task_id"] for one in page.json()]
    assert found == made
    assert len(pages) == 3
    back = re.search(r'<([^>]+)>; rel="prev"', page.headers["link"])
    assert back is not None
    assert web.get(back[1]).json() == pages[1].json()


def test_a_task_is_found_after_its_record_is_gone(web: httpx2.Client, environment: dict[str, str]) -> None:
    task_id = submit(web, "save_and_log", {"name": "a.txt", "text": "x"})
    before = web.get(f"/tasks/{task_id}").json()
    assert ids(web, limit=1) == [task_id]
    ledger = Ledger(environment["BACKYARD_REDIS_URL"], environment["TEST_YARD"])
    ledger.run(ledger.calls.forget(task_id))
    ledger.close()
    assert web.get(f"/tasks/{task_id}").json() == before
    assert [one["message"] for one in web.get(f"/tasks/{task_id}/log").json()] == ["saving"]
    (attempt,) = web.get(f"/tasks/{task_id}/attempts").json()
    assert attempt["outcome"] == "SUCCESS"
    kinds = sorted(one["event"] for one in web.get(f"/tasks/{task_id}/timeline").json())
    assert kinds == ["artifact", "log", "state", "state", "state"]
    again = web.post(f"/tasks/{task_id}/rerun")
    assert again.status_code == 201
    assert again.json()["input"] == before["input"]
    assert ids(web, rerun_of=task_id) == [again.json()["task_id"]]
    assert web.get("/tasks/never/attempts").status_code == 404


def test_numbers_and_errors(web: httpx2.Client) -> None:
    failed = submit(web, "wrong_result", {})
    assert ids(web, limit=1) == [failed]
    stats = web.get("/stats", params={"range": "15m"}).json()
    assert stats["definitions"]["wrong_result"]["failed"] >= 1
    assert stats["total"]["submitted"] == sum(point["submitted"] for point in stats["series"])
    assert stats["total"]["run"]["p50"] >= 0
    assert stats["states"]["FAILURE"] >= 1
    group = next(one for one in web.get("/errors").json() if one["sample_task_id"] == failed)
    assert (group["name"], group["kind"]) == ("wrong_result", "invalid_result")
    assert web.get(f"/errors/{group['fingerprint']}").json() == group
    assert failed in ids(web, fingerprint=group["fingerprint"])
    assert web.get("/errors/none").status_code == 404


def test_what_operators_do_is_on_the_trail(web: httpx2.Client) -> None:
    web.post("/queues/slow/pause", json={"reason": "tests"})
    web.post("/queues/slow/resume")
    ids(web, limit=1)
    resumed, paused = web.get("/audit", params={"kind": "queue", "subject": "slow"}).json()
    assert (resumed["verb"], paused["verb"], paused["details"]) == ("resume", "pause", {"reason": "tests"})
    assert web.get("/audit", params={"before": resumed["event_id"], "kind": "queue"}).json() == [paused]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"cursor": "nonsense"}, "cursor"),
        ({"colour": "red"}, "colour"),
        ({"state": "DONE"}, "state"),
        ({"since": "2026-02-30T00:00:00Z"}, "since"),
        ({"since": "2026-02-20T00:00:00"}, "since"),
        ({"limit": "0"}, "limit"),
        ({"text": "***"}, "text"),
        ({"text": "x" * 2_000}, "text"),
    ],
)
def test_what_cannot_be_listed_is_refused_with_its_field(web: httpx2.Client, query: dict[str, str], field: str) -> None:
    answer = web.get("/tasks", params=query)
    assert answer.status_code == 422
    problem = answer.json()
    assert field in problem["errors"][0]["location"]
    assert problem["detail"]


@pytest.mark.parametrize("path", ["/stats?range=1y", "/audit?before=x", "/errors?since=2026-01-01T00:00:00"])
def test_numbers_that_cannot_be_are_refused(web: httpx2.Client, path: str) -> None:
    answer = web.get(path)
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_without_a_keeper_the_ledger_answers_what_it_can(client: httpx2.Client, worker: Process) -> None:
    assert worker.child.poll() is None
    assert client.get("/tasks", params={"state": "SUCCESS"}).status_code == 200
    for path in ("/tasks?tag=a", "/tasks?fresh=true", "/tasks/count", "/stats", "/errors", "/audit"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "history_unavailable"), path
        assert "backyard keeper" in answer.json()["detail"]

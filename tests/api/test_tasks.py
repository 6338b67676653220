"""``/tasks/{task_id}``: look, wait, cancel, rerun, log and artifacts."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest

from backyard import Backyard
from support.web import connect, final, locations, problem_in, until, watching

pytestmark = pytest.mark.usefixtures("worker")

UNKNOWN = "0190a000-0000-7000-8000-000000000000"


def start(client: httpx2.Client, gate: Path) -> str:
    """Start a task that waits for a file, and return its id when it runs."""
    task_id = str(client.post("/tasks/wait_for", json={"gate": str(gate)}).json()["task_id"])
    until(lambda: client.get(f"/tasks/{task_id}").json()["state"] == "STARTED", "the start")
    return task_id


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "?wait=5"), ("DELETE", ""), ("POST", "/rerun"), ("GET", "/log"), ("GET", "/events")],
)
@pytest.mark.parametrize("task_id", [UNKNOWN, "x" * 5_000, "%00", "%ff", "a%2Fb%20c", "add"])
def test_an_unknown_task_is_404(client: httpx2.Client, method: str, path: str, task_id: str) -> None:
    answer = client.request(method, f"/tasks/{task_id}{path}")
    problem_in(answer, 404, "not_found" if "%2F" in task_id else "unknown_task")


def test_a_wait_answers_as_soon_as_the_task_is_final(client: httpx2.Client, tmp_path: Path) -> None:
    task_id = start(client, tmp_path / "gate")
    answers: list[httpx2.Response] = []

    def wait() -> None:
        with connect(str(client.base_url)) as own:
            answers.append(own.get(f"/tasks/{task_id}?wait=60"))

    waiting = threading.Thread(target=wait)
    waiting.start()
    running = client.get(f"/tasks/{task_id}?wait=0.2")
    assert (running.status_code, running.json()["state"]) == (200, "STARTED")
    assert waiting.is_alive()
    (tmp_path / "gate").touch()
    waiting.join(30)
    assert [answer.json()["state"] for answer in answers] == ["SUCCESS"]
    assert client.get(f"/tasks/{task_id}?wait=60").json()["result"] == 1


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "inf", "x", ""])
def test_a_wait_has_bounds(client: httpx2.Client, wait: str) -> None:
    body = problem_in(client.get(f"/tasks/{UNKNOWN}", params={"wait": wait}), 422, "invalid_request")
    assert locations(body) == [["query", "wait"]]


def test_a_running_task_shows_its_progress(client: httpx2.Client) -> None:
    task_id = client.post("/tasks/steps", json={"count": 10_000, "pause": 0.001}).json()["task_id"]
    task = until(lambda: (one := client.get(f"/tasks/{task_id}").json())["progress"] and one, "progress")
    assert (task["state"], task["progress_message"], task["queue"]) == ("PROGRESS", "stepping", "slow")
    assert 0 < task["progress"] < 100
    assert task["worker"].startswith("celery@")
    client.delete(f"/tasks/{task_id}")
    assert final(client, task_id)["state"] == "REVOKED"


def test_a_failed_task_says_why(client: httpx2.Client) -> None:
    task = final(client, client.post("/tasks/wrong_result").json()["task_id"])
    assert (task["state"], task["failure"]["kind"], task["result"]) == ("FAILURE", "invalid_result", None)
    assert task["failure"]["fingerprint"]


def test_cancelling_a_waiting_task_ends_it_for_certain(
    client: httpx2.Client, stack_yard: Backyard, tmp_path: Path
) -> None:
    body = {"gate": str(tmp_path / "gate")}
    task_id = client.post("/tasks/wait_for", json=body, params={"delay": "3600"}).json()["task_id"]
    answer = client.delete(f"/tasks/{task_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(f"/tasks/{task_id}").json()["state"] == "REVOKED"
    assert client.delete(f"/tasks/{task_id}").status_code == 204
    # Were it still to come, it would come now. One that is due later has run, and this one still has not.
    redis: Any = stack_yard.ledger.client
    redis.zadd(f"{stack_yard.ledger.keys.prefix}due", {task_id: 1}, xx=True)
    other = client.post("/tasks/add", json={"a": 1}, params={"delay": "0.1"}).json()["task_id"]
    assert final(client, other)["state"] == "SUCCESS"
    assert not (tmp_path / "gate.starts").exists()


def test_cancelling_a_running_task_tells_it(client: httpx2.Client, tmp_path: Path) -> None:
    task_id = start(client, tmp_path / "gate")
    assert client.delete(f"/tasks/{task_id}").status_code == 204
    assert client.get(f"/tasks/{task_id}").json()["cancel_requested"] is True
    assert final(client, task_id)["result"] == -1  # it looked at ctx.cancelled, and returned early


def test_a_rerun_is_a_new_task_with_the_same_input(client: httpx2.Client) -> None:
    first = client.post("/tasks/add", json={"a": 3}).json()["task_id"]
    answer = client.post(f"/tasks/{first}/rerun")
    again = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/tasks/{again['task_id']}"
    assert again["task_id"] != first
    assert (again["rerun_of"], again["input"]) == (first, {"a": 3, "b": 2})
    assert final(client, again["task_id"])["result"] == 5


def test_a_rerun_may_edit_the_input(client: httpx2.Client) -> None:
    first = client.post("/tasks/add", json={"a": 3}).json()["task_id"]
    again = client.post(f"/tasks/{first}/rerun", json={"input": {"a": 10, "b": 10}}).json()
    assert final(client, again["task_id"])["result"] == 20
    assert client.post(f"/tasks/{first}/rerun", json={}).json()["input"] == {"a": 3, "b": 2}


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({"input": {"a": "x"}}, [["input", "a"]]),
        ({"input": {}}, [["input", "a"]]),
        ({"input": None}, [["input"]]),
        ({"input": [1]}, [["input"]]),
        ({"a": 1}, [["a"]]),
        ([], [[]]),
    ],
)
def test_a_rerun_checks_the_edited_input(client: httpx2.Client, body: Any, places: list[Any]) -> None:
    first = client.post("/tasks/add", json={"a": 3}, params={"delay": 3600}).json()["task_id"]
    assert locations(problem_in(client.post(f"/tasks/{first}/rerun", json=body), 422, "invalid_input")) == places


def test_what_celery_submitted_by_position_can_be_rerun(client: httpx2.Client, stack_yard: Backyard) -> None:
    sent = stack_yard.celery.send_task("add", args=(4,), kwargs={"b": 5})
    again = client.post(f"/tasks/{sent.id}/rerun").json()
    assert (again["input"], again["rerun_of"]) == ({"a": 4, "b": 5}, sent.id)
    assert final(client, again["task_id"])["result"] == 9
    plain = stack_yard.celery.send_task("plain", args=(4, 5))
    assert final(client, plain.id)["result"] == 20
    problem_in(client.post(f"/tasks/{plain.id}/rerun"), 404, "unknown_definition")


def test_a_result_that_json_lacks_is_shown(client: httpx2.Client, stack_yard: Backyard) -> None:
    sent = stack_yard.celery.send_task("plain", args=(float("inf"), 0.0))
    task = final(client, sent.id)
    assert (task["state"], task["result"]) == ("SUCCESS", None)
    assert sent.id in [one["task_id"] for one in client.get("/tasks").json()]


def test_log_and_artifacts(client: httpx2.Client) -> None:
    body = {"name": "größe 1.txt", "text": "hello"}
    task = final(client, client.post("/tasks/save_and_log", json=body).json()["task_id"])
    path = f"/tasks/{task['task_id']}/artifacts/gr%C3%B6%C3%9Fe%201.txt"
    assert task["result"] == path
    (shown,) = task["artifacts"]
    assert shown == {"name": body["name"], "size": 5, "content_type": "text/plain", "url": path}
    (listed,) = client.get(f"/tasks/{task['task_id']}/artifacts").json()
    assert {key: listed[key] for key in shown} == shown
    assert client.get(path).text == "hello"
    (line,) = client.get(f"/tasks/{task['task_id']}/log").json()
    assert (line["message"], line["level"], line["name"]) == ("saving", "info", body["name"])
    with watching(client, task["task_id"]) as events:
        (event,) = [one for one in events if one.event == "artifact"]
    assert event.data["data"] == shown


def test_a_task_without_news_has_none(client: httpx2.Client) -> None:
    task_id = client.post("/tasks/add", json={"a": 1}, params={"delay": 3600}).json()["task_id"]
    assert client.get(f"/tasks/{task_id}/log").json() == []
    assert client.get(f"/tasks/{task_id}/artifacts").json() == []
    problem_in(client.get(f"/tasks/{task_id}/artifacts/x.txt"), 404, "unknown_artifact")

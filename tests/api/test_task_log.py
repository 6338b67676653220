"""``GET /tasks/{id}/log`` and the lines among a task's live events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.chatty import TARGET
from support.processes import make_environment, running_api, start_worker
from support.web import connect, problem_in, watching


@pytest.fixture(scope="module")
def talkers(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of the chatty yard, with a worker of it."""
    environment = make_environment(server_url, tmp_path_factory.mktemp("chatty"))
    worker = start_worker(environment, "--concurrency=1", target=TARGET)
    with running_api(environment, "support.chatty_api:app") as running, connect(running.url) as client:
        yield client
    worker.end()


def lines_of(client: httpx2.Client, task_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/tasks/{task_id}/log", params=query)
    assert answer.status_code == 200, answer.text
    lines: list[dict[str, Any]] = answer.json()
    return lines


def test_lines_are_read_by_level_time_and_number(talkers: httpx2.Client) -> None:
    task_id = talkers.post("/tasks/talk", json={"who": "ann"}).json()["task_id"]
    talkers.get(f"/tasks/{task_id}", params={"wait": 30})
    lines = lines_of(talkers, task_id)
    assert [line["level"] for line in lines] == ["info", "warning", "error", "warning"]
    assert lines_of(talkers, task_id, level="warning") == lines[1:]
    assert lines_of(talkers, task_id, level="critical") == []
    assert lines_of(talkers, task_id, after=lines[1]["at"]) == lines[2:]
    assert lines_of(talkers, task_id, limit=2) == lines[-2:]
    assert lines_of(talkers, task_id, level="warning", limit=1, after=lines[0]["at"]) == lines[-1:]
    for query in ({"level": "loud"}, {"limit": 0}, {"limit": 1_001}, {"after": "x"}):
        problem_in(talkers.get(f"/tasks/{task_id}/log", params=query), 422, "invalid_request")


def test_a_line_comes_live(talkers: httpx2.Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task_id = talkers.post("/tasks/talk_with", json={"who": "ann", "gate": str(gate)}).json()["task_id"]
    with watching(talkers, task_id) as events:
        begins = next(event for event in events if event.event == "log")
        assert begins.data["data"]["message"] == "begins: ann"
        gate.touch()
        Path(f"{gate}.said").touch()
        rest = [event.data["data"]["message"] for event in events if event.event == "log"]
    assert rest == ["cannot be told apart", "ends: ann"], "where one runs alone, a thread of it is its own"


def test_the_oddest_lines_can_be_read(talkers: httpx2.Client, tmp_path: Path) -> None:
    task_id = talkers.post("/tasks/odd", json={"gate": str(tmp_path)}).json()["task_id"]
    with watching(talkers, task_id) as events:
        live = [event.data["data"] for event in events if event.event == "log"]
    assert lines_of(talkers, task_id) == live
    assert len(live) == 8

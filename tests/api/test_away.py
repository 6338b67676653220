"""The Redis server away: what is answered meanwhile, and afterwards."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from backyard.embedded.server import EmbeddedServer
from support.processes import make_environment, running_api, start_worker
from support.web import connect, final, problem_in, until, watching

#: Requests that need the server: reads and writes of each kind.
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/tasks/add", {"json": {"a": 1}}),
    ("POST", "/tasks", {"json": {"name": "add", "input": {"a": 1}}}),
    ("POST", "/tasks/add/batch", {"json": [{"a": 1}] * 600}),
    ("GET", "/tasks", {}),
    ("GET", "/tasks/{id}", {}),
    ("GET", "/tasks/{id}?wait=30", {}),
    ("GET", "/tasks/{id}/events", {}),
    ("GET", "/tasks/{id}/log", {}),
    ("GET", "/tasks/{id}/artifacts", {}),
    ("POST", "/tasks/{id}/rerun", {}),
    ("DELETE", "/tasks/{id}", {}),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of the test's own, to be killed and frozen."""
    with EmbeddedServer(tmp_path / "data", appendfsync="always") as server:
        yield server


@pytest.fixture
def environment(server: EmbeddedServer, tmp_path: Path) -> dict[str, str]:
    return make_environment(server.url, tmp_path)


@contextmanager
def killed(server: EmbeddedServer) -> Iterator[None]:
    """Kill the server, and start it again."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.exited.result(30)
    yield
    server.start()


@contextmanager
def frozen(server: EmbeddedServer) -> Iterator[None]:
    """Freeze the server, and let it go on: its connections stay open, and nobody answers."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


Away = Callable[[EmbeddedServer], AbstractContextManager[None]]
WAYS = pytest.mark.parametrize("away", [killed, frozen])


@WAYS
def test_every_request_is_told_to_come_back_and_served_afterwards(
    away: Away, server: EmbeddedServer, environment: dict[str, str]
) -> None:
    with running_api(environment) as api, connect(api.url) as client, ThreadPoolExecutor(len(REQUESTS)) as pool:
        task_id = client.post("/tasks/add", json={"a": 1}, params={"delay": 3600}).json()["task_id"]

        def ask(request: tuple[str, str, dict[str, Any]]) -> httpx2.Response:
            # Each has to answer within 3 s; the test gives it ten.
            method, path, body = request
            return httpx2.request(method, api.url + path.format(id=task_id), timeout=10, trust_env=False, **body)

        with away(server):
            for request, answer in zip(REQUESTS, pool.map(ask, REQUESTS), strict=True):
                body = problem_in(answer, 503, "ledger_unavailable")
                assert answer.headers["retry-after"] == "2"
                assert ("task_id" in body) == (request[1] in {"/tasks/add", "/tasks"} and request[0] == "POST"), request
            ready = client.get("/ready", timeout=30)
            assert (ready.status_code, ready.json()["ready"]) == (503, False)
            assert server.url.removeprefix("redis://").partition("/")[0] in ready.json()["parts"]["redis"]["reason"]
            assert client.get("/health").status_code == client.get("/definitions").status_code == 200
        assert until(lambda: client.get("/ready").status_code == 200, "readiness")
        for request in REQUESTS:
            if not request[1].endswith(("events", "wait=30")):
                assert ask(request).status_code in {200, 201, 204}, request


@WAYS
def test_an_unsure_submit_that_is_repeated_makes_one_task(
    away: Away, server: EmbeddedServer, environment: dict[str, str]
) -> None:
    with running_api(environment) as api, connect(api.url) as client:
        client.post("/tasks/add", json={"a": 0}, params={"delay": 3600})
        with away(server):
            unsure = [
                problem_in(client.post("/tasks/add", json={"a": 1}), 503, "ledger_unavailable")["task_id"],
                problem_in(client.post("/tasks", json={"name": "add", "input": {"a": 1}}), 503, "ledger_unavailable")[
                    "task_id"
                ],
            ]
            mine = uuid.uuid4().hex
            answer = client.post("/tasks/add", json={"a": 1}, params={"task_id": mine})
            assert problem_in(answer, 503, "ledger_unavailable")["task_id"] == mine
            unsure.append(mine)
        until(lambda: client.get("/ready").status_code == 200, "readiness")
        for task_id in [*unsure, *unsure]:
            answer = client.post("/tasks/add", json={"a": 1}, params={"task_id": task_id})
            assert (answer.status_code in {200, 201}, answer.json()["task_id"]) == (True, task_id)
        listed = [task["task_id"] for task in client.get("/tasks?name=add&state=PENDING").json()]
        assert sorted(listed) == sorted(unsure)


@WAYS
def test_a_stream_goes_on_when_the_server_is_back(
    away: Away, server: EmbeddedServer, environment: dict[str, str], tmp_path: Path
) -> None:
    """The watcher that was there before, or comes back with its last event, misses nothing of what follows."""
    worker = start_worker(environment)
    try:
        with running_api(environment) as api, connect(api.url) as client:
            gate = tmp_path / "gate"
            task_id = client.post("/tasks/wait_for", json={"gate": str(gate)}).json()["task_id"]
            got = []
            with watching(client, task_id) as events:
                got += [next(events), next(events)]
                with away(server):
                    problem_in(client.get(f"/tasks/{task_id}", timeout=30), 503, "ledger_unavailable")
                gate.touch()
                got += events
            if got[-1].data["state"] != "SUCCESS":
                with watching(client, task_id, headers={"Last-Event-ID": got[-1].id}) as events:
                    got += events
            assert final(client, task_id)["state"] == "SUCCESS"
    finally:
        worker.end()
    states = [one.data["state"] for one in got]
    assert states[:2] == ["PENDING", "STARTED"]
    assert states[-1] == "SUCCESS"
    assert len({one.id for one in got}) == len(got)


def test_answers_go_to_those_who_asked_after_a_freeze(server: EmbeddedServer, environment: dict[str, str]) -> None:
    """A command that was given up leaves its answer on the connection; nobody else may get it."""
    with running_api(environment) as api, connect(api.url) as client, ThreadPoolExecutor(40) as pool:
        ids = client.post(
            "/tasks/add/batch", json=[{"a": number} for number in range(40)], params={"delay": 3600}
        ).json()["task_ids"]
        with frozen(server):
            statuses = [one.status_code for one in pool.map(lambda one: client.get(f"/tasks/{one}"), ids)]
            assert statuses == [503] * 40
        until(lambda: client.get("/ready").status_code == 200, "readiness")
        for _ in range(3):
            answers = list(pool.map(lambda one: client.get(f"/tasks/{one}").json(), ids))
            assert [(one["task_id"], one["input"]["a"]) for one in answers] == list(zip(ids, range(40), strict=True))

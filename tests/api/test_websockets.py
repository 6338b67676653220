"""The news of a task by WebSocket: the same as by Server-Sent Events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from backyard import Backyard
from support.web import final, until, watching

pytestmark = pytest.mark.usefixtures("worker")


def open_socket(client: httpx2.Client, task_id: str, query: str = "") -> ClientConnection:
    url = str(client.base_url).replace("http", "ws", 1).rstrip("/")
    return connect(f"{url}/tasks/{task_id}/ws{query}", open_timeout=30, proxy=None)


def test_the_socket_tells_what_the_stream_tells(client: httpx2.Client) -> None:
    task_id = client.post("/tasks/steps", json={"count": 20, "pause": 0.02}).json()["task_id"]
    with open_socket(client, task_id) as socket:
        got = [json.loads(message) for message in socket]
        assert socket.close_code == 1000
    with watching(client, task_id) as events:
        assert got == [{"id": one.id, **one.data} for one in events]
    assert [one["state"] for one in got if one["event"] == "state"] == ["PENDING", "STARTED", "SUCCESS"]


def test_the_socket_resumes_after_an_event(client: httpx2.Client) -> None:
    task_id = client.post("/tasks/add", json={"a": 1}).json()["task_id"]
    final(client, task_id)
    with open_socket(client, task_id) as socket:
        got = [json.loads(message) for message in socket]
    with open_socket(client, task_id, f"?after={got[0]['id']}") as socket:
        assert [json.loads(message) for message in socket] == got[1:]


def test_what_a_client_says_does_not_end_the_socket(client: httpx2.Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task_id = client.post("/tasks/wait_for", json={"gate": str(gate)}).json()["task_id"]
    with open_socket(client, task_id) as socket:
        socket.send("are you there?")
        socket.send(b"\x00")
        assert json.loads(socket.recv(30))["state"] == "PENDING"
        socket.send("fine")
        assert json.loads(socket.recv(30))["state"] == "STARTED"
        gate.touch()
        assert json.loads(socket.recv(30))["state"] == "SUCCESS"


@pytest.mark.parametrize(
    ("task_id", "query", "code", "reason"),
    [
        ("nobody", "", 4404, "No task has the id 'nobody'"),
        ("nobody", "?after=" + "%C3%A9" * 60, 4422, "is no event id"),
    ],
)
def test_the_reason_of_a_refusal_comes_with_the_close(
    client: httpx2.Client, task_id: str, query: str, code: int, reason: str
) -> None:
    with open_socket(client, task_id, query) as socket, pytest.raises(ConnectionClosed) as caught:
        socket.recv(30)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == code
    assert reason in caught.value.rcvd.reason or caught.value.rcvd.reason.startswith("'é")


def test_a_client_that_goes_frees_its_watcher(client: httpx2.Client, stack_yard: Backyard) -> None:
    task_id = client.post("/tasks/add", json={"a": 1}, params={"delay": 3600}).json()["task_id"]
    redis: Any = stack_yard.ledger.client
    channel = stack_yard.ledger.keys.task(task_id)
    with open_socket(client, task_id) as socket:
        socket.recv(30)
        until(lambda: redis.pubsub_numsub(channel)[0][1] == 1, "the subscription")
    until(lambda: redis.pubsub_numsub(channel)[0][1] == 0, "its end")

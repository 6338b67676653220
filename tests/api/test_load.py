"""Many clients at once, and a stop while some are still there."""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
import websockets.sync.client
from websockets.exceptions import ConnectionClosed

from backyard import Backyard
from support.processes import Api, Process, free_port, running_api
from support.web import connect, problem_in, until, watching

pytestmark = pytest.mark.usefixtures("worker")

CLIENTS = 128


def test_128_clients_at_once_are_all_served(api: Api) -> None:
    """More than the ledger has connections: each waits its turn, and none is refused."""

    async def one(client: httpx2.AsyncClient, number: int) -> tuple[int, int, Any]:
        answer = await client.post("/tasks/add", json={"a": number})
        if answer.status_code != 201:
            return answer.status_code, number, answer.text
        task = await client.get(answer.headers["location"], params={"wait": 60})
        listed = await client.get("/tasks", params={"limit": 5})
        return task.status_code, listed.status_code, task.json()["result"] - number

    async def every() -> list[tuple[int, int, Any]]:
        limits = httpx2.Limits(max_connections=CLIENTS)
        async with httpx2.AsyncClient(base_url=api.url, timeout=60, trust_env=False, limits=limits) as client:
            # The connections to the server are opened before the crowd comes: there is a second for each.
            await asyncio.gather(*(client.get("/tasks", params={"limit": 1}) for _ in range(16)))
            return await asyncio.gather(*(one(client, number) for number in range(CLIENTS * 2)))

    assert asyncio.run(every()) == [(200, 200, 2)] * CLIENTS * 2
    assert "Traceback" not in api.process.output


def later(client: httpx2.Client) -> str:
    """Submit a task that will not run, and return its id."""
    return str(client.post("/tasks/add", json={"a": 1}, params={"delay": 3600}).json()["task_id"])


def assert_quiet(process: Process) -> None:
    for word in ("Traceback", "never retrieved", "was destroyed", "ERROR"):
        assert word not in process.output, process.output


def test_an_open_stream_does_not_hold_the_end_longer_than_its_grace(
    stack_environment: dict[str, str], stack_yard: Backyard
) -> None:
    """Under anybody's uvicorn, which cancels what is left after a grace of 1 s here."""
    redis: Any = stack_yard.ledger.client
    with running_api(stack_environment) as own, connect(own.url) as client:
        task_id = later(client)
        with watching(client, task_id) as events:
            next(events)
            own.process.child.terminate()
            assert list(events) == []  # it ends as a stream should, and is not cut
        assert own.process.child.wait(60) in {0, -15}
    until(lambda: redis.pubsub_numsub(stack_yard.ledger.keys.task(task_id))[0][1] == 0, "the end of the subscription")
    own.process.wait_for_line("timeout graceful shutdown exceeded")
    assert "Traceback" not in own.process.output, own.process.output


def test_our_own_server_ends_what_waits_for_news(stack_environment: dict[str, str], stack_yard: Backyard) -> None:
    redis: Any = stack_yard.ledger.client
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = Process(
        [sys.executable, "-m", "backyard", "api", "support.yard:yard"],
        {**stack_environment, "BACKYARD_PORT": str(port)},
    )
    try:
        process.wait_for_line("Uvicorn running on")
        with connect(url) as client, ThreadPoolExecutor(1) as pool:
            task_id = later(client)
            with (
                watching(client, task_id) as events,
                websockets.sync.client.connect(f"ws://127.0.0.1:{port}/tasks/{task_id}/ws", proxy=None) as socket,
            ):
                assert next(events).id == json.loads(socket.recv(30))["id"]
                other = later(client)
                polling = pool.submit(httpx2.get, f"{url}/tasks/{other}?wait=60", timeout=60, trust_env=False)
                until(lambda: redis.pubsub_numsub(stack_yard.ledger.keys.task(other))[0][1] == 1, "the poll")
                process.child.terminate()
                assert list(events) == []
                with pytest.raises(ConnectionClosed):
                    socket.recv(30)
                assert socket.close_code == 1012
                problem_in(polling.result(30), 503, "ledger_unavailable")
        process.child.wait(60)
        assert "timeout graceful shutdown exceeded" not in process.output
        assert_quiet(process)
    finally:
        process.stop()

"""The news of a task: Server-Sent Events with resume."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from backyard import Backyard
from support.processes import running_api
from support.web import Event, connect, final, problem_in, until, watching

pytestmark = pytest.mark.usefixtures("worker")

STEPS = 40


def submit(client: httpx2.Client, definition: str, /, **body: Any) -> str:
    return str(client.post(f"/tasks/{definition}", json=body).json()["task_id"])


def told(yard: Backyard, task_id: str) -> list[tuple[str, str, Any]]:
    """Return a task's events as the ledger's own stream has them: the truth that watchers are to see."""
    found: list[tuple[str, str, Any]] = []
    client: Any = yard.ledger.client
    for entry, fields in client.xrange(yard.ledger.keys.events):
        if fields[b"task"].decode() == task_id:
            found.append((entry.decode(), fields[b"event"].decode(), json.loads(fields[b"data"])))
    return found


def seen(events: Iterator[Event]) -> list[tuple[str, str, Any]]:
    return [(one.id, one.event, one.data["data"]) for one in events]


def test_every_state_and_report_arrives_in_order(client: httpx2.Client, stack_yard: Backyard) -> None:
    task_id = submit(client, "steps", count=STEPS, pause=0.02)
    with watching(client, task_id) as events:
        got = list(events)
    assert [one.news for one in got if one.event == "state"] == [
        ("state", "PENDING"), ("state", "STARTED"), ("state", "SUCCESS"),
    ]  # fmt: skip
    percents = [one.news[1] for one in got if one.event == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert len(percents) > 2
    assert seen(iter(got)) == told(stack_yard, task_id)
    assert {one.data["task_id"] for one in got} == {task_id}
    assert [one.data["attempt"] for one in got] == [0] + [1] * (len(got) - 1)


def test_a_late_watcher_sees_it_all_from_the_first_event(client: httpx2.Client, stack_yard: Backyard) -> None:
    task_id = submit(client, "save_and_log", name="a.txt", text="x")
    final(client, task_id)
    with watching(client, task_id) as events:
        got = seen(events)
    assert got == told(stack_yard, task_id)
    assert [event for _, event, _ in got] == ["state", "state", "log", "artifact", "state"]


def test_a_failing_task_tells_each_attempt(client: httpx2.Client) -> None:
    task_id = submit(client, "flaky", failures=2)
    with watching(client, task_id) as events:
        got = [one.news[1] for one in events]
    assert got == ["PENDING", *["STARTED", "RETRY", "PENDING"] * 2, "STARTED", "SUCCESS"]


def test_many_watchers_see_the_same(client: httpx2.Client, stack_yard: Backyard, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task_id = submit(client, "wait_for", gate=str(gate))
    with watching(client, task_id) as first, watching(client, task_id) as second:
        early = next(first), next(second)
        gate.touch()
        rest = list(first), list(second)
    assert seen(iter([early[0], *rest[0]])) == seen(iter([early[1], *rest[1]])) == told(stack_yard, task_id)


@pytest.mark.parametrize("by_header", [True, False])
def test_a_cut_stream_goes_on_without_gap_or_double(
    client: httpx2.Client, stack_yard: Backyard, *, by_header: bool
) -> None:
    """Take one event at a time, cut, and come back with its id."""
    task_id = submit(client, "steps", count=STEPS, pause=0.02)
    got: list[Event] = []
    while not got or got[-1].data["state"] != "SUCCESS":
        last = got[-1].id if got else ""
        headers = {"Last-Event-ID": last} if by_header and last else {}
        with watching(client, task_id, headers=headers, after="" if by_header else last) as events:
            got += itertools.islice(events, 2)
        assert len({one.id for one in got}) == len(got)
    assert seen(iter(got)) == told(stack_yard, task_id)


def test_the_header_counts_more_than_the_query(client: httpx2.Client, stack_yard: Backyard) -> None:
    """A browser sends the header when it comes back, to an address that still has the first query."""
    task_id = submit(client, "add", a=1)
    final(client, task_id)
    ids = [entry for entry, _, _ in told(stack_yard, task_id)]
    with watching(client, task_id, headers={"Last-Event-ID": ids[1]}, after=ids[0]) as events:
        assert [one.id for one in events] == ids[2:]


def test_nothing_left_is_204_so_that_browsers_stay_away(client: httpx2.Client, stack_yard: Backyard) -> None:
    task_id = submit(client, "add", a=1)
    final(client, task_id)
    last = told(stack_yard, task_id)[-1][0]
    for after in (last, "999999999999999999-0"):
        answer = client.get(f"/tasks/{task_id}/events", headers={"Last-Event-ID": after})
        assert (answer.status_code, answer.content) == (204, b"")


WRONG_IDS = ["x", "1", "1-", "-1", "1-x", "1-2-3", "+1-0", "1_0-0", "\u0663-0", "9" * 19 + "-0", "1-" + "9" * 30, "$"]


@pytest.mark.parametrize("wrong", WRONG_IDS)
def test_an_id_that_is_none_is_refused(client: httpx2.Client, wrong: str) -> None:
    task_id = submit(client, "add", a=1)
    path = f"/tasks/{task_id}/events"
    headers = {b"Last-Event-ID": wrong.encode()}
    problem_in(client.get(path, headers=headers), 422, "invalid_input")
    problem_in(client.get(path, params={"after": wrong}), 422, "invalid_input")


def test_an_unknown_task_has_no_stream(client: httpx2.Client) -> None:
    problem_in(client.get("/tasks/nobody/events"), 404, "unknown_task")


def test_a_long_silence_is_filled_with_comments(awkward: httpx2.Client) -> None:
    task_id = submit(awkward, "anything")
    with awkward.stream("GET", f"/tasks/{task_id}/events") as answer:
        lines = answer.iter_lines()
        comments = itertools.islice((line for line in lines if line.startswith(": still")), 3)
        assert list(comments) == [": still here"] * 3
        awkward.delete(f"/tasks/{task_id}")
        assert "event: state" in lines
        assert any('"REVOKED"' in line for line in lines)


def channels(yard: Backyard, task_id: str) -> int:
    """Count the connections that listen for a task's news."""
    client: Any = yard.ledger.client
    return int(client.pubsub_numsub(yard.ledger.keys.task(task_id))[0][1])


def test_a_client_that_goes_frees_its_watcher(client: httpx2.Client, stack_yard: Backyard) -> None:
    task_id = client.post("/tasks/add", json={"a": 1}, params={"delay": 3600}).json()["task_id"]
    for _ in range(3):
        with watching(client, task_id) as events:
            assert next(events).news == ("state", "SCHEDULED")
            until(lambda: channels(stack_yard, task_id) == 1, "the subscription")
        # Long before the next comment would be written.
        until(lambda: channels(stack_yard, task_id) == 0, "its end")


def test_a_client_that_stops_reading_frees_its_watcher_when_it_goes(
    client: httpx2.Client, stack_yard: Backyard, tmp_path: Path
) -> None:
    """The stream is then stuck in the middle of an event, with more of them than the line holds."""
    gate = tmp_path / "gate"
    task_id = submit(client, "wait_for", gate=str(gate))
    until(lambda: client.get(f"/tasks/{task_id}").json()["state"] == "STARTED", "the start")
    with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as line:
        line.sendall(f"GET /tasks/{task_id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        until(lambda: b"STARTED" in line.recv(65_536, socket.MSG_PEEK), "the first events")
        large = json.dumps("x" * 1_000_000)
        for _ in range(20):
            assert stack_yard.ledger.run(stack_yard.ledger.calls.note(task_id, 1, "log", large))
        assert client.get("/health").status_code == 200  # others are served meanwhile
    until(lambda: channels(stack_yard, task_id) == 0, "the end of the subscription")
    gate.touch()
    assert final(client, task_id)["state"] == "SUCCESS"


def test_two_hundred_watchers_are_told_all_beside_one_that_does_not_read(
    client: httpx2.Client, stack_yard: Backyard, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    task_id = submit(client, "wait_for", gate=str(gate))
    until(lambda: client.get(f"/tasks/{task_id}").json()["state"] == "STARTED", "the start")
    request = f"GET /tasks/{task_id}/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()

    async def watch() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port, limit=1_000)
        writer.write(request)
        await reader.readuntil(b"STARTED")
        return reader, writer

    async def rest(reader: asyncio.StreamReader) -> list[str]:
        return re.findall(r"^id: (\S+)", (await reader.read(-1)).decode(), re.MULTILINE)

    async def body() -> list[list[str]]:
        watchers = await asyncio.gather(*(watch() for _ in range(201)))
        slow = watchers.pop()
        reading = [asyncio.create_task(rest(reader)) for reader, _ in watchers]
        large = json.dumps("x" * 50_000)
        calls = stack_yard.ledger.calls
        for _ in range(20):  # more than lies in the line's buffers, so that the slow one is stuck in the middle
            assert await asyncio.to_thread(stack_yard.ledger.run, calls.note(task_id, 1, "log", large))
        gate.touch()
        got = await asyncio.gather(*reading)
        got.append(await rest(slow[0]))
        for _, writer in [*watchers, slow]:
            writer.close()
        return got

    got = asyncio.run(body())
    every = [entry for entry, _, _ in told(stack_yard, task_id)]
    assert len(every) == 23
    assert all(ids == every[2:] for ids in got)


def test_a_watcher_misses_nothing_when_the_api_is_killed(
    stack_yard: Backyard, stack_environment: dict[str, str], tmp_path: Path
) -> None:
    gate, calls = tmp_path / "gate", stack_yard.ledger.calls
    with running_api(stack_environment) as first, connect(first.url) as client:
        task_id = submit(client, "wait_for", gate=str(gate))
        got: list[Event] = []
        with pytest.raises(httpx2.TransportError), watching(client, task_id) as events:  # noqa: PT012 - a stream is cut
            for event in events:
                got.append(event)
                if event.news == ("state", "STARTED"):
                    first.process.kill()
    for number in range(3):  # while nobody watches
        assert stack_yard.ledger.run(calls.note(task_id, 1, "log", str(number)))
    with (
        running_api(stack_environment) as second,
        connect(second.url) as client,
        watching(client, task_id, headers={"Last-Event-ID": got[-1].id}) as events,
    ):
        gate.touch()
        got += events
    assert got[-1].news == ("state", "SUCCESS")
    assert seen(iter(got)) == told(stack_yard, task_id)

"""Speaking to a running API as its users do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

PROBLEM = "application/problem+json"
FINAL = ("SUCCESS", "FAILURE", "REVOKED")
#: Seconds after which a test that waits for something gives up.
PATIENCE = 40.0


def connect(url: str) -> httpx2.Client:
    """Return a client of an API."""
    return httpx2.Client(base_url=url, timeout=PATIENCE, trust_env=False)


def problem_in(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that an answer has the one error shape, and return it."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) - {"errors", "task_id"} == {"type", "title", "status", "detail", "code"}
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:backyard:problem:{code}")
    assert body["title"]
    assert body["detail"]
    for row in body.get("errors", ()):
        assert set(row) == {"location", "message", "type"}
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    return body


def locations(body: dict[str, Any]) -> list[list[str | int]]:
    """Return where the errors of a problem are."""
    return [row["location"] for row in body["errors"]]


def final(client: httpx2.Client, task_id: str, prefix: str = "") -> dict[str, Any]:
    """Wait until a task is final, and return it."""
    answer = client.get(f"{prefix}/tasks/{task_id}", params={"wait": 30})
    assert answer.status_code == 200, answer.text
    task: dict[str, Any] = answer.json()
    assert task["state"] in FINAL, task
    return task


def until(check: Callable[[], Any], what: str) -> Any:
    """Ask again and again until the answer is true, and return it."""
    end = time.monotonic() + PATIENCE
    while not (found := check()):
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.01)
    return found


def await_history(client: httpx2.Client) -> None:
    """Wait until the history has what has happened so far; a keeper may lag for longer than one request waits."""
    until(lambda: client.get("/tasks", params={"fresh": "true", "limit": 1}).status_code == 200, "the history is fresh")


class Event:
    """One Server-Sent Event, read by the rules of the standard."""

    def __init__(self, lines: list[str]) -> None:
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name] = fields.get(name, "") + value.removeprefix(" ")
        self.id = fields.get("id", "")
        self.event = fields.get("event", "")
        self.data: dict[str, Any] = json.loads(fields["data"])

    @property
    def news(self) -> tuple[str, Any]:
        """The state of a change of state; the percentage of a report."""
        return (self.event, self.data["data"]["percent"] if self.event == "progress" else self.data["state"])


@contextmanager
def watching(
    client: httpx2.Client, task_id: str, *, prefix: str = "", headers: dict[str, str] | None = None, after: str = ""
) -> Iterator[Iterator[Event]]:
    """Open the stream of a task's events."""
    query = {"after": after} if after else {}
    with client.stream("GET", f"{prefix}/tasks/{task_id}/events", params=query, headers=headers or {}) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer)


def _events(answer: httpx2.Response) -> Iterator[Event]:
    lines: list[str] = []
    for line in answer.iter_lines():
        if line.startswith(":"):
            continue
        if line:
            lines.append(line)
        elif lines:
            yield Event(lines)
            lines = []

"""Tasks that a test makes for itself, on a stack that others use as well."""

from __future__ import annotations

import uuid
from typing import Any

import httpx2

from support.web import await_history


def new_tag() -> str:
    """Return a tag that no other test has."""
    return f"t{uuid.uuid4().hex[:10]}"


def submit(client: httpx2.Client, tag: str, name: str = "add", input: Any = None, **options: Any) -> str:  # noqa: A002
    """Submit a task that waits for an hour, unless it is told otherwise, and return its id."""
    body = {"name": name, "input": input or {"a": 1}, "tags": [tag], "delay": 3600, **options}
    answer = client.post("/tasks", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["task_id"])


def recorded(client: httpx2.Client, tag: str, count: int) -> None:
    """See that the history has the tasks of a tag."""
    await_history(client)
    found = client.get("/tasks", params={"tag": tag, "limit": 500})
    assert len(found.json()) == count, found.text


def look(client: httpx2.Client, link: str = "/console/tasks", **query: str) -> str:
    """Return a page of the console."""
    answer = client.get(link, params=query) if query else client.get(link)
    assert answer.status_code == 200, answer.text
    return answer.text

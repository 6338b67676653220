from __future__ import annotations

import httpx2
import pytest

from support.lighthouse import audit
from support.processes import Process


@pytest.mark.timeout(400)
@pytest.mark.parametrize("path", ["/", "/tasks", "/definitions/add"])
def test_auditors_are_content(client: httpx2.Client, worker: Process, console_url: str, path: str) -> None:  # noqa: ARG001
    task_id = client.post("/tasks/add", json={"a": 1}).json()["task_id"]
    client.get(f"/tasks/{task_id}", params={"wait": 30})

    scores, wishes = audit(console_url + path)

    assert min(scores.values()) >= 95, wishes

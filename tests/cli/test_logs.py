"""How the roles log: for people, or for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cli.conftest import Project


def printed(project: Project, until: Callable[..., Any], text: str, *arguments: str) -> list[str]:
    """Run a command until it has printed a text, and return the lines of its log."""
    log = project.folder / "log"
    with log.open("w") as file:
        process = project.start(*arguments, stdout=file, stderr=file)
        until(lambda: text in log.read_text(), f"it prints {text!r}")
        process.terminate()
        process.wait(30)
    return log.read_text().splitlines()


@pytest.mark.parametrize("form", ["console", "json"])
def test_the_api_logs_in_the_form_that_is_set(
    project: Project, until: Callable[..., Any], server_url: str, form: str
) -> None:
    project.environment |= {"BACKYARD_REDIS_URL": server_url, "BACKYARD_LOG_FORMAT": form}
    lines = printed(project, until, "Uvicorn running on", "api", "shop:yard", "--port", "0")
    (line,) = [line for line in lines if "Uvicorn running on" in line]
    if form == "json":
        told = [json.loads(line) for line in lines]
        assert {one["level"] for one in told} == {"info"}
        assert json.loads(line)["logger"] == "uvicorn.error"
    else:
        assert " INFO     uvicorn.error: Uvicorn running on" in line


def test_the_worker_prints_no_banner_where_machines_read(
    project: Project, until: Callable[..., Any], server_url: str
) -> None:
    project.environment |= {
        "BACKYARD_REDIS_URL": server_url,
        "BACKYARD_LOG_FORMAT": "json",
        "BACKYARD_LOG_LEVEL": "debug",
    }
    lines = printed(project, until, " ready.", "worker", "shop:yard", "--concurrency", "1")
    told = [json.loads(line) for line in lines if line.startswith("{")]
    assert {one["level"] for one in told} >= {"debug", "info"}
    assert not [line for line in lines if "[queues]" in line]

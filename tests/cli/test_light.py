"""What commands and roles load, and what they leave alone: a library that nobody there uses costs time and memory."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from backyard.cli import commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.conftest import Project, Up

#: What takes a tenth of a second or some megabytes, by the module that is imported first.
HEAVY = {
    "alembic",
    "cryptography.hazmat",
    "fastapi",
    "flower",
    "httpx2",
    "kombu",
    "numpy",
    "obstore",
    "pydantic",
    "redis",
    "sqlalchemy",
    "tornado",
    "uvicorn",
}
#: What everything needs that speaks to the ledger and knows definitions.
COMMON = {"kombu", "pydantic", "redis"}
USED = {
    "api": {"fastapi", "sqlalchemy", "uvicorn"},
    "worker": set(),
    # It makes the tables here.
    "keeper": {"alembic", "sqlalchemy"},
    "flower": {"flower", "tornado"},
}
IMPORTED = re.compile(r"^(?:([a-z]+)\d* +\| )?import time: .*\| +(\S+)$", re.MULTILINE)
LIGHT = """
import gc
import sys
from fastapi import FastAPI
from backyard import Backyard

yard = Backyard("light")
app = FastAPI()
yard.mount(app, "/jobs")

def state() -> dict[str, bool]:
    return {"frozen": gc.get_freeze_count() > 0, "routes": "backyard.api" in sys.modules}

app.get("/state")(state)
yard.task(state)
"""


def imported(said: str) -> dict[str, set[str]]:
    """Return which heavy modules were imported, by the role that says so; a process without a role is the role ''."""
    found: dict[str, set[str]] = {}
    for role, name in IMPORTED.findall(said):
        found.setdefault(role, set()).update({name} & HEAVY)
    return found


@pytest.mark.parametrize("command", ["", *commands.commands])
def test_help_loads_nothing_heavy(project: Project, command: str) -> None:
    project.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    answer = project.run(*command.split(), "--help")
    assert answer.stdout.startswith(f"Usage: {f'backyard {command}'.strip()} ")
    assert imported(answer.stderr) == {"": set()}
    assert "asyncio" not in answer.stderr


def test_the_package_alone_loads_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-c", "import backyard"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert imported(answer.stderr) == {"": set()}
    assert "asyncio" not in answer.stderr


def test_each_role_loads_what_it_uses_and_no_more(up: Callable[..., Up], project: Project) -> None:
    project.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    stack = up("--flower-port", "0", target="backyard.demo:app")
    assert stack.result("sleep_task", duration=1)["duration"] == 1
    loaded = imported("".join(stack.lines))
    assert {role: modules - COMMON for role, modules in loaded.items() if role} == USED


def test_an_app_in_a_worker_has_no_routes_and_what_a_process_started_with_is_left_alone(
    up: Callable[..., Up], project: Project
) -> None:
    project.write("light.py", LIGHT)
    stack = up("--no-flower", target="light:app")
    assert stack.call("/state") == {"frozen": True, "routes": True}
    task = stack.call("/jobs/tasks/state", {})
    done = stack.call(f"/jobs/tasks/{task['task_id']}?wait=30")
    assert done["result"] == {"frozen": True, "routes": False}

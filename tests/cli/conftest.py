from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SHOP = """
import os
from fastapi import FastAPI
from backyard import Backyard, Context

yard = Backyard("shop")

@yard.task
def add(a: int, b: int = 1) -> int:
    return a + b

@yard.task(queue="reports")
def who() -> int:
    return os.getpid()
"""


@dataclass
class Project:
    """A user's folder, and ``backyard`` run in it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        process = self.start(*arguments)
        output, errors = process.communicate()
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def run_python(self, program: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the folder to its end."""
        command = [sys.executable, program]
        return subprocess.run(
            command, cwd=self.folder, env=self._surroundings(), capture_output=True, text=True, check=True
        )

    def _surroundings(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("BACKYARD_", "REDIS_"))}
        return {**inherited, "PYTHONUNBUFFERED": "1", **self.environment}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Run a command while the test goes on."""
        process = subprocess.Popen(
            [sys.executable, "-m", "backyard", *arguments],
            cwd=self.folder,
            env=self._surroundings(),
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
        )
        self.processes.append(process)
        return process


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path)
    project.write("shop.py", SHOP)
    yield project
    for process in project.processes:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def wait_until(condition: Callable[[], Any], what: str, patience: float = 60.0) -> Any:
    deadline = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)
    return result


@pytest.fixture
def until() -> Callable[..., Any]:
    return wait_until


@pytest.fixture
def gone() -> Callable[[int], None]:
    """Wait until a process has ended; one that only waits for its parent has."""

    def ended(pid: int) -> bool:
        answer = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return answer.stdout.strip()[:1] in {"", "Z"}

    def wait(pid: int) -> None:
        wait_until(lambda: ended(pid), f"the end of process {pid}")

    return wait

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from backyard.embedded.ports import free_port

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


@dataclass
class Up:
    """A running ``backyard up``."""

    project: Project
    process: subprocess.Popen[str]
    api: str
    lines: list[str]

    def read_until(self, text: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"never said {text!r}:\n{''.join(self.lines)}")

    def end(self) -> int:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)
        return self.process.wait()

    def processes(self) -> dict[int, str]:
        """Give all descendants, with their command lines."""
        table = subprocess.run(["ps", "-axwwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in table.splitlines()]
        found: dict[int, str] = {}
        parents = {self.process.pid}
        while parents:
            children = {int(pid): args for pid, parent, args in rows if int(parent) in parents}
            found |= children
            parents = set(children)
        return {pid: args for pid, args in found.items() if not args.startswith("ps -ax")}

    def pid_of(self, words: str) -> int:
        """Give the process id of a role: the oldest with these words in its command line."""
        return min(pid for pid, args in self.processes().items() if words in args)

    def call(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data, {"content-type": "application/json"})  # noqa: S310 - our own server
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own server
            return json.loads(answer.read())

    def result(self, name: str, **values: Any) -> Any:
        """Run a task to its end over HTTP."""
        task = self.call(f"/tasks/{name}", values)
        done = self.call(f"/tasks/{task['task_id']}?wait=30")
        assert done["state"] == "SUCCESS"
        return done["result"]


@pytest.fixture
def up(project: Project) -> Iterator[Callable[..., Up]]:
    """Run ``backyard up`` until it is ready."""
    running: list[Up] = []

    def start(*arguments: str, target: str = "shop:yard", wait: bool = True) -> Up:
        port = free_port()
        process = project.start(
            "up", target, "--port", str(port), "--concurrency", "1", *arguments, stderr=subprocess.STDOUT
        )
        stack = Up(project, process, f"http://127.0.0.1:{port}", [])
        running.append(stack)
        if wait:
            stack.read_until("Backyard is ready.")
        return stack

    yield start
    for stack in running:
        if stack.process.poll() is None:
            stack.process.terminate()
            stack.end()

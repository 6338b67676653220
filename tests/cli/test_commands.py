"""The commands by themselves: help, errors, one role each."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import redis

from backyard.embedded.ports import free_port
from backyard.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.conftest import Project


@pytest.fixture
def server(project: Project) -> Iterator[EmbeddedServer]:
    """The project's own server, as ``backyard up`` in another terminal runs it."""
    with EmbeddedServer(project.folder / ".backyard") as server:
        yield server


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own server
        text: str = answer.read().decode()
        return text


def submit(project: Project, url: str, name: str, **values: Any) -> None:
    """Submit a task from a program of the user's."""
    program = f"import shop; shop.{name}.submit_sync(**{values!r})"
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        cwd=project.folder,
        env={**os.environ, "BACKYARD_REDIS_URL": url},
    )


def test_version(project: Project) -> None:
    answer = project.run("version")
    assert answer.stdout.splitlines()[0] == f"backyard {importlib.metadata.version('backyard')}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("worker", "shop:yard"),
            "No Redis server: none is set, and none runs in {folder}/.backyard. Run `backyard up`",
        ),
        (("api", "shop:yard", "--port", "0"), "No Redis server"),
        (("up", "--host", "0.0.0.0"), "BACKYARD_OPEN=1"),  # noqa: S104 - to be refused
        (("up", "--host", "192.0.2.1"), "BACKYARD_OPEN=1"),
        (("api", "--host", "not a host"), "BACKYARD_OPEN=1"),
    ],
)
def test_an_expected_error_is_a_message_and_no_traceback(
    project: Project, arguments: tuple[str, ...], message: str
) -> None:
    answer = project.run(*arguments)
    assert answer.returncode == 1
    assert answer.stderr.startswith("Error: ")
    assert message.format(folder=project.folder) in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


def test_a_wrong_environment_variable_is_named(project: Project) -> None:
    project.environment["BACKYARD_PORT"] = "http"
    answer = project.run("up")
    assert (answer.returncode, "port" in answer.stderr.lower(), "Traceback" in answer.stderr) == (1, True, False)


@pytest.mark.parametrize(("option", "role"), [("--port", "up"), ("--flower-port", "up"), ("--port", "api")])
def test_a_port_in_use_is_named_before_anything_starts(project: Project, option: str, role: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        free = [] if option == "--port" else ["--port", str(free_port())]
        answer = project.run(role, "shop:yard", option, str(port), *free)
    assert answer.returncode == 1
    assert re.fullmatch(rf"Error: Port {port} on 127\.0\.0\.1 is in use .* with {option} or .*\n", answer.stderr)
    assert not (project.folder / ".backyard").exists()


def test_a_worker_takes_from_all_queues_and_stops_on_sigterm(project: Project, server: EmbeddedServer) -> None:
    worker = project.start(
        "worker", "shop:yard", "--pool", "solo", "--name", "mine", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    submit(project, server.url, "add", a=1)
    submit(project, server.url, "who")
    assert worker.stderr is not None
    ends = set()
    for line in worker.stderr:
        if match := re.search(r"Task (add|who)\[.*succeeded", line):
            ends.add(match[1])
        if len(ends) == 2:
            break
    worker.send_signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_a_worker_is_as_large_as_the_cores_it_may_use_and_tells_flower_nothing_if_told_so(
    project: Project, server: EmbeddedServer
) -> None:
    assert server.pid is not None
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # a child inherits it
    try:
        worker = project.start("worker", "shop:yard", "--no-events", stderr=subprocess.DEVNULL)
    finally:
        os.sched_setaffinity(0, cores)
    assert worker.stdout is not None
    banner = "".join(line for line, _ in zip(worker.stdout, range(20), strict=False))
    assert ".> concurrency: 1 (prefork)" in banner
    assert ".> task events: OFF" in banner


def test_a_worker_that_breaks_down_does_not_end_well(project: Project, server: EmbeddedServer) -> None:
    assert server.pid is not None
    program = """
from celery import bootsteps
from shop import yard

class Broken(bootsteps.StartStopStep):
    def start(self, worker):
        raise RuntimeError("broken")

yard.celery.steps["worker"].add(Broken)
"""
    project.write("broken.py", program)
    answer = project.run("worker", "broken:yard", "--pool", "solo")
    assert answer.returncode == 1
    assert "RuntimeError" in answer.stderr


def test_a_wrong_queue_is_doubted_aloud(project: Project, server: EmbeddedServer) -> None:
    assert server.pid is not None
    worker = project.start("worker", "shop:yard", "--pool", "solo", "--queues", "report")
    assert worker.stderr is not None
    assert worker.stderr.readline() == "Warning: no definition uses the queue 'report'. Did you mean reports?\n"


def test_flower_shows_the_depth_of_our_queues(
    project: Project, server: EmbeddedServer, until: Callable[..., Any]
) -> None:
    port = free_port()
    project.environment["FLOWER_UNAUTHENTICATED_API"] = "true"
    flower = project.start("flower", "shop:yard", "--port", str(port), stdout=None, stderr=None)
    for _ in range(3):
        submit(project, server.url, "who")
    with redis.Redis.from_url(server.url) as client:
        assert client.keys("*reports*") != []

    def depths() -> dict[str, int] | None:
        try:
            rows = json.loads(get(f"http://127.0.0.1:{port}/api/queues/length"))["active_queues"]
        except OSError:
            return None
        return {row["name"]: row["messages"] for row in rows}

    assert until(depths, "Flower") == {"default": 0, "reports": 3}
    page = get(f"http://127.0.0.1:{port}/broker")
    assert re.search(r'<tr id="reports">\s*<td>reports</td>\s*<td[^>]*>3</td>', page)
    flower.send_signal(signal.SIGTERM)
    assert flower.wait() == 0


def test_flowers_api_is_closed_by_default(project: Project, server: EmbeddedServer, until: Callable[..., Any]) -> None:
    assert server.pid is not None
    port = free_port()
    project.start("flower", "shop:yard", "--port", str(port), stdout=None, stderr=None)

    def status() -> int | None:
        try:
            get(f"http://127.0.0.1:{port}/api/queues/length")
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None
        return 200

    assert until(status, "Flower") == 401

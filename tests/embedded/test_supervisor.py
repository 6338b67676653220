"""The supervisor with small real programs as parts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from backyard.embedded.ports import free_port
from backyard.embedded.server import running_server_url
from support.supervised import SUPERVISOR, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis


@pytest.fixture
def stack(tmp_path: Path, until: Callable[..., Any]) -> Iterator[Stack]:
    stack = Stack(tmp_path, until)
    yield stack
    if stack.process.poll() is None:
        stack.process.kill()
        stack.process.wait()
    if stack.process.stdout is not None:
        stack.process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_starts_the_server_first_and_stops_in_order(
    stack: Stack, number: signal.Signals, gone: Callable[[int], None]
) -> None:
    data_dir = stack.folder / "data"
    stack.start(
        stack.part("worker1", stage=1), stack.part("api", stage=0), stack.part("last", stage=2), data_dir=str(data_dir)
    )
    stack.read_until("ready")
    url = running_server_url(data_dir)
    assert url is not None
    assert len([line for line in stack.output if f"REDIS {url}" in line]) == 3
    assert stack.stop(number) == 0
    stops = [line.split()[1] for line in stack.journal.read_text().splitlines() if line.startswith("stop")]
    assert stops == ["api", "worker1", "last"]
    for pid in stack.notes("start"):
        gone(pid)
    assert running_server_url(data_dir) is None


def test_lines_are_prefixed_by_role(stack: Stack) -> None:
    stack.start(stack.part("api"), stack.part("worker1"))
    stack.read_until("ready")
    stack.stop()
    assert {line for line in stack.output if "REDIS" in line} == {"api      | REDIS None\n", "worker1  | REDIS None\n"}


def test_ready_means_that_every_part_is(stack: Stack) -> None:
    stack.start(stack.part("api"), stack.part("worker1"))
    stack.read_until("ready")
    assert len(stack.notes("ready")) == 2
    stack.stop()


def test_killed_itself_it_leaves_nothing(stack: Stack, gone: Callable[[int], None]) -> None:
    data_dir = stack.folder / "data"
    stack.start(stack.part("api"), stack.part("worker1", "pool", "deaf"), data_dir=str(data_dir))
    stack.read_until("ready")
    stack.process.kill()
    stack.process.wait()
    for pid in [*stack.notes("start"), *stack.notes("pool")]:
        gone(pid)
    stack.until(lambda: running_server_url(data_dir) is None, "the end of the server")


def test_a_part_that_dies_is_started_again(stack: Stack) -> None:
    stack.start(stack.part("api", "short"), stack.part("worker1"))
    assert "ended with exit code 5" in stack.read_until("started again")
    stack.until(lambda: len(stack.notes("ready", "api")) == 2, "the second life")
    stack.until(lambda: stack.notes("start", "worker1"), "the other part")
    assert stack.stop() == 0
    assert len(stack.notes("start", "worker1")) == 1


def test_a_part_that_is_killed_takes_its_group_along_and_comes_back(stack: Stack, gone: Callable[[int], None]) -> None:
    stack.start(stack.part("worker1", "pool"))
    stack.read_until("ready")
    os.kill(stack.notes("start")[0], signal.SIGKILL)
    assert "signal SIGKILL" in stack.read_until("started again")
    gone(stack.notes("pool")[0])
    stack.until(lambda: len(stack.notes("ready")) == 2, "the second life")
    assert stack.stop() == 0


def test_a_part_that_fails_once_is_no_reason_to_give_up(stack: Stack) -> None:
    stack.start(stack.part("api", "fragile"))
    stack.read_until("backyard | ready")
    assert stack.stop() == 0


def test_a_part_that_cannot_start_stops_everything_with_its_last_lines(stack: Stack) -> None:
    stack.start(stack.part("api"), stack.part("worker1", "broken"))
    assert stack.end() == 1
    text = "".join(stack.output)
    assert "Error: worker1 ended 5 times before it was ready, the last time with exit code 7" in text
    assert "backyard |   try 5 went wrong" in text
    assert len(stack.notes("start", "worker1")) == 5
    # On a busy machine it may be told to stop before it has begun.
    assert len(stack.notes("ready", "api")) <= len(stack.notes("stop", "api")) <= 1


def test_a_part_that_says_it_cannot_is_tried_once(stack: Stack) -> None:
    stack.start(stack.part("api", "refusing"))
    assert stack.end() == 1
    assert "backyard | Error: no yard there\n" in stack.output
    assert len(stack.notes("start")) == 1


def test_a_command_that_does_not_exist_ends_with_an_error(stack: Stack) -> None:
    stack.start({"role": "api", "command": ["/nonexistent/program"]})
    assert stack.end() == 1


def test_a_part_that_does_not_stop_is_killed_with_its_group(stack: Stack, gone: Callable[[int], None]) -> None:
    stack.start(stack.part("worker1", "deaf", "pool", grace=0.1))
    stack.read_until("backyard | ready")
    assert stack.stop() == 0
    assert "worker1  | did not stop within 0.1 s, and is killed\n" in stack.output
    gone(stack.notes("pool")[0])


def test_a_second_signal_kills_at_once(stack: Stack, gone: Callable[[int], None]) -> None:
    data_dir = stack.folder / "data"
    stack.start(stack.part("worker1", "deaf", "pool", grace=3600.0), data_dir=str(data_dir))
    stack.read_until("backyard | ready")
    stack.process.send_signal(signal.SIGINT)
    stack.read_until("stopping")
    assert stack.stop(signal.SIGINT) == 0
    for pid in [*stack.notes("start"), *stack.notes("pool")]:
        gone(pid)
    assert running_server_url(data_dir) is None


def test_everything_has_stopped_within_a_limit_whatever_the_graces(stack: Stack) -> None:
    stack.start(stack.part("worker1", "deaf", grace=3600.0), stopped_within=0.2)
    stack.read_until("backyard | ready")
    assert stack.stop() == 0


def test_a_signal_while_starting_stops_what_has_started(stack: Stack, gone: Callable[[int], None]) -> None:
    stack.start(stack.part("api"), {"role": "worker1", "command": ["sleep", "600"], "stage": 1})
    stack.until(lambda: stack.notes("ready", "api"), "api")
    assert stack.stop() == 0
    gone(stack.notes("start")[0])


def test_a_killed_server_comes_back_with_its_data_at_its_address(
    stack: Stack, connect: Callable[[str], redis.Redis], until: Callable[..., Any]
) -> None:
    data_dir = stack.folder / "data"
    stack.start(stack.part("api"), data_dir=str(data_dir))
    stack.read_until("backyard | ready")
    url = running_server_url(data_dir)
    assert url is not None
    connect(url).set("key", "value")
    os.kill(json.loads((data_dir / "server" / "address").read_text())["pid"], signal.SIGKILL)
    stack.read_until("signal SIGKILL; it is started again")
    until(lambda: running_server_url(data_dir) == url, "the server")
    assert connect(url).get("key") == "value"
    assert stack.stop() == 0
    assert len(stack.notes("start")) == 1


def test_a_server_with_another_address_restarts_the_parts(stack: Stack, until: Callable[..., Any]) -> None:
    data_dir = stack.folder / "data"
    program = """
import socket, sys
from backyard.embedded import server
running = server.free_port
taken = []
def choose(wanted=None):  # as if someone took the port while the server was away
    if wanted is not None and not taken and choose.calls:
        taken.append(socket.create_server(("127.0.0.1", wanted)))
    choose.calls += 1
    return running(wanted)
choose.calls = 0
server.free_port = choose
"""
    stack.folder.joinpath("sitecustomize.py").write_text("")
    stack.journal.touch()
    spec = {"parts": [stack.part("api")], "data_dir": str(data_dir), "reload_dir": "", "stopped_within": 3600.0}
    stack.process = subprocess.Popen(
        [sys.executable, "-c", program + SUPERVISOR, json.dumps(spec)], stdout=subprocess.PIPE, text=True
    )
    stack.read_until("backyard | ready")
    first = running_server_url(data_dir)
    os.kill(json.loads((data_dir / "server" / "address").read_text())["pid"], signal.SIGKILL)
    until(lambda: len(stack.notes("ready")) == 2, "the part's second start")
    second = running_server_url(data_dir)
    assert second not in {None, first}
    assert stack.stop() == 0
    assert f"api      | REDIS {second}\n" in stack.output


def test_a_server_that_cannot_start_ends_it_before_anything_else(stack: Stack) -> None:
    (stack.folder / "file").write_text("")
    stack.start(stack.part("api"), data_dir=str(stack.folder / "file"))
    assert stack.end() == 1
    assert any("Error: The embedded server cannot start" in line for line in stack.output)
    assert stack.notes("start") == []


HTTP = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from backyard.embedded import ready

codes = [int(code) for code in sys.argv[2:]]

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        code = codes.pop(0) if len(codes) > 1 else codes[0]
        print("answered", self.path, code, flush=True)
        self.send_response(code)
        self.end_headers()

server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
ready.notify()
server.serve_forever()
"""


@pytest.mark.parametrize("last", [200, 404])
def test_a_part_with_a_url_is_ready_when_that_answers(stack: Stack, last: int) -> None:
    port = free_port()
    command = [sys.executable, "-c", HTTP, str(port), "503", "500", str(last)]
    stack.start({"role": "api", "command": command, "ready": f"http://127.0.0.1:{port}/ready"})
    stack.read_until("backyard | ready")
    answers = [line.split()[-1] for line in stack.output if "answered /ready" in line]
    assert answers[:3] == ["503", "500", str(last)]
    assert set(answers[3:]) <= {str(last)}  # asked once more, where an answer took too long
    stack.stop()


@dataclass
class Changes:
    """Changes a file once a second until that has an effect: when the watch begins, nobody says."""

    file: Path
    noticed: Callable[[], bool]
    next_at: float = 0.0

    def __call__(self) -> bool:
        if time.monotonic() >= self.next_at:
            self.next_at = time.monotonic() + 1
            self.file.write_text(f"version = {self.next_at}")
        return self.noticed()


def test_a_changed_file_restarts_the_parts_that_want_it(stack: Stack, until: Callable[..., Any]) -> None:
    source = stack.folder / "source"
    source.mkdir()
    stack.start(stack.part("api", reload=True), stack.part("flower"), reload_dir=str(source))
    stack.read_until("backyard | ready")
    until(Changes(source / "tasks.py", lambda: bool(stack.notes("stop", "api"))), "the restart")
    assert "tasks.py changed: restarting" in stack.read_until("changed")
    until(lambda: len(stack.notes("ready", "api")) >= 2, "the second start")
    assert stack.stop() == 0
    assert len(stack.notes("start", "flower")) == 1


def test_a_part_that_cannot_start_waits_for_a_change_when_reloading(stack: Stack, until: Callable[..., Any]) -> None:
    source = stack.folder / "source"
    source.mkdir()
    stack.start(stack.part("api", "refusing", reload=True), reload_dir=str(source))
    stack.read_until("waiting for a change")
    until(Changes(source / "tasks.py", lambda: len(stack.notes("start", "api")) >= 2), "the restart")
    assert stack.stop() == 0


def test_output_that_nobody_reads_holds_up_nobody(stack: Stack) -> None:
    stack.start(stack.part("api", "loud"))
    stack.until(lambda: stack.notes("ready"), "the part's last line", patience=200)
    stack.process.terminate()
    assert stack.process.wait() == 0
    assert len(stack.notes("stop")) == 1


def test_a_closed_terminal_does_not_end_it(stack: Stack) -> None:
    stack.start(stack.part("api"), stack.part("worker1", "short"))
    assert stack.process.stdout is not None
    stack.process.stdout.close()
    stack.until(lambda: len(stack.notes("ready", "worker1")) == 2, "the second life")
    stack.process.terminate()
    assert stack.process.wait() == 0

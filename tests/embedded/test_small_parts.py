"""Ports, the ready pipe, the printer and the guard, each by itself."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from backyard.core.errors import PortInUseError, SettingsError
from backyard.embedded import printer as printer_module
from backyard.embedded import ready
from backyard.embedded.guard import Guard
from backyard.embedded.ports import free_port, require_free
from backyard.embedded.printer import Printer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Pipe:
    reader: FileIO
    writer: FileIO


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    ends = os.pipe()
    with FileIO(ends[0], "r") as reader, FileIO(ends[1], "w") as writer:
        yield Pipe(reader, writer)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])  # noqa: S104 - bound for a moment
def test_a_port_in_use_is_named_with_the_way_out(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"Port {port} on {host} is in use.*--port"):
            require_free(host, port, "--port")
    require_free(host, port, "--port")


def test_a_port_of_closed_connections_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # closed by the server first: its port is left in TIME_WAIT
        client.close()
    require_free("127.0.0.1", port, "--port")


def test_an_address_of_another_machine_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match=r"Cannot listen on 192\.0\.2\.1.*--host"):
        require_free("192.0.2.1", 8000, "--host")


def test_a_free_port_is_none_that_outgoing_connections_get() -> None:
    assert all(20_000 <= free_port() < 32_000 for _ in range(50))


def test_the_wanted_port_is_given_if_it_is_free() -> None:
    wanted = free_port()
    assert free_port(wanted) == wanted
    with socket.create_server(("127.0.0.1", wanted)):
        assert free_port(wanted) != wanted


def test_ready_is_said_once(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ready.VARIABLE, str(os.dup(pipe.writer.fileno())))
    pipe.writer.close()
    ready.notify()
    ready.refuse("too late")
    assert pipe.reader.readall() == b"ready\n"
    assert ready.VARIABLE not in os.environ


@pytest.mark.parametrize("value", ["", "nonsense", "987654"])
def test_without_a_pipe_nothing_is_said(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ready.VARIABLE, value)
    ready.notify()


def test_another_file_under_the_pipes_number_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair()
    with one, other:
        monkeypatch.setenv(ready.VARIABLE, str(one.fileno()))
        ready.notify()
        other.settimeout(0)
        with pytest.raises(BlockingIOError):
            other.recv(10)


def test_lines_carry_their_role_in_its_color(pipe: Pipe) -> None:
    printer = Printer(pipe.writer.fileno(), color=True)
    printer.line("api", "one")
    printer.line("worker1", "two")
    printer.line("api", "three")
    printer.close(timeout=60)
    pipe.writer.close()
    text = pipe.reader.read().decode()
    assert re.sub(r"\x1b\[\d+m", "", text) == "api      | one\nworker1  | two\napi      | three\n"
    colors = re.findall(r"\x1b\[(\d\d)m", text)
    assert colors[0] == colors[2] != colors[1]


def test_a_pipe_gets_no_color(pipe: Pipe) -> None:
    printer = Printer(pipe.writer.fileno())
    printer.line("api", "grün")
    printer.close(timeout=60)
    pipe.writer.close()
    assert pipe.reader.readall() == "api      | grün\n".encode()


def test_a_terminal_that_stands_still_holds_up_nobody_and_learns_what_it_missed(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printer_module, "_KEPT", 100)
    printer = Printer(pipe.writer.fileno(), color=False)
    for _ in range(5_000):
        printer.line("api", "x" * 80)

    def close() -> None:
        printer.close(timeout=60)
        pipe.writer.close()

    closing = threading.Thread(target=close)
    closing.start()
    text = pipe.reader.readall()
    closing.join()
    dropped = [int(count) for count in re.findall(rb"\((\d+) lines were dropped", text)]
    assert sum(dropped) > 0
    assert text.count(b"xxx\n") + sum(dropped) == 5_000


def test_a_terminal_that_is_gone_holds_up_nobody(pipe: Pipe) -> None:
    pipe.reader.close()
    printer = Printer(pipe.writer.fileno())
    for _ in range(10):
        printer.line("api", "nobody reads this")
    printer.close(timeout=60)
    assert not printer._thread.is_alive()


def sleeper(program: str = "") -> subprocess.Popen[bytes]:
    """Start a group of its own that sleeps, and wait until it does."""
    program += "; import time; print(flush=True); time.sleep(600)"
    command = [sys.executable, "-c", program.removeprefix("; ")]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


@pytest.fixture
def guard() -> Guard:
    return Guard()


def close_and_wait(guard: Guard, *processes: subprocess.Popen[bytes]) -> list[int]:
    """Close the guard while somebody collects the dead, as init does when a supervisor was killed."""
    closing = threading.Thread(target=guard.close)
    closing.start()
    codes = [process.wait() for process in processes]
    closing.join()
    return codes


def test_the_guard_ends_what_is_on_its_list_and_nothing_else(guard: Guard) -> None:
    kept, dropped = sleeper(), sleeper()
    guard.add(kept.pid, signal.SIGTERM)
    guard.add(dropped.pid, signal.SIGTERM)
    guard.drop(dropped.pid)
    assert close_and_wait(guard, kept) == [-signal.SIGTERM]
    assert dropped.poll() is None
    dropped.kill()
    dropped.wait()


def test_a_killed_guard_is_replaced_with_its_whole_list(guard: Guard, gone: Callable[[int], None]) -> None:
    first, second = sleeper(), sleeper()
    guard.add(first.pid, signal.SIGKILL)
    assert guard._process is not None
    guard._process.kill()
    gone(guard._process.pid)
    guard.add(second.pid, signal.SIGKILL)
    assert close_and_wait(guard, first, second) == [-signal.SIGKILL, -signal.SIGKILL]


def test_the_guard_kills_who_does_not_listen(guard: Guard) -> None:
    deaf = sleeper("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    guard.add(deaf.pid, signal.SIGTERM)
    assert close_and_wait(guard, deaf) == [-signal.SIGKILL]


def ignores(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = re.findall(r"SigIgn:\s+([0-9a-f]+)", status)
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_guard_outlives_what_ends_a_whole_service(guard: Guard, until: Callable[..., Any]) -> None:
    process = sleeper()
    guard.add(process.pid, signal.SIGKILL)
    assert guard._process is not None
    pid = guard._process.pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        until(lambda number=number: ignores(pid, number), f"its deafness to {number.name}")
    assert close_and_wait(guard, process) == [-signal.SIGKILL]

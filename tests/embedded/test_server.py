"""The embedded server: real processes, real kills."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from backyard.core.errors import ServerError
from backyard.embedded import folder as folder_module
from backyard.embedded import server as server_module
from backyard.embedded.binaries import ServerBinary, find_binary
from backyard.embedded.folder import Address, ServerFolder
from backyard.embedded.inquiry import ask_server
from backyard.embedded.ports import free_port
from backyard.embedded.server import EmbeddedServer, running_server_url, server_for, server_url
from backyard.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import redis

    Connect = Callable[[str], redis.Redis]

OWNER = """
import sys, time
from backyard.embedded import server
if sys.argv[2] == "orphan":  # as on a system that does not end children with their parent
    server.dies_with_parent = lambda command, ending: command
running = server.EmbeddedServer(sys.argv[1])
running.start()
print(running.pid, running.url, flush=True)
time.sleep(600)
"""


def start_owner(data_dir: Path, kind: str = "child") -> tuple[subprocess.Popen[str], int, str]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(data_dir), kind], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid, url = owner.stdout.readline().split()
    owner.stdout.close()
    return owner, int(pid), url


def kill(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.wait()


def test_it_writes_before_it_answers_and_evicts_nothing(server: EmbeddedServer, connect: Connect) -> None:
    settings: dict[Any, Any] = connect(server.url).config_get("*")
    wanted = {
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1",
        "protected-mode": "yes",
        "aof-load-truncated": "yes",
    }
    assert {name: settings[name] for name in wanted} == wanted


def test_appendfsync_is_a_choice(tmp_path: Path, connect: Connect) -> None:
    with EmbeddedServer(tmp_path, appendfsync="everysec") as server:
        assert connect(server.url).config_get("appendfsync") == {"appendfsync": "everysec"}


def test_its_folder_is_its_users_alone(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "new") as server:
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
        assert server.folder.path.stat().st_mode & 0o777 == 0o700


def test_any_path_will_do(tmp_path: Path, connect: Connect) -> None:
    data_dir = tmp_path / "two words, ünd \"quotes' #" / ("long" * 50) / ("longer" * 30)
    with EmbeddedServer(data_dir) as server:
        connect(server.url).set("key", "value")
    with server:
        assert connect(server.url).get("key") == "value"


def test_killed_and_started_again_it_has_its_data_and_its_port(server: EmbeddedServer, connect: Connect) -> None:
    before = server.url
    connect(server.url).set("key", "value")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert server.exited.result(timeout=10) == -signal.SIGKILL
    assert server.start() == before
    assert connect(server.url).get("key") == "value"


def test_the_next_server_of_the_directory_has_the_data_and_the_port(tmp_path: Path, connect: Connect) -> None:
    with EmbeddedServer(tmp_path) as server:
        connect(server.url).set("key", "value")
    with EmbeddedServer(tmp_path) as second:
        assert second.url == server.url
        assert connect(second.url).get("key") == "value"


def test_starting_or_stopping_twice_changes_nothing(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    url, pid = server.start(), server.pid
    assert (server.start(), server.pid) == (url, pid)
    server.stop()
    server.stop()
    assert server.pid is None


def test_a_port_taken_meanwhile_is_given_up(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    first = server.start()
    server.stop()
    with socket.create_server(("127.0.0.1", int(first.rpartition(":")[2].split("/")[0]))):
        assert server.start() != first
        assert running_server_url(tmp_path) == server.url
    server.stop()


def test_a_port_taken_between_choice_and_start_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_port()
    with EmbeddedServer(tmp_path / "other") as other:
        taken = int(other.url.rpartition(":")[2].split("/")[0])
        choices = iter([taken, free])
        monkeypatch.setattr(server_module, "free_port", lambda _wanted: next(choices))
        with EmbeddedServer(tmp_path / "data") as server:
            assert server.url == f"redis://127.0.0.1:{free}/0"


def test_two_servers_on_one_directory_are_refused(server: EmbeddedServer) -> None:
    with pytest.raises(ServerError, match=rf"in use by process {os.getpid()}.*BACKYARD_DATA_DIR"):
        EmbeddedServer(server.folder.data_dir).start()
    assert running_server_url(server.folder.data_dir) == server.url


def test_a_second_owner_is_told_who_has_the_directory(tmp_path: Path) -> None:
    owner, _, _ = start_owner(tmp_path)
    with pytest.raises(ServerError, match=f"in use by process {owner.pid}"):
        EmbeddedServer(tmp_path).start()
    kill(owner)


def test_the_server_dies_with_its_owner(tmp_path: Path, gone: Callable[[int], None], connect: Connect) -> None:
    owner, pid, url = start_owner(tmp_path)
    connect(url).set("key", "value")
    kill(owner)
    if sys.platform == "linux":
        gone(pid)
        assert running_server_url(tmp_path) is None
    with EmbeddedServer(tmp_path) as server:
        assert connect(server.url).get("key") == "value"


def test_a_server_that_outlived_its_owner_is_replaced(
    tmp_path: Path, gone: Callable[[int], None], connect: Connect
) -> None:
    owner, pid, url = start_owner(tmp_path, "orphan")
    connect(url).set("key", "value")
    kill(owner)
    assert running_server_url(tmp_path) == url
    with EmbeddedServer(tmp_path) as server:
        gone(pid)
        assert connect(server.url).get("key") == "value"


def test_the_server_outlives_the_thread_that_started_it(tmp_path: Path, connect: Connect) -> None:
    server = EmbeddedServer(tmp_path)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    with pytest.raises(TimeoutError):  # the parent-death signal would have come by now, and ends it in milliseconds
        server.exited.result(timeout=0.5)
    assert connect(server.url).ping()
    server.stop()


def test_a_frozen_server_is_stopped_too(tmp_path: Path, connect: Connect) -> None:
    server = EmbeddedServer(tmp_path)
    server.start()
    connect(server.url).set("key", "value")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    server.stop(grace=0.1)
    assert server.exited.result(timeout=0) == -signal.SIGKILL
    with server:
        assert connect(server.url).get("key") == "value"


def fill(data_dir: Path, connect: Connect, count: int = 100) -> Path:
    """Write keys, kill the server, and give its newest append-only file."""
    server = EmbeddedServer(data_dir)
    client = connect(server.start())
    with client.pipeline(transaction=False) as pipeline:
        for number in range(count):
            pipeline.set(f"key{number}", "x" * 50)
        pipeline.execute()
    server.kill()
    server.exited.result(timeout=10)
    server.stop()
    (file,) = (server.folder.path / "appendonlydir").glob("*.incr.aof")
    return file


def test_a_write_cut_in_half_costs_that_write_alone(tmp_path: Path, connect: Connect) -> None:
    file = fill(tmp_path, connect)
    file.write_bytes(file.read_bytes()[:-20])
    with EmbeddedServer(tmp_path) as server:
        assert connect(server.url).dbsize() == 99


@pytest.mark.skipif(find_binary().name != "valkey", reason="the words of the log are Valkey's")
def test_damaged_data_is_refused_with_the_log_and_a_repair_that_works(tmp_path: Path, connect: Connect) -> None:
    file = fill(tmp_path, connect)
    data = file.read_bytes()
    file.write_bytes(data[:4000] + b"damage" + data[4000:])
    with pytest.raises(ServerError, match="Bad file format reading the append only file") as refusal:
        EmbeddedServer(tmp_path).start()
    repair = re.search(r"^  (bash .*)$", refusal.value.message, re.MULTILINE)
    assert repair is not None
    subprocess.run(["bash", "-c", repair[1]], input="y\n", text=True, check=True, stdout=subprocess.DEVNULL)
    with EmbeddedServer(tmp_path) as server:
        assert 10 < connect(server.url).dbsize() < 90


def test_a_missing_file_is_refused_with_the_log(tmp_path: Path, connect: Connect) -> None:
    fill(tmp_path, connect).unlink()
    with pytest.raises(ServerError, match=r"incr\.aof"):
        EmbeddedServer(tmp_path).start()
    assert running_server_url(tmp_path) is None


def test_one_that_outlived_its_owner_and_is_too_busy_to_answer_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "_ORPHAN_PATIENCE", 0.5)
    folder = ServerFolder(tmp_path)
    folder.create()
    taken = folder.lock()
    os.ftruncate(taken, 0)  # whoever took it is gone
    with socket.create_server(("127.0.0.1", 0)) as mute:
        folder.record_address(Address(mute.getsockname()[1], os.getpid(), "run"))
        with pytest.raises(ServerError, match="in use by process"):
            folder.lock()
    os.close(taken)


def test_loading_much_data_is_waited_for(tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "data", connect, count=8_000)
    slow = tmp_path / "slow-server"  # a quarter of a second for each thousand keys, between which it answers "loading"
    slow.write_text(f'#!/bin/sh\nexec {find_binary().path} "$@" --key-load-delay 200\n')
    slow.chmod(0o755)
    binary = ServerBinary(slow, find_binary().name, find_binary().version)
    told: list[str] = []

    def ask(port: int, timeout: float) -> dict[str, str] | None:
        answer = ask_server(port, timeout=timeout)
        if answer is not None and answer["state"] != "ready":
            told.append(answer["state"])
        return answer

    # Each "loading" takes two thirds of the time that there is for an answer: two are too many if none begins it anew.
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 40 * len(told), sleep=time.sleep)
    monkeypatch.setattr(server_module, "ask_server", ask)
    monkeypatch.setattr(server_module, "time", clock)
    server = EmbeddedServer(tmp_path / "data", binary=binary)
    server.start(timeout=60)
    assert len(told) > 1
    monkeypatch.undo()
    assert connect(server.url).dbsize() == 8_000
    server.stop()


@pytest.mark.parametrize("written", ["99.0.0", "10.0.1"])
def test_data_of_a_newer_server_is_refused(tmp_path: Path, connect: Connect, written: str) -> None:
    fill(tmp_path, connect)
    version = tmp_path / "server" / "version"
    version.write_text(version.read_text().replace(".".join(map(str, find_binary().version)), written))
    with pytest.raises(ServerError, match=rf"written by \w+ {re.escape(written)}.*Go on with \w+ {re.escape(written)}"):
        EmbeddedServer(tmp_path).start()
    assert written in version.read_text()


def test_data_of_another_kind_of_server_is_refused(tmp_path: Path, connect: Connect) -> None:
    fill(tmp_path, connect)
    other = ServerBinary(find_binary().path, "another", find_binary().version)
    with pytest.raises(ServerError, match=r"and another [\d.]+ cannot be trusted to read it"):
        EmbeddedServer(tmp_path, binary=other).start()


def test_data_of_an_older_server_is_taken_over(tmp_path: Path, connect: Connect) -> None:
    fill(tmp_path, connect)
    version = tmp_path / "server" / "version"
    now = version.read_text()
    version.write_text(now.replace(".".join(map(str, find_binary().version)), "6.2.0"))
    with EmbeddedServer(tmp_path) as server:
        assert connect(server.url).dbsize() == 100
    assert version.read_text() == now


def test_a_data_directory_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerError, match="cannot start in"):
        EmbeddedServer(tmp_path / "file").start()


def test_nothing_runs_where_nothing_was_started(tmp_path: Path) -> None:
    assert running_server_url(tmp_path) is None


def test_a_stranger_on_the_old_port_is_not_the_directorys_server(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "own") as own:
        record = own.folder.path / "address"
        text = record.read_text()
    with EmbeddedServer(tmp_path / "other") as other:
        ports = [url.rpartition(":")[2].split("/")[0] for url in (own.url, other.url)]
        record.write_text(text.replace(f'"port": {ports[0]}', f'"port": {ports[1]}'))
        assert running_server_url(tmp_path / "own") is None


def test_a_busy_server_still_counts_as_running(server: EmbeddedServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    assert running_server_url(server.folder.data_dir) == server.url
    os.kill(server.pid, signal.SIGCONT)


def test_half_a_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "address").write_text('{"port": 1')
    assert running_server_url(tmp_path) is None


def settings_for(data_dir: Path, redis_url: str | None = None) -> Settings:
    values: dict[str, Any] = {"data_dir": data_dir, "redis_url": redis_url}
    return Settings(**values)


def test_a_server_that_was_set_goes_first(server: EmbeddedServer) -> None:
    settings = settings_for(server.folder.data_dir, "redis://elsewhere:1/0")
    with server_for(settings) as url:
        assert url == server_url(settings) == "redis://elsewhere:1/0"


def test_the_running_server_goes_second(server: EmbeddedServer) -> None:
    settings = settings_for(server.folder.data_dir)
    with server_for(settings) as url:
        assert url == server_url(settings) == server.url


def test_without_either_one_is_started_for_the_time_being(tmp_path: Path, connect: Connect) -> None:
    settings = settings_for(tmp_path)
    with server_for(settings) as url:
        assert connect(url).ping()
    assert running_server_url(tmp_path) is None
    with pytest.raises(ServerError, match="backyard up"):
        server_url(settings)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the danger it speaks of is what is tested
def test_a_fork_of_the_owner_does_not_stop_the_server(server: EmbeddedServer) -> None:
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0)
    os.waitpid(child, 0)
    assert running_server_url(server.folder.data_dir) == server.url

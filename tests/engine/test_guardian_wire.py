"""The guardian's own connection: every way to reach a server that the driver knows."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from backyard.embedded.binaries import find_binary
from backyard.embedded.ports import free_port
from backyard.engine import guardian_wire
from backyard.engine.guardian_wire import RefusedError, Wire
from backyard.engine.pulse import address_of
from backyard.ledger.calls import Calls
from backyard.ledger.keys import Keys
from support.clean import wait_until


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here is about how long a busy machine takes."""
    monkeypatch.setattr(guardian_wire, "CONNECT", 60.0)
    monkeypatch.setattr(guardian_wire, "ANSWER", 60.0)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A server that wants a password, on a port and on a socket."""
    folder = tmp_path_factory.mktemp("guarded")
    port, path = free_port(), folder / "s"
    command = [
        str(find_binary().path), "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", str(path),
        "--requirepass", "se cret", "--user", "ann", "on", ">pass word", "~*", "&*", "+@all", "--save", "",
        "--dir", str(folder),
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_until(path.exists, "the server is up")
    yield port, path
    server.terminate()
    server.wait()


@pytest.mark.parametrize(
    "url",
    [
        "redis://:se%20cret@127.0.0.1:{port}/3",
        "redis://ann:pass%20word@127.0.0.1:{port}/3",
        "unix://:se%20cret@{path}?db=3",
    ],
)
def test_login_database_and_socket(guarded: tuple[int, Path], url: str) -> None:
    pool = redis.ConnectionPool.from_url(url.format(port=guarded[0], path=guarded[1]))
    params = {**pool.connection_kwargs, "connection_class": pool.connection_class}
    wire = Wire(address_of(params))
    with redis.Redis(connection_pool=pool) as client:
        client.set("which", url)
        assert wire.ask("GET", "which") == url.encode()
        client.flushall()
    wire.close()
    pool.disconnect()


def test_a_wrong_password_is_a_server_that_is_away(guarded: tuple[int, Path]) -> None:
    wire = Wire({"host": "127.0.0.1", "port": guarded[0], "password": "wrong"})
    for _ in range(2):
        with pytest.raises(OSError, match="WRONGPASS"):
            wire.ask("PING")


@pytest.fixture
def wire(server_url: str) -> Iterator[Wire]:
    with closing(Wire(address_of(redis.ConnectionPool.from_url(server_url).connection_kwargs))) as made:
        yield made


def test_answers_of_all_kinds(wire: Wire) -> None:
    script = {"sha": "0" * 40, "text": "return {1, 'a\\r\\nb', false, {}, {ARGV[1], {2}}, redis.status_reply('S')}"}
    assert wire.run(script, [0, "é"]) == [1, b"a\r\nb", None, [], ["é".encode(), [2]], b"S"]
    assert wire.ask("PING") == b"PONG"
    assert wire.ask("GET", "nothing at all") is None
    assert wire.ask("ECHO", "x" * 100_000) == b"x" * 100_000


def test_a_refusal_leaves_the_connection_in_use(wire: Wire) -> None:
    number = wire.ask("CLIENT", "ID")
    for text in ("return redis.error_reply('NO')", "syntax error"):
        with pytest.raises(RefusedError):
            wire.run({"sha": "0" * 40, "text": text}, [0])
    assert wire.ask("CLIENT", "ID") == number


def test_a_lost_connection_is_made_anew(wire: Wire, server_url: str) -> None:
    number = wire.ask("CLIENT", "ID")
    with redis.Redis.from_url(server_url) as client:
        client.client_kill_filter(_id=number)
    with pytest.raises(OSError, match=r"closed|reset"):
        wire.ask("PING")
    assert wire.ask("CLIENT", "ID") > number


def test_nobody_is_there() -> None:
    with pytest.raises(OSError, match="refused"):
        Wire({"host": "127.0.0.1", "port": free_port()}).ask("PING")


@pytest.mark.parametrize("answer", [b"", b"+PO", b"$5\r\nab", b":x\r\n", b"?\r\n"])
def test_half_an_answer_is_none(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as peer:
                peer.recv(1_000)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        wire = Wire({"host": "127.0.0.1", "port": server.getsockname()[1]})
        with pytest.raises(OSError, match=r"closed|no answer"):
            wire.ask("PING")
        wire.close()
        thread.join()


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """The port of a server that says PONG under TLS to all who trust it, and the authority to trust."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    plain, _ = server.accept()
                except OSError:
                    return
                with plain, contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as peer:
                    while peer.recv(1_000):
                        peer.sendall(b"+PONG\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], tmp_path / "ca.pem"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("options", "trusted"),
    [
        ("ssl_ca_certs={ca}", True),
        ("ssl_cert_reqs=none", True),
        ("ssl_ca_certs={ca}&ssl_check_hostname=false", True),
        ("", False),
        ("ssl_cert_reqs=required", False),
    ],
)
def test_tls_as_the_driver_has_it(secure: tuple[int, Path], options: str, *, trusted: bool) -> None:
    pool = redis.ConnectionPool.from_url(f"rediss://127.0.0.1:{secure[0]}?{options.format(ca=secure[1])}")
    address = address_of({**pool.connection_kwargs, "connection_class": pool.connection_class})
    with closing(Wire(json.loads(json.dumps(address)))) as wire:
        if trusted:
            assert wire.ask("PING") == b"PONG"
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                wire.ask("PING")


def test_a_name_that_is_not_the_servers(secure: tuple[int, Path]) -> None:
    where = {"host": "localhost", "port": secure[0], "ssl": {"ssl_ca_certs": str(secure[1])}}
    with closing(Wire(where)) as wire, pytest.raises(ssl.SSLCertVerificationError):
        wire.ask("PING")


def test_calls_of_the_guardian_are_those_of_the_ledger(wire: Wire) -> None:
    """The guardian puts its words together itself; the ledger's calls are what they have to be like."""
    calls = Calls(Keys("wire"), 1_000)
    guard: Any = calls.guard(10, ["a", "b"])
    assert list(guard.words) == [10_000, "a", "b"]
    script = {"sha": guard.script.sha, "text": guard.script.text}
    assert wire.run(script, [1, calls.keys.prefix, *guard.words]) == 0

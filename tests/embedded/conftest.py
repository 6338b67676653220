from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from backyard.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def wait_until(condition: Callable[[], Any], what: str, patience: float = 30.0) -> Any:
    deadline = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)
    return result


@pytest.fixture
def until() -> Callable[..., Any]:
    return wait_until


@pytest.fixture
def gone() -> Callable[[int], None]:
    """Wait until a process has ended."""

    def wait(pid: int) -> None:
        wait_until(lambda: not is_alive(pid), f"the end of process {pid}")

    return wait


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "data") as running:
        yield running


@pytest.fixture
def connect() -> Iterator[Callable[[str], redis.Redis]]:
    """Make clients that are closed after the test."""
    clients: list[redis.Redis] = []

    def make(url: str) -> redis.Redis:
        clients.append(redis.Redis.from_url(url, decode_responses=True))
        return clients[-1]

    yield make
    for client in clients:
        client.close()

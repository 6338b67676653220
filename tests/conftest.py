"""Fixtures: one real server a test process, a yard of its own for each test that wants one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from backyard.embedded.server import EmbeddedServer
from support.processes import Api, Process, make_environment, running_api, start_worker

if TYPE_CHECKING:
    from backyard import Backyard
    from backyard.ledger.ledger import Ledger

# A busy machine is slow: no test of ours is about how long an example takes.
hypothesis.settings.register_profile("backyard", deadline=None)
hypothesis.settings.load_profile("backyard")


def pytest_configure(config: pytest.Config) -> None:
    """Give each process that runs tests a session of its own.

    Linux shares the processors out by session: all of these together would have as much as one of the many workers,
    keepers and browsers that they start, and wait for seconds between a question and a look at its answer.
    """
    if hasattr(config, "workerinput"):
        with contextlib.suppress(OSError):
            os.setsid()


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real Redis-compatible server, shared by this process's tests; each uses a yard of another name."""
    with EmbeddedServer(tmp_path_factory.mktemp("server") / "data", appendfsync="no") as server:
        # Its answers take no time, and many wait for them; see autogroups in sched(7).
        with contextlib.suppress(OSError):
            Path(f"/proc/{server.pid}/autogroup").write_text("-10")
        yield server.url


@pytest.fixture
def environment(server_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a new yard."""
    return make_environment(server_url, tmp_path)


@pytest.fixture
def ledger(environment: dict[str, str]) -> Iterator[Ledger]:
    """The ledger of a new yard."""
    from backyard.ledger.ledger import Ledger  # noqa: PLC0415 - most tests need none

    ledger = Ledger(environment["BACKYARD_REDIS_URL"], environment["TEST_YARD"])
    yield ledger
    ledger.close()


@pytest.fixture
def new_yard(environment: dict[str, str]) -> Backyard:
    """A new yard without definitions."""
    from backyard import Backyard, Settings  # noqa: PLC0415 - most tests need none

    settings = Settings(
        redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]), lease=2
    )
    return Backyard(environment["TEST_YARD"], settings=settings)


@pytest.fixture(scope="module")
def stack_environment(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the module's own stack."""
    return make_environment(server_url, tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="module")
def worker(stack_environment: dict[str, str]) -> Iterator[Process]:
    """A worker of the module's stack, running ``support.yard``."""
    process = start_worker(stack_environment)
    yield process
    process.end()


@pytest.fixture(scope="module")
def api(stack_environment: dict[str, str]) -> Iterator[Api]:
    """The API of the module's stack, running ``support.application``."""
    with running_api(stack_environment) as running:
        yield running


@pytest.fixture(scope="module")
def stack_yard(stack_environment: dict[str, str]) -> Backyard:
    """The module's yard as a program without definitions of its own sees it: handles and the ledger."""
    from backyard import Backyard, Settings  # noqa: PLC0415 - most tests need none

    settings = Settings(
        redis_url=stack_environment["BACKYARD_REDIS_URL"], data_dir=Path(stack_environment["BACKYARD_DATA_DIR"])
    )
    return Backyard(stack_environment["TEST_YARD"], settings=settings)

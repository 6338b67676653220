"""Stacks that all tests of a process share; each test makes tasks of its own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from support.keepers import await_begun, start_keeper
from support.processes import Api, Process, make_environment, running_api, start_worker
from support.web import connect


@pytest.fixture(scope="session")
def stack_environment(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the shared stack."""
    # When a server is given up is for test_away, and what a lost lease does is for tests of the engine.
    patience = {"BACKYARD_REDIS_TIMEOUT": "30", "BACKYARD_LEASE": "20"}
    return {**make_environment(server_url, tmp_path_factory.mktemp("stack")), **patience}


@pytest.fixture(scope="session")
def worker(stack_environment: dict[str, str]) -> Iterator[Process]:
    """A worker of the shared stack, running ``support.yard``."""
    process = start_worker(stack_environment)
    yield process
    process.end()


@pytest.fixture(scope="session")
def api(stack_environment: dict[str, str]) -> Iterator[Api]:
    """The API of the shared stack, running ``support.application``."""
    with running_api(stack_environment) as running:
        yield running


@pytest.fixture(scope="session")
def client(api: Api) -> Iterator[httpx2.Client]:
    """A client of that API."""
    with connect(api.url) as client:
        yield client


@pytest.fixture(scope="session")
def awkward_environment(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the awkward yard."""
    return {**make_environment(server_url, tmp_path_factory.mktemp("awkward")), "BACKYARD_REDIS_TIMEOUT": "30"}


@pytest.fixture(scope="session")
def awkward_api(awkward_environment: dict[str, str]) -> Iterator[Api]:
    """The API of the awkward yard, which has a keeper and no worker."""
    keeper = start_keeper(awkward_environment, "support.awkward:app")
    await_begun(awkward_environment)
    with running_api(awkward_environment, "support.awkward:app") as running:
        yield running
    keeper.end()


@pytest.fixture(scope="session")
def awkward(awkward_api: Api) -> Iterator[httpx2.Client]:
    """A client of that API."""
    with connect(awkward_api.url) as client:
        yield client

"""Fixtures: a history of the test's own, in each of the databases."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from backyard.history.database import History
from backyard.history.migrate import migrate
from support.postgresql import running_postgresql


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """URL of a real PostgreSQL, shared by this process's tests; each uses a yard of another name."""
    with running_postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_history(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[History]:
    """A history in a new database, without tables."""
    url = None if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    history = History.open(url, tmp_path, f"y{uuid.uuid4().hex[:12]}")
    yield history
    history.close()


@pytest.fixture
def history(empty_history: History) -> History:
    """A history with its tables."""
    migrate(empty_history)
    return empty_history

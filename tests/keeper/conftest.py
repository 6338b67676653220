"""Fixtures: the history of the test's yard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backyard import Backyard, Settings
from backyard.history.database import History
from backyard.history.migrate import migrate
from backyard.keeper import operations as duty_module
from support.operated import Stage


@pytest.fixture
def history(environment: dict[str, str]) -> Iterator[History]:
    """The history of the test's yard, as another process reads it."""
    history = History.open(None, Path(environment["BACKYARD_DATA_DIR"]), environment["TEST_YARD"])
    yield history
    history.close()


@pytest.fixture
def stage(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    settings = Settings(
        redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]),
        queue_limits={"narrow": 3}, secret_keys=["a long random text for the tests of operations"],
    )  # fmt: skip
    yard = Backyard(environment["TEST_YARD"], settings=settings)

    @yard.task
    def mail(number: int, word: str = "") -> str:
        """Take a number."""
        return f"{number} {word}"

    @yard.task(queue="narrow")
    def narrow(number: int) -> int:
        """Go through a narrow queue."""
        return number

    @yard.task(unique="until_done")
    def alone(number: int) -> int:
        """Be the only one."""
        return number

    monkeypatch.setattr(duty_module, "AT_ONCE", 7)
    migrate(yard.history)
    made = Stage(yard)
    yield made
    made.bench.check_nothing_lost()
    made.bench.close()
    yard.history.close()
    yard.ledger.close()

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from backyard import Backyard, Context, Settings
from backyard.core.errors import DefinitionError
from backyard.core.task_filter import TaskFilter
from backyard.history import tables
from backyard.history.database import History
from backyard.history.migrate import migrate
from backyard.history.queries import counts_of, page_of
from backyard.history.recorder import Recorder
from backyard.keeper.pruning import IDLE, Pruning
from support.news import Teller

DAY = 86_400_000


@pytest.fixture
def yard(environment: dict[str, str]) -> Iterator[Backyard]:
    """A yard that keeps successes for a day, and has a definition that keeps its own for an hour."""
    settings = Settings(
        redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]),
        keep_success=86_400, keep_failure=30 * 86_400, keep_revoked=86_400,
    )  # fmt: skip
    yard = Backyard(environment["TEST_YARD"], settings=settings)

    @yard.task(keep=3_600)
    def brief() -> None:
        """Is soon forgotten."""

    @yard.task(keep={"FAILURE": 60 * 86_400})
    def grave() -> None:
        """Is long remembered where it failed."""

    migrate(yard.history)
    yield yard
    yard.history.close()


def fill(history: History, teller: Teller) -> None:
    recorder = Recorder(history, lambda _: {})
    recorder.position()
    recorder.begin("0-0")
    told = []
    for name in ("f", "brief", "grave"):
        for state in ("SUCCESS", "FAILURE"):
            told += teller.whole(f"{name}-{state}", name, state, tags=["t"])
    told.append(teller.born("f-waits"))
    recorder.record(told)


def prune(yard: Backyard, now: int) -> set[str]:
    """Prune until nothing is to go, and return what is left."""
    duty = Pruning(yard, lambda: now)
    while duty.step() < IDLE:
        pass
    return {one.task_id for one in page_of(yard.history, TaskFilter(), 50).tasks}


def test_tasks_go_by_state_and_definition(yard: Backyard) -> None:
    teller = Teller()
    fill(yard.history, teller)
    everything = {
        "f-SUCCESS",
        "f-FAILURE",
        "brief-SUCCESS",
        "brief-FAILURE",
        "grave-SUCCESS",
        "grave-FAILURE",
        "f-waits",
    }
    assert prune(yard, teller.now + 3_500_000) == everything
    assert prune(yard, teller.now + 3_700_000) == everything - {"brief-SUCCESS", "brief-FAILURE"}
    assert prune(yard, teller.now + 2 * DAY) == {"f-FAILURE", "grave-FAILURE", "f-waits"}
    assert prune(yard, teller.now + 40 * DAY) == {"grave-FAILURE", "f-waits"}
    assert prune(yard, teller.now + 70 * DAY) == {"f-waits"}
    assert counts_of(yard.history, TaskFilter()) == ({"PENDING": 1}, True)
    with yard.history.reading() as connection:
        left = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (tables.attempts, tables.tags, tables.events)
        }
    assert left == {"attempts": 0, "tags": 0, "events": 1}


def test_sums_and_trail_go_too(yard: Backyard) -> None:
    teller = Teller()
    fill(yard.history, teller)

    def rows() -> list[int]:
        with yard.history.reading() as connection:
            of_definitions, of_all = (
                sorted({row for (row,) in connection.execute(select(table.c.resolution))})
                for table in (tables.rollups, tables.yard_rollups)
            )
            assert of_all == of_definitions
            return of_all

    prune(yard, teller.now + DAY)
    assert rows() == [60, 3_600, 86_400]
    prune(yard, teller.now + 3 * DAY)
    assert rows() == [3_600, 86_400]
    prune(yard, teller.now + 100 * DAY)
    assert rows() == [86_400]
    with yard.history.reading() as connection:
        assert connection.execute(select(func.count()).select_from(tables.error_groups)).scalar_one() == 0


def test_artifacts_and_records_go_with_their_task(yard: Backyard) -> None:
    teller = Teller()
    recorder = Recorder(yard.history, lambda _: {})
    recorder.position()
    recorder.begin("0-0")
    stored = yard.files.save_artifact("old", "a.txt", b"text", None)
    assert stored.size == 4
    artifact = {"name": "a.txt", "size": 4, "content_type": "text/plain", "url": "/tasks/old/artifacts/a.txt"}
    told = [teller.born("old"), teller.started("old"), teller.say("old", "artifact", "STARTED", 1, artifact)]
    recorder.record([*told, teller.ended("old")])
    folder = yard.settings.data_dir
    assert [one for one in folder.rglob("a.txt*") if one.is_file()]
    assert prune(yard, teller.now + 2 * DAY) == set()
    assert [one for one in folder.rglob("a.txt*") if one.is_file()] == []


@pytest.mark.parametrize("keep", [1, {"PENDING": 100}, {"FAILURE": 5}, "ever"])
def test_what_cannot_be_kept_is_refused(yard: Backyard, keep: object) -> None:
    def odd(ctx: Context) -> None:
        raise NotImplementedError(ctx)

    with pytest.raises(DefinitionError, match="keep"):
        yard.task(keep=keep)(odd)

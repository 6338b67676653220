"""Submitting and following tasks, from event loops and from threads."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backyard import Backyard, Settings
from backyard.core.errors import (
    IdempotencyConflictError,
    InvalidInputError,
    LedgerUnavailableError,
    NotFinishedError,
    TaskCancelledError,
    TaskFailedError,
    UnknownDefinitionError,
    UnknownTaskError,
)
from backyard.core.states import State
from support.processes import free_port
from support.stage import Stage


def run(yard: Backyard, work: Callable[[], Any]) -> Any:
    """Run a coroutine function on a loop of its own, and close the yard's part of that loop."""

    async def main() -> Any:
        try:
            return await work()
        finally:
            await yard.close()

    return asyncio.run(main())


def test_submit_and_result_on_a_loop(served: Stage) -> None:
    async def work() -> Any:
        handle = await served.typed.add.submit(1, b=4)
        value = await handle.result(timeout=30)
        view = await handle.status()
        return value, view.state, view.progress, handle.created

    assert run(served.yard, work) == (5, State.SUCCESS, 100.0, True)


def test_many_at_once(served: Stage) -> None:
    async def work() -> Any:
        handles = await asyncio.gather(*(served.typed.add.submit(n) for n in range(50)))
        return await asyncio.gather(*(handle.result(timeout=30) for handle in handles))

    assert run(served.yard, work) == [n + 2 for n in range(50)]


def test_events_from_the_first_to_the_last(served: Stage, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def work() -> Any:
        handle = await served.typed.report.submit(str(gate))
        seen = []
        async for news in handle.events():
            seen.append((news.event, news.state))
            if news.event == "progress":
                gate.touch()
        rest = [news.event_id async for news in handle.events()]
        after = [news.event_id async for news in handle.events(after=rest[1])]
        return seen, rest, after

    seen, rest, after = run(served.yard, work)
    assert seen[:2] == [("state", "PENDING"), ("state", "STARTED")]
    assert seen[-1] == ("state", "SUCCESS")
    assert {"log", "progress", "artifact"} <= {event for event, _ in seen}
    assert after == rest[2:]


def test_waiting_ends_with_the_time_given(served: Stage) -> None:
    async def work() -> None:
        handle = await served.typed.add.with_options(delay=600).submit(1)
        with pytest.raises(NotFinishedError, match=r"within 0\.05 s"):
            await handle.result(timeout=0.05)
        with pytest.raises(TimeoutError):
            handle.result_sync(timeout=0.05)
        assert await handle.cancel()
        assert not await handle.cancel()
        with pytest.raises(TaskCancelledError):
            await handle.result(timeout=30)

    run(served.yard, work)


def test_a_failure_is_raised_with_its_record(served: Stage) -> None:
    async def work() -> Any:
        handle = await served.typed.break_out.submit("memory")
        with pytest.raises(TaskFailedError, match="MemoryError: no room") as caught:
            await handle.result(timeout=30)
        return caught.value.failure

    failure = run(served.yard, work)
    assert (failure["kind"], failure["type"]) == ("error", "MemoryError")


def test_a_handle_by_id_gives_the_functions_own_type_if_told_the_name(served: Stage) -> None:
    task_id = served.typed.repeat.submit_sync([], raw=b"\x00").task_id
    assert served.yard.handle(task_id, "repeat").result_sync(30) == ([], b"\x00", None, None)
    assert served.yard.handle(task_id).result_sync(30)[0] == []
    with pytest.raises(UnknownDefinitionError, match="Did you mean 'repeat'"):
        served.yard.handle(task_id, "repaet")
    with pytest.raises(UnknownTaskError):
        served.yard.handle("nothing").status_sync()


def test_one_key_makes_one_task(stage: Stage) -> None:
    keyed = stage.typed.add.with_options(idempotency_key="k1")
    first, second = keyed.submit_sync(1), keyed.submit_sync(1)
    assert (first.task_id, first.created, second.created) == (second.task_id, True, False)
    with pytest.raises(IdempotencyConflictError):
        keyed.submit_sync(2)


def test_one_id_makes_one_task(stage: Stage) -> None:
    mine = stage.typed.add.with_options(task_id="0197b6a0-0000-7000-8000-000000000009")
    assert [mine.submit_sync(1).created for _ in range(3)] == [True, False, False]
    assert stage.ledger.run(stage.ledger.calls.depth(["default"])) == {"default": 1}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dealy": 3}, "no option 'dealy'"),
        ({"delay": 1, "at": dt.datetime(2030, 1, 1, tzinfo=dt.UTC)}, "not both"),
        ({"delay": -1}, "delay is -1"),
        ({"at": dt.datetime(2030, 1, 1)}, "time zone"),  # noqa: DTZ001 - on purpose
        ({"expires": 0}, "expires is 0"),
        ({"tags": ["x"] * 21}, "20 tags"),
        ({"tags": [""]}, "1 to 100 characters"),
        ({"idempotency_key": ""}, "1 to 255 characters"),
        ({"priority": "urgent"}, "priority"),
        ({"queue": "no spaces"}, "queue"),
        ({"task_id": "a b"}, "task_id"),
        ({"delay": float("nan")}, "delay"),
    ],
)
def test_options_that_cannot_work_are_refused_with_words(stage: Stage, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        stage.typed.add.with_options(**options)


def test_a_server_that_is_away_is_said_so_with_the_tasks_id(tmp_path: Path) -> None:
    yard = Backyard("away", settings=Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0", data_dir=tmp_path))

    @yard.task
    def add(a: int) -> int:
        return a

    async def work() -> str | None:
        with pytest.raises(LedgerUnavailableError) as caught:
            await add.submit(1)
        return caught.value.task_id

    assert run(yard, work)
    with pytest.raises(LedgerUnavailableError) as caught:
        add.submit_sync(1)
    assert caught.value.task_id

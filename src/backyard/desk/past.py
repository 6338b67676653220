"""The history, asked from an event loop: whether it is there, how fresh it is, and its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from backyard.core.errors import HistoryUnavailableError, UnknownTaskError
from backyard.core.models import TaskView
from backyard.core.news import event_order
from backyard.history.database import History
from backyard.history.queries import events_of, submitted_as, task_of
from backyard.ledger.keeper_calls import lag_between
from backyard.ledger.record import Record

if TYPE_CHECKING:
    from backyard.app import Backyard

T = TypeVar("T")

#: Seconds that a list waits at most to be as fresh as the last event.
FRESH = 3.0
_POLL = 0.01


async def ask(yard: Backyard, question: Callable[[History], T]) -> T:
    """Ask the history, in a thread.

    Args:
        yard: The yard.
        question: Asks it.

    Raises:
        HistoryUnavailableError: No keeper has ever recorded it, or its database is away.
    """
    if not await recorded(yard):
        raise HistoryUnavailableError(
            "Nothing has recorded this yard's history yet. Start `backyard keeper`, or `backyard up`, which runs one."
        )
    return await asyncio.to_thread(question, yard.history)


async def recorded(yard: Backyard) -> bool:
    """Whether a keeper has ever recorded the yard's history."""
    return await yard.ledger.arun(yard.ledger.calls.recorded()) is not None


async def catch_up(yard: Backyard) -> None:
    """Wait until the history has what was accepted before now.

    Raises:
        HistoryUnavailableError: It lags too far behind.
    """
    calls = yard.ledger.calls
    newest = await yard.ledger.arun(calls.last_event())
    position = ""
    try:
        async with asyncio.timeout(FRESH):
            while True:
                found = await yard.ledger.arun(calls.recorded())
                position = found.position if found else ""
                if found is not None and event_order(position) >= event_order(newest):
                    return
                await asyncio.sleep(_POLL)
    except TimeoutError:
        behind = f"{lag_between(position, newest):.1f} s behind" if position else "not recorded by anybody"
        raise HistoryUnavailableError(
            f"The history is {behind}. See that a keeper runs and its database answers, or ask without fresh."
        ) from None


async def past_view(yard: Backyard, task_id: str) -> TaskView:
    """Return a task that the ledger knows no more.

    Raises:
        UnknownTaskError: The history does not know it either.
        HistoryUnavailableError: Its database is away.
    """
    view = await asyncio.to_thread(task_of, yard.history, task_id) if await recorded(yard) else None
    if view is None:
        raise UnknownTaskError(f"No task has the id '{task_id}', or it was deleted from the history.")
    return view


async def past_log(yard: Backyard, task_id: str, limit: int) -> list[dict[str, Any]]:
    """Return the log lines of a task that the ledger knows no more, oldest first.

    Raises:
        UnknownTaskError: The history does not know it either.
        HistoryUnavailableError: Its database is away.
    """
    await past_view(yard, task_id)
    rows = await asyncio.to_thread(lambda: events_of(yard.history, task_id, kinds=["log"], limit=limit))
    return [row["data"] for row in rows]


async def past_record(yard: Backyard, task_id: str) -> Record:
    """Return a task's name and input as a record, from the ledger or from the history.

    Raises:
        UnknownTaskError: Neither knows it.
        HistoryUnavailableError: The ledger does not, and the history's database is away.
    """
    try:
        return await yard.ledger.arecord(task_id)
    except UnknownTaskError:
        found = await asyncio.to_thread(submitted_as, yard.history, task_id) if await recorded(yard) else None
        if found is None:
            raise
        return Record(task_id, {"name": found[0].encode(), "input": found[1].encode()})

"""Pages of the list of tasks: from the history, or from the ledger for as long as nothing has recorded it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from backyard.core.errors import HistoryUnavailableError
from backyard.core.models import TaskView
from backyard.core.task_filter import TaskFilter
from backyard.desk.cursors import cursor_of, place_in, wrong_cursor
from backyard.history.queries import page_of
from backyard.ledger.record import Record

if TYPE_CHECKING:
    from backyard.app import Backyard

Order = Literal["newest", "oldest"]
#: Before every number that a task has.
_FIRST = -1
_SCORE = re.compile(r"[0-9]{1,16}(\.[0-9]{1,6})?")
_NUMBER = re.compile(r"([ab])([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of tasks, in the order that was asked for.

    Args:
        tasks: The tasks.
        next: Cursor of the page that follows; None at the end.
        previous: Cursor of the page before; None where there is none.
        here: Cursor of this page, newest first, whatever is accepted meanwhile; None where it has no task.
    """

    tasks: list[TaskView]
    next: str | None
    previous: str | None
    here: str | None = None


async def history_page(
    yard: Backyard, wanted: TaskFilter, limit: int, cursor: str = "", *, order: Order = "newest", brief: bool = False
) -> Listed:
    """List what the history has, where a keeper has ever recorded it.

    Args:
        yard: The yard.
        wanted: Which tasks.
        limit: Tasks on a page.
        cursor: Of the page; empty for the first.
        order: Which come first, by the time at which they were accepted.
        brief: Leave results and long inputs away, which lists do not show.

    Raises:
        InvalidInputError: The cursor is none of ours, or the text cannot be searched for.
        HistoryUnavailableError: Its database is away.
    """
    after, before = _read_place(cursor)
    oldest = order == "oldest"
    if oldest and not cursor:
        before = _FIRST
    page = await asyncio.to_thread(page_of, yard.history, wanted, limit, after=after, before=before, brief=brief)
    older = None if page.after is None or before == _FIRST else cursor_of(f"a{page.after}")
    newer = None if page.before is None else cursor_of(f"b{page.before}")
    if oldest:
        return Listed(page.tasks[::-1], newer, older)
    return Listed(page.tasks, older, newer, None if page.newest is None else cursor_of(f"a{page.newest + 1}"))


async def ledger_page(
    yard: Backyard, wanted: TaskFilter, limit: int, cursor: str = ""
) -> tuple[list[Record], str | None]:
    """List what the ledger has, newest first; also returns the cursor of the page that follows.

    Args:
        yard: The yard.
        wanted: Which tasks: the ledger knows states and one name.
        limit: Tasks on a page.
        cursor: Of the page; empty for the first.

    Raises:
        InvalidInputError: The cursor is none of ours.
        HistoryUnavailableError: Only the history can answer.
    """
    if wanted.beyond_the_ledger:
        raise unrecorded(wanted.beyond_the_ledger)
    name = wanted.name[0] if wanted.name else ""
    records, after = await yard.ledger.records(wanted.state, name, limit, _read_score(cursor))
    return records, None if after is None else cursor_of("|".join(after))


def unrecorded(asked: list[str]) -> HistoryUnavailableError:
    """Return what is said where only the history can answer, and there is none yet."""
    return HistoryUnavailableError(
        f"Only the history can answer '{', '.join(asked)}', and nothing has recorded it yet. Start `backyard keeper`."
    )


def _read_place(text: str) -> tuple[int | None, int | None]:
    """Read a cursor of the history: the number to go on after, and the one to go back before."""
    if not text:
        return None, None
    found = _NUMBER.fullmatch(place_in(text))
    if found is None:
        raise wrong_cursor()
    number = int(found[2])
    return (number, None) if found[1] == "a" else (None, number)


def _read_score(text: str) -> tuple[str, str] | None:
    """Read a cursor of the ledger."""
    if not text:
        return None
    score, _, last = place_in(text).partition("|")
    if not _SCORE.fullmatch(score) or not last:
        raise wrong_cursor()
    return score, last

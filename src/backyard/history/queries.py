"""Questions about tasks: pages of them, one of them, how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, null, select

from backyard.core.models import TaskView
from backyard.core.task_filter import TaskFilter
from backyard.history.database import History
from backyard.history.filters import Place, among, conditions, numbers_of, some_of
from backyard.history.tables import attempts, counts, event_text, event_time, events, tags, tasks
from backyard.history.views import loaded, moment, views_of

#: Matches that are counted one by one; beyond, there are "at least so many".
COUNTED = 10_000
#: Characters of an input that a list still shows.
BRIEF = 4_000
#: The newest tags that are looked through for those there are.
_NEWEST_TAGS = 2_000


_BRIEFLY: list[Any] = [
    *(column for column in tasks.c if column.name not in ("input", "result")),
    case((func.length(tasks.c.input) <= BRIEF, tasks.c.input)).label("input"),
    null().label("result"),
]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of tasks, newest first.

    Args:
        tasks: The tasks.
        after: Number to go on from to older ones; None at the end.
        before: Number to go back from to newer ones; None where there are none.
        newest: Number of its first task; None where there is none.
    """

    tasks: list[TaskView]
    after: int | None
    before: int | None
    newest: int | None


def page_of(
    history: History,
    wanted: TaskFilter,
    limit: int,
    *,
    after: int | None = None,
    before: int | None = None,
    brief: bool = False,
) -> Page:
    """Return a page of tasks, newest first.

    Args:
        history: The history.
        wanted: Which tasks.
        limit: Tasks on a page.
        after: Only older ones than that number.
        before: Only newer ones than that number, those next to it.
        brief: Leave results and long inputs away.

    Raises:
        InvalidInputError: The text cannot be searched for.
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        numbers = numbers_of(history, connection, wanted, Place(limit + 1, after, before))
        whole = select(*_BRIEFLY) if brief else select(tasks)
        found = connection.execute(whole.where(tasks.c.number.in_(numbers))).mappings() if numbers else ()
        by_number = {row["number"]: row for row in found}
        rows: list[Any] = [by_number[number] for number in numbers]
        more, rows = len(rows) > limit, rows[:limit]
        if before is not None:
            rows.reverse()
        older, newer = (True, more) if before is not None else (more, after is not None)
        return Page(
            views_of(connection, rows),
            rows[-1]["number"] if rows and older else None,
            rows[0]["number"] if rows and newer else None,
            rows[0]["number"] if rows else None,
        )


def task_of(history: History, task_id: str) -> TaskView | None:
    """Return a task; None where the history has none of that id.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        row = connection.execute(select(tasks).where(tasks.c.task_id == task_id)).mappings().one_or_none()
        return views_of(connection, [row])[0] if row else None


def states_of(history: History, task_ids: Sequence[str]) -> dict[str, str]:
    """Return the states of tasks by id; those that the history does not know are left out.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        wanted = select(tasks.c.task_id, tasks.c.state).where(tasks.c.task_id.in_(task_ids))
        return {row.task_id: row.state for row in connection.execute(wanted)}


def counts_of(
    history: History, wanted: TaskFilter, most: int = COUNTED, *, rough: bool = False
) -> tuple[dict[str, int], bool]:
    """Count tasks by state; also whether all were counted.

    Those of definitions and queues are known; with any other filter, the newest matches are counted.

    Args:
        history: The history.
        wanted: Which tasks.
        most: Matches that are counted one by one.
        rough: Whether fewer will do where more would take long.

    Raises:
        InvalidInputError: The text cannot be searched for.
        HistoryUnavailableError: The database is away.
    """
    kept = TaskFilter(state=wanted.state, name=wanted.name, queue=wanted.queue)
    with history.reading() as connection:
        if kept == wanted:
            columns = {"state": counts.c.state, "name": counts.c.name, "queue": counts.c.queue}
            given = [column.in_([str(one) for one in getattr(wanted, name)])
                     for name, column in columns.items() if getattr(wanted, name)]  # fmt: skip
            sums = select(counts.c.state, func.sum(counts.c.number)).where(*given).group_by(counts.c.state)
            return {state: int(number) for state, number in connection.execute(sums)}, True
        if rough and history.is_sqlite:
            numbers, every = some_of(history, connection, wanted, most)
            sums = select(tasks.c.state, func.count()).where(among(numbers)).group_by(tasks.c.state)
            return {str(state): int(number) for state, number in connection.execute(sums)}, every
        newest = select(tasks.c.state).where(*conditions(history, wanted))
        some = newest.order_by(tasks.c.number.desc()).limit(most + 1).subquery()
        rows = connection.execute(select(some.c.state, func.count()).group_by(some.c.state))
        found = {str(state): int(number) for state, number in rows}
        return found, sum(found.values()) <= most


def values_of(history: History, most: int) -> dict[str, list[str]]:
    """Return what lists may be filtered by: names, queues, and the tags of the newest tasks.

    Args:
        history: The history.
        most: Values of each, at most.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    newest = select(tags.c.tag).order_by(tags.c.number.desc()).limit(_NEWEST_TAGS).subquery()
    columns = {"name": counts.c.name, "queue": counts.c.queue, "tag": newest.c.tag}
    with history.reading() as connection:
        return {
            key: list(connection.execute(select(column).distinct().order_by(column).limit(most)).scalars())
            for key, column in columns.items()
        }


def attempts_of(history: History, task_id: str) -> list[dict[str, Any]]:
    """Return the attempts of a task: when each was ready, began and ended, where, and how.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        rows = connection.execute(
            select(attempts).where(attempts.c.number == _number(connection, task_id)).order_by(attempts.c.attempt)
        ).mappings()
        return [
            {
                "attempt": row["attempt"], "worker": row["worker"], "ready": moment(row["ready"]),
                "started": moment(row["started"]), "ended": moment(row["ended"]), "outcome": row["outcome"],
                "failure": loaded(row["failure"]),
            }
            for row in rows
        ]  # fmt: skip


def events_of(
    history: History, task_id: str, *, kinds: Sequence[str] = (), after: int = 0, limit: int = 1_000
) -> list[dict[str, Any]]:
    """Return what happened to a task, oldest first.

    Args:
        history: The history.
        task_id: The task.
        kinds: Events of these kinds; none is all. Log lines are of the kind ``log``.
        after: Only later ones than that event.
        limit: Events at most.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        wanted = select(events).where(events.c.number == _number(connection, task_id), events.c.event > after)
        if kinds:
            wanted = wanted.where(events.c.kind.in_(kinds))
        return [
            {
                "event_id": event_text(row["event"]), "event": row["kind"], "state": row["state"],
                "attempt": row["attempt"], "at": moment(event_time(row["event"])), "data": loaded(row["data"]),
            }
            for row in connection.execute(wanted.order_by(events.c.event).limit(limit)).mappings()
        ]  # fmt: skip


def _number(connection: Connection, task_id: str) -> int:
    number = connection.execute(select(tasks.c.number).where(tasks.c.task_id == task_id)).scalar_one_or_none()
    return -1 if number is None else int(number)


def submitted_as(history: History, task_id: str) -> tuple[str, str] | None:
    """Return a task's definition and its input as it was accepted; None where the history has none of that id.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        row = connection.execute(select(tasks.c.name, tasks.c.input).where(tasks.c.task_id == task_id)).one_or_none()
        return None if row is None else (row.name, row.input or "{}")

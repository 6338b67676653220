"""Deletion: tasks, and all that belongs to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from backyard.core.states import FINAL
from backyard.history.database import History
from backyard.history.recorder import TOGETHER, add_counts
from backyard.history.search import text_index
from backyard.history.tables import artifacts, attempts, events, position, tags, tasks

_FINAL = [str(state) for state in FINAL]


@dataclass(frozen=True, slots=True)
class Gone:
    """A task that was deleted."""

    number: int
    task_id: str
    name: str
    queue: str
    state: str


def delete_tasks(history: History, numbers: Sequence[int]) -> list[Gone]:
    """Delete tasks that have ended, with all that belongs to them; returns those that were there.

    Sums over time and error groups keep what they have counted.

    Args:
        history: The history.
        numbers: Numbers of tasks; one that has not ended stays.

    Raises:
        HistoryUnavailableError: The database is away; nothing of the last few hundred was deleted.
    """
    gone: list[Gone] = []
    for at in range(0, len(numbers), TOGETHER):
        with history.writing() as connection:
            gone += delete_in(history, connection, numbers[at : at + TOGETHER])
    return gone


def delete_in(history: History, connection: Connection, numbers: Sequence[int]) -> list[Gone]:
    """Delete some hundred tasks that have ended, in a transaction that does more than that.

    Args:
        history: The history.
        connection: From :meth:`~backyard.history.database.History.writing`.
        numbers: Numbers of tasks; one that has not ended stays.
    """
    if not numbers:
        return []
    # Whoever records waits here, or is waited for: both change the counts.
    connection.execute(select(position.c.id).with_for_update())
    columns = [tasks.c[name] for name in ("number", "task_id", "name", "queue", "state")]
    ended = delete(tasks).where(tasks.c.number.in_(numbers), tasks.c.state.in_(_FINAL)).returning(*columns)
    gone = [Gone(*row) for row in connection.execute(ended)]
    their = [one.number for one in gone]
    for table in (attempts, events, artifacts, tags):
        connection.execute(delete(table).where(table.c.number.in_(their)))
    text_index(history).drop(connection, their)
    change: dict[tuple[str, str, str], int] = defaultdict(int)
    for one in gone:
        change[one.name, one.queue, one.state] -= 1
    add_counts(history, connection, change)
    return gone

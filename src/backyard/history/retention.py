"""What is old enough to go: final tasks by state and definition, sums that are too fine, the trail."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, exists, select

from backyard.history.batch import RESOLUTIONS
from backyard.history.database import History
from backyard.history.tables import (
    IN_A_MILLISECOND,
    artifacts,
    audit,
    deliveries,
    error_groups,
    error_rollups,
    operations,
    rollups,
    tasks,
    yard_rollups,
)

#: Seconds that sums are kept, by their resolution; those of days stay for good.
SUMS_KEPT = {RESOLUTIONS[0]: 2 * 86_400, RESOLUTIONS[1]: 90 * 86_400}
#: Milliseconds of the longest period that is summed up: a sum goes when all of it is old.
_LONGEST_SUM = RESOLUTIONS[-1] * 1000
#: Rows that go in one transaction: others write in between.
TOGETHER = 500


@dataclass(frozen=True, slots=True)
class Old:
    """A task that may go.

    Args:
        number: Its number.
        task_id: Its id.
        saved: Whether it has artifacts.
    """

    number: int
    task_id: str
    saved: bool


def outlived(history: History, state: str, before: int, *, name: str | None, others: Collection[str] = ()) -> list[Old]:
    """Return tasks that ended in a state before a time, the oldest first, a few hundred at most.

    Args:
        history: The history.
        state: A final state.
        before: Milliseconds since 1970.
        name: Of that definition; None is of all but others.
        others: Definitions that are left out.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    saved = exists().where(artifacts.c.number == tasks.c.number)
    wanted = select(tasks.c.number, tasks.c.task_id, saved).where(tasks.c.state == state, tasks.c.finished < before)
    if name is not None:
        wanted = wanted.where(tasks.c.name == name)
    elif others:
        wanted = wanted.where(tasks.c.name.not_in(sorted(others)))
    with history.reading() as connection:
        rows = connection.execute(wanted.order_by(tasks.c.finished).limit(TOGETHER))
        return [Old(number, task_id, bool(has)) for number, task_id, has in rows]


def drop_sums(history: History, now: int) -> int:
    """Drop sums by the minute and by the hour that are old; returns how many.

    Args:
        history: The history.
        now: Milliseconds since 1970.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    gone = 0
    with history.writing() as connection:
        for resolution, kept in SUMS_KEPT.items():
            for table in (rollups, yard_rollups, error_rollups):
                old = (table.c.resolution == resolution, table.c.start < now - kept * 1000)
                gone += connection.execute(delete(table).where(*old)).rowcount
    return gone


def drop_trail(history: History, before: int, failures_before: int) -> int:
    """Drop audit lines, operations and deliveries that are over, and error groups not seen since; returns how many.

    Args:
        history: The history.
        before: Milliseconds since 1970.
        failures_before: The same for error groups.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.writing() as connection:
        done = [
            delete(audit).where(audit.c.event < before * IN_A_MILLISECOND),
            delete(operations).where(operations.c.finished < before),
            delete(deliveries).where(deliveries.c.finished < before),
            delete(error_groups).where(error_groups.c.last < failures_before),
            delete(error_rollups).where(error_rollups.c.start < failures_before - _LONGEST_SUM),
        ]
        return sum(connection.execute(one).rowcount for one in done)

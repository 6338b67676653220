"""Questions about a task's relatives: who submitted it, what it has submitted, what repeats it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, select

from backyard.history.database import History
from backyard.history.tables import tasks
from backyard.history.views import moment

#: Parents of parents that are looked up one by one, where a family is too big to be read as a whole.
_HIGHEST: Final = 10
_COLUMNS: Final = (
    tasks.c.task_id, tasks.c.name, tasks.c.state, tasks.c.parent_id, tasks.c.started, tasks.c.finished,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Relative:
    """A task, as far as its relatives show it. Times are UTC."""

    task_id: str
    name: str
    state: str
    parent_id: str | None
    started: datetime | None
    finished: datetime | None


@dataclass(frozen=True, slots=True)
class Family:
    """The relatives of a task.

    Args:
        members: Itself, who submitted it, and what was submitted from inside of those, oldest first.
        whole: Whether these are all; where they are not, they are its parents and its own first children.
        reruns: Tasks that repeat it, newest first.
    """

    members: list[Relative]
    whole: bool
    reruns: list[Relative]


def family_of(history: History, task_id: str, root_id: str | None, most: int) -> Family:
    """Return the relatives of a task.

    Args:
        history: The history.
        task_id: The task.
        root_id: The task that its family began with; None where that is itself.
        most: Members at most, parents apart.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    root = root_id or task_id
    with history.reading() as connection:
        reruns = _found(connection, tasks.c.rerun_of == task_id, most, newest=True)
        members = _found(connection, tasks.c.root_id == root, most + 1)
        if len(members) <= most:
            return Family([*_one(connection, root), *members], whole=True, reruns=reruns)
        line = _line(connection, task_id)
        return Family([*line, *_found(connection, tasks.c.parent_id == task_id, most)], whole=False, reruns=reruns)


def _line(connection: Connection, task_id: str) -> list[Relative]:
    """Return a task after its parent, that one's parent, and so on."""
    line = _one(connection, task_id)
    while line and line[0].parent_id and len(line) <= _HIGHEST:
        above = _one(connection, line[0].parent_id)
        if not above:
            break
        line = above + line
    return line


def _one(connection: Connection, task_id: str) -> list[Relative]:
    return _found(connection, tasks.c.task_id == task_id, 1)


def _found(connection: Connection, which: ColumnElement[bool], most: int, *, newest: bool = False) -> list[Relative]:
    order = tasks.c.number.desc() if newest else tasks.c.number
    rows = connection.execute(select(*_COLUMNS).where(which).order_by(order).limit(most)).mappings()
    return [_relative(row) for row in rows]


def _relative(row: Mapping[Any, Any]) -> Relative:
    return Relative(
        row["task_id"], row["name"], row["state"], row["parent_id"], moment(row["started"]), moment(row["finished"])
    )

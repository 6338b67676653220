"""Rows of tasks in a list, in the columns that a person chose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backyard.console.page import Page
from backyard.core.models import TaskView
from backyard.core.states import FINAL, RUNNING, State

#: The cookie that holds the chosen columns.
COOKIE: Final = "backyard_columns"
#: Characters of an input in a row.
_LONGEST_INPUT: Final = 120


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table of tasks.

    Args:
        name: Its name, in the cookie.
        label: Its heading.
        usual: Whether it is shown to who has not chosen.
        right: Whether it holds numbers.
    """

    name: str
    label: str
    usual: bool = True
    right: bool = False


#: All columns, in their order. State and name are always there.
COLUMNS: Final = (
    Column("input", "Input"),
    Column("progress", "Progress"),
    Column("queue", "Queue"),
    Column("worker", "Worker"),
    Column("attempt", "Attempt", right=True),
    Column("accepted", "Accepted"),
    Column("waited", "Waited", right=True),
    Column("ran", "Ran", right=True),
    Column("tags", "Tags"),
    Column("error", "Error", usual=False),
    Column("schedule", "Schedule", usual=False),
    Column("task_id", "Id", usual=False),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A task as a row shows it.

    Args:
        task: The task.
        input: Its input in one line; None where it is too long for that.
        due: When it goes on, where it waits for a time.
        waits_since: Since when it waits in its queue, where it does.
        waited: Seconds that it waited for its latest attempt, where that has begun.
        runs_since: Since when it runs, where it does.
        ran: Seconds that its latest attempt took, where it has ended.
    """

    task: TaskView
    input: str | None
    due: datetime | None = None
    waits_since: datetime | None = None
    waited: float | None = None
    runs_since: datetime | None = None
    ran: float | None = None


def row_of(task: TaskView) -> Row:
    """Return a task as a row shows it."""
    line, ready = input_line(task.input), task.date_created
    if task.date_due is not None and (task.date_started is None or task.date_due <= task.date_started):
        ready = max(ready, task.date_due)
    if task.state in (State.SCHEDULED, State.RETRY):
        return Row(task, line, due=task.date_due)
    if task.state is State.PENDING:
        return Row(task, line, waits_since=ready)
    if task.date_started is None:
        return Row(task, line)
    waited = max(0.0, (task.date_started - ready).total_seconds())
    if task.state in RUNNING:
        return Row(task, line, waited=waited, runs_since=task.date_started)
    ended = task.date_done if task.state in FINAL else None
    ran = None if ended is None else max(0.0, (ended - task.date_started).total_seconds())
    return Row(task, line, waited=waited, ran=ran)


def input_line(value: Any) -> str | None:
    """Return an input as one line to read: ``pages: 3, title: Hello``; None where there is none at hand."""
    if value is None:
        return None
    if not isinstance(value, dict):
        return _word(value)
    line = ""
    for name, one in value.items():
        line += f"{', ' if line else ''}{name}: {_word(one)}"
        if len(line) > _LONGEST_INPUT:
            return line[:_LONGEST_INPUT] + "…"
    return line


def chosen_columns(page: Page) -> tuple[Column, ...]:
    """Return the columns that were chosen in this browser, or the usual ones."""
    names = page.request.cookies.get(COOKIE)
    if names is None:
        return tuple(column for column in COLUMNS if column.usual)
    return columns_named(names.split("."))


def columns_named(names: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of some names, in their order; what is no column is left out."""
    return tuple(column for column in COLUMNS if column.name in names)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

"""A filter as SQL, and the numbers of the tasks that match it.

PostgreSQL has statistics, and finds its way. SQLite has none here and would often take the wrong index, so it is told
by which one to go: ``+column`` is the column, and no index of it. What leads is what leaves the fewest tasks to look
at: how many there are of a definition in a state is known, and a page of matches needs no more once it is full.
Source: "The SQLite Query Optimizer Overview", sqlite.org/optoverview.html.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, CompoundSelect, Connection, Select, bindparam, func, intersect, select
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from backyard.core.task_filter import TaskFilter
from backyard.history.database import History
from backyard.history.search import fts, fts_has, fts_matches, read_search, text_index, words_of
from backyard.history.tables import counts, tags, tasks

#: Columns of a task's sort, and columns with few tasks for each value: the fewest first.
_SORT: Final = ("state", "name", "queue")
_OWN: Final = ("rerun_of", "parent_id", "group_id", "root_id", "operation", "schedule", "fingerprint", "worker")
#: Sorts that are asked one by one; where there are more, one index over all of them does.
_SORTS: Final = 60
#: Tasks that may be looked at one by one for another column or tag: that takes about a microsecond each.
_FEW: Final = 12_000
#: The newest tasks of whatever else is asked for are read for words before the index is asked: a common word fills a
#: page from there, and often they are all. That takes about 5 microseconds each.
_READ: Final = 400
#: Matches among these that are enough to say "at least so many".
_ENOUGH: Final = 25


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list.

    Args:
        limit: Tasks at most.
        after: Only older ones than that number.
        before: Only newer ones than that number, those next to it, the oldest first.
    """

    limit: int
    after: int | None = None
    before: int | None = None


def conditions(history: History, wanted: TaskFilter) -> list[ColumnElement[bool]]:
    """Return a filter as conditions on tasks.

    Raises:
        InvalidInputError: The text cannot be searched for.
    """
    named = bool(wanted.task_id)
    own = None if named else _own_of(wanted)
    led = named or own is not None or bool(wanted.tag) or wanted.text is not None
    found = [*_sorts(history, wanted, leads=not led), *_owned(history, wanted, own)]
    if named:
        found.append(tasks.c.task_id.in_(wanted.task_id))
    for at, tag in enumerate(wanted.tag):
        leads = at == 0 and own is None and not named
        found.append(tasks.c.number.in_(select(tags.c.number).where(tags.c.tag == tag)) if leads else _tagged(tag))
    found += _times(wanted, tasks.c.number)
    if wanted.text is not None:
        found.append(text_index(history).matches(read_search(wanted.text)))
    return found


def numbers_of(history: History, connection: Connection, wanted: TaskFilter, place: Place) -> list[int]:
    """Return the numbers of tasks, newest first, or oldest first where the place says before which.

    Args:
        history: The history.
        connection: From the history.
        wanted: Which tasks.
        place: Where in their list.

    Raises:
        InvalidInputError: The text cannot be searched for.
    """
    if history.is_sqlite and len(wanted.tag) > 1:
        wanted = wanted.model_copy(update={"tag": _rarest_first(connection, wanted.tag)})
    own = _own_of(wanted)
    if wanted.task_id:
        return _by_ids(history, connection, wanted, place)
    if any(getattr(wanted, name) for name in _SORT):
        sorts = _known_sorts(connection, wanted)
        if not sorts:
            return []
        alone = own is None and not wanted.tag and wanted.text is None
        few = history.is_sqlite and wanted.text is None and sum(number for _, _, number in sorts) <= _FEW
        if len(sorts) <= _SORTS and (few or alone):
            return _by_sorts(history, connection, wanted, place, sorts)
    if history.is_sqlite and wanted.text is not None:
        return _worded_numbers(history, connection, wanted, place)
    if history.is_sqlite and wanted.tag and own is None:
        statement = _by_tag(history, wanted, place)
    else:
        statement = _bounded(select(tasks.c.number).where(*conditions(history, wanted)), tasks.c.number, None, place)
    return list(connection.execute(statement).scalars())


def some_of(history: History, connection: Connection, wanted: TaskFilter, most: int) -> tuple[list[int], bool]:
    """Return the numbers of matches, the newest first, to be counted in SQLite; also whether these are all.

    Words that are common are looked for in the newest tasks alone: to find thousands takes long, and nobody needs them.

    Args:
        history: The history.
        connection: From the history.
        wanted: Which tasks.
        most: Matches at most, and one.

    Raises:
        InvalidInputError: The text cannot be searched for.
    """
    if wanted.text is not None:
        found, every = _read(history, connection, wanted, Place(most))
        if every or len(found) >= _ENOUGH:
            return found, every
    numbers = numbers_of(history, connection, wanted, Place(most + 1))
    return numbers, len(numbers) <= most


# -- what leads ---------------------------------------------------------------------------------------------------


def _known_sorts(connection: Connection, wanted: TaskFilter) -> list[tuple[str, str, int]]:
    """Return definition and state of the tasks that there are, and how many they are."""
    given = [counts.c[name].in_([str(one) for one in getattr(wanted, name)]) for name in _SORT if getattr(wanted, name)]
    sums = select(counts.c.name, counts.c.state, func.sum(counts.c.number)).where(*given)
    rows = connection.execute(sums.group_by(counts.c.name, counts.c.state))
    return [(name, state, int(number)) for name, state, number in rows]


def _by_sorts(
    history: History, connection: Connection, wanted: TaskFilter, place: Place, sorts: Sequence[tuple[str, str, int]]
) -> list[int]:
    """Ask for each sort by itself, since each has its own part of the index in the order of numbers."""
    queued = wanted.model_copy(update={"name": (), "state": ()})
    given = [tasks.c.name == bindparam("its_name"), tasks.c.state == bindparam("its_state")]
    given += _rest(history, queued)
    statement = _bounded(select(tasks.c.number).where(*given), tasks.c.number, wanted, place)
    found: list[int] = []
    for name, state, _ in sorts:
        found += connection.execute(statement, {"its_name": name, "its_state": state}).scalars()
    return sorted(found, reverse=place.before is None)[: place.limit]


def _by_ids(history: History, connection: Connection, wanted: TaskFilter, place: Place) -> list[int]:
    """Let the tasks that are named lead: they are few."""
    given = [tasks.c.task_id.in_(wanted.task_id), *_rest(history, wanted)]
    if wanted.text is not None:
        worded = history.is_sqlite
        given.append(_worded(wanted) if worded else text_index(history).matches(read_search(wanted.text)))
    found = select(tasks.c.number).where(*given, *_times(wanted, tasks.c.number))
    numbers = set(connection.execute(found).scalars())
    if place.before is not None:
        return sorted(number for number in numbers if number > place.before)[: place.limit]
    after = place.after
    return sorted((one for one in numbers if after is None or one < after), reverse=True)[: place.limit]


def _rarest_first(connection: Connection, given: Sequence[str]) -> tuple[str, ...]:
    def number(tag: str) -> int:
        some = select(tags.c.number).where(tags.c.tag == tag).limit(_FEW).subquery()
        return int(connection.execute(select(func.count()).select_from(some)).scalar_one())

    return tuple(sorted(given, key=number))


def _worded_numbers(history: History, connection: Connection, wanted: TaskFilter, place: Place) -> list[int]:
    """Look for words in SQLite: in the newest tasks of the rest one by one, or else by the index of words."""
    found, every = _read(history, connection, wanted, place)
    if every or len(found) >= place.limit:
        return found[: place.limit]
    return list(connection.execute(_by_text(history, wanted, place)).scalars())


def _read(history: History, connection: Connection, wanted: TaskFilter, place: Place) -> tuple[list[int], bool]:
    """Read the next tasks for words; returns those that have them, and whether there are no tasks beyond."""
    rest = wanted.model_copy(update={"text": None})
    numbers = numbers_of(history, connection, rest, replace(place, limit=_READ + 1))
    order = tasks.c.number if place.before is not None else tasks.c.number.desc()
    worded = select(tasks.c.number).where(among(numbers), _worded(wanted)).order_by(order)
    return list(connection.execute(worded).scalars()), len(numbers) <= _READ


def among(numbers: Sequence[int]) -> ColumnElement[bool]:
    """Return the condition of SQLite that a task is one of many, as one parameter: thousands take long to be bound."""
    return tasks.c.number.in_(select(func.json_each(json.dumps(numbers)).table_valued("value").c.value))


def _by_text(history: History, wanted: TaskFilter, place: Place) -> Select[Any]:
    """Let the words lead: they give the tasks that have them in the order of their numbers."""
    phrases = read_search(wanted.text or "")
    if len(wanted.name) == 1:
        # A task's name is among its words: those of other definitions are not even looked at.
        phrases.insert(0, words_of(wanted.name[0]).split())
    statement = select(fts.c.rowid).where(fts_matches([phrase for phrase in phrases if phrase]))
    rest = _rest(history, wanted)
    if rest:
        looked = select(tasks.c.number).where(tasks.c.number == fts.c.rowid, *rest).correlate(fts)
        statement = statement.where(looked.exists())
    return _bounded(statement, fts.c.rowid, wanted, place)


def _by_tag(history: History, wanted: TaskFilter, place: Place) -> Select[Any] | CompoundSelect[Any]:
    """Let the tags lead. Several are merged, since each has its numbers in order: common ones may seldom meet."""
    number = tags.c.number
    rest = _rest(history, wanted.model_copy(update={"tag": ()}))
    merged = intersect(*(
        select(number).where(tags.c.tag == tag, *_within(number, wanted, place)) for tag in wanted.tag
    ))  # fmt: skip
    whole = merged.selected_columns.number
    if len(wanted.tag) > 1 and not rest:
        return merged.order_by(whole if place.before is not None else whole.desc()).limit(place.limit)
    statement = select(number).where(tags.c.tag == wanted.tag[0])
    if len(wanted.tag) > 1:
        statement = statement.where(number.in_(merged.order_by(whole)))
    if rest:
        statement = statement.where(
            select(tasks.c.number).where(tasks.c.number == number, *rest).correlate(tags).exists()
        )
    return _bounded(statement, number, wanted, place)


# -- parts --------------------------------------------------------------------------------------------------------


def _own_of(wanted: TaskFilter) -> str | None:
    return next((name for name in _OWN if getattr(wanted, name) is not None), None)


def _rest(history: History, wanted: TaskFilter, own: str | None = None) -> list[ColumnElement[bool]]:
    """Return what is looked at task by task: sort, other columns, tags."""
    parts = [*_sorts(history, wanted, leads=False), *_owned(history, wanted, own)]
    return [*parts, *(_tagged(tag) for tag in wanted.tag)]


def _bounded(
    statement: Select[Any], number: ColumnElement[int], wanted: TaskFilter | None, place: Place
) -> Select[Any]:
    """Bound a statement by its place in the list, and by the filter's times where it is not bounded by them yet."""
    statement = statement.where(*_within(number, wanted, place)).limit(place.limit)
    return statement.order_by(number if place.before is not None else number.desc())


def _within(number: ColumnElement[int], wanted: TaskFilter | None, place: Place) -> Iterator[ColumnElement[bool]]:
    if wanted is not None:
        yield from _times(wanted, number)
    if place.before is not None:
        yield number > place.before
    elif place.after is not None:
        yield number < place.after


def _sorts(history: History, wanted: TaskFilter, *, leads: bool) -> Iterator[ColumnElement[bool]]:
    for name in _SORT:
        values = [str(value) for value in getattr(wanted, name)]
        if values:
            column = tasks.c[name] if leads else _without_index(history, tasks.c[name])
            yield column == values[0] if len(values) == 1 else column.in_(values)


def _owned(history: History, wanted: TaskFilter, leading: str | None) -> Iterator[ColumnElement[bool]]:
    for name in _OWN:
        value = getattr(wanted, name)
        if value is not None:
            yield (tasks.c[name] if name == leading else _without_index(history, tasks.c[name])) == value


def _tagged(tag: str) -> ColumnElement[bool]:
    return select(tags.c.tag).where(tags.c.tag == tag, tags.c.number == tasks.c.number).correlate(tasks).exists()


def _worded(wanted: TaskFilter) -> ColumnElement[bool]:
    """Look at the words of one task, which SQLite finds by its number."""
    words = select(fts.c.rowid).where(fts.c.rowid == tasks.c.number, *fts_has(read_search(wanted.text or "")))
    return words.correlate(tasks).exists()


def _times(wanted: TaskFilter, number: ColumnElement[int]) -> Iterator[ColumnElement[bool]]:
    """Bound a time by numbers as well: they follow it, and lists go by them."""
    if wanted.since is not None:
        first = select(tasks.c.number).where(tasks.c.created >= milliseconds(wanted.since))
        yield number >= first.order_by(tasks.c.created, tasks.c.number).limit(1).scalar_subquery()
    if wanted.until is not None:
        last = select(tasks.c.number).where(tasks.c.created < milliseconds(wanted.until))
        newest = last.order_by(tasks.c.created.desc(), tasks.c.number.desc()).limit(1).scalar_subquery()
        yield number <= newest


def _without_index(history: History, column: ColumnElement[Any]) -> ColumnElement[Any]:
    if not history.is_sqlite:
        return column
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


def milliseconds(when: datetime) -> int:
    """Return a time as milliseconds since 1970."""
    return int(when.timestamp() * 1000)

"""The recorder: news in batches, applied once, in one transaction with the position up to which it was."""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table, bindparam, delete, insert, select, tuple_, update

from backyard.core.errors import BackyardError
from backyard.core.news import News
from backyard.core.states import FINAL
from backyard.history.batch import COUNTED, RESOLUTIONS, Batch, Group, Row, Tally
from backyard.history.database import History
from backyard.history.search import text_index
from backyard.history.tables import (
    artifacts,
    attempts,
    audit,
    counts,
    error_groups,
    error_rollups,
    event_number,
    event_text,
    events,
    position,
    rollups,
    tags,
    tasks,
    yard_rollups,
)

#: Rows of tasks that may change again, kept between batches.
REMEMBERED = 20_000
#: Values that one question may ask for; SQLite's oldest limit is 999.
TOGETHER = 500
_FINAL: Final = {str(state) for state in FINAL}
_CHANGED: Final = [column.name for column in tasks.columns if column.name not in ("number", "task_id")]

#: Returns what the ledger has of tasks, by id; those that it has forgotten are left out.
Fetch = Callable[[Sequence[str]], Mapping[str, Mapping[str, str]]]
#: Adds to a batch's transaction what its final states set off.
Outbox = Callable[[Connection, Sequence[tuple[int, Row]]], None]


class OvertakenError(BackyardError):
    """Another keeper has recorded meanwhile; nothing of this batch was kept."""


class Recorder:
    """Writes news into a history.

    Args:
        history: The history.
        fetch: Asks the ledger for records that the news does not tell enough of.
        outbox: Called in each batch's transaction with the final states that it enters.
    """

    def __init__(self, history: History, fetch: Fetch, outbox: Outbox | None = None) -> None:
        self.history = history
        self._fetch = fetch
        self._outbox = outbox
        self._text = text_index(history)
        self._rows: OrderedDict[str, Row] = OrderedDict()
        self._event: int | None = None
        self._next_number = 1

    def position(self) -> str | None:
        """Return the id of the last event that is recorded, read anew; None in a history that has none yet.

        Raises:
            HistoryUnavailableError: The database is away.
        """
        self._rows.clear()
        with self.history.reading() as connection:
            row = connection.execute(select(position.c.event, position.c.next_number)).one_or_none()
        self._event = None if row is None else row.event
        self._next_number = 1 if row is None else row.next_number
        return None if row is None else event_text(row.event)

    def begin(self, event_id: str) -> None:
        """Say from which event on a new history is recorded.

        Raises:
            HistoryUnavailableError: The database is away.
        """
        row = {"id": 1, "event": event_number(event_id), "next_number": 1}
        with self.history.writing() as connection:
            if connection.execute(select(position.c.id)).one_or_none() is None:
                connection.execute(insert(position), [row])
        self.position()

    def record(self, news: Sequence[News]) -> str:
        """Record news that follows the position; returns the new position.

        Args:
            news: In the order of the stream.

        Raises:
            OvertakenError: Another keeper was faster; ask for the position, and go on from there.
            HistoryUnavailableError: The database is away; nothing was kept.
        """
        for part in _parts(news):
            batch = Batch(self._known({one.task_id for one in part if one.task_id}), self._next_number)
            records = self._missing(part, batch)
            for one in part:
                batch.add(one, records.get(one.task_id))
            self._write(batch, event_number(part[-1].event_id))
        return news[-1].event_id

    def different(self, records: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
        """Return the records that the history does not know, or knows in another state or attempt.

        Raises:
            HistoryUnavailableError: The database is away.
        """
        known = self._known(set(records))
        found: dict[str, Mapping[str, str]] = {}
        for task_id, record in records.items():
            row = known.get(task_id)
            standing = (record["state"], int(record.get("attempt") or 0))
            if row is None or (row["state"], row["attempt"]) != standing:
                found[task_id] = record
        return found

    def adopt(self, records: Mapping[str, Mapping[str, str]]) -> None:
        """Take tasks over from the ledger as they are, oldest first; the position stays.

        Raises:
            OvertakenError: Another keeper was faster.
            HistoryUnavailableError: The database is away; nothing was kept.
        """
        batch = Batch(self._known(set(records)), self._next_number)
        for task_id, record in records.items():
            batch.adopt(task_id, record)
        self._write(batch, self._event or 0)

    # -- what is known --------------------------------------------------------------------------------------------

    def _known(self, task_ids: set[str]) -> dict[str, Row]:
        found = {task_id: dict(self._rows[task_id]) for task_id in task_ids if task_id in self._rows}
        wanted = [task_id for task_id in task_ids if task_id not in found]
        with self.history.reading() as connection:
            for at in range(0, len(wanted), TOGETHER):
                some = wanted[at : at + TOGETHER]
                for row in connection.execute(select(tasks).where(tasks.c.task_id.in_(some))).mappings():
                    found[row["task_id"]] = dict(row)
        return found

    def _missing(self, news: Sequence[News], batch: Batch) -> Mapping[str, Mapping[str, str]]:
        """Ask the ledger for tasks that the history has never heard of, and for what was too long for the stream."""
        known, wanted = set(batch.tasks), {one.task_id for one in news if one.left_out}
        for one in news:
            if one.task_id and one.task_id not in known and "name" not in one.fields:
                wanted.add(one.task_id)
            known.add(one.task_id)
        return self._fetch(sorted(wanted)) if wanted else {}

    # -- write ----------------------------------------------------------------------------------------------------

    def _write(self, batch: Batch, event: int) -> None:
        with self.history.writing() as connection:
            # First of all: who else records waits here, and then sees that it is too late.
            ours = update(position).where(position.c.event == self._event)
            if connection.execute(ours.values(event=event, next_number=batch.next_number)).rowcount != 1:
                raise OvertakenError("Another keeper has recorded these events.")
            self._write_tasks(connection, batch)
            self._write_news(connection, batch)
            self._write_sums(connection, batch)
            if self._outbox is not None and batch.finals:
                self._outbox(connection, batch.finals)
        self._event, self._next_number = event, batch.next_number
        self._remember(batch)

    def _remember(self, batch: Batch) -> None:
        for task_id, row in batch.tasks.items():
            self._rows.pop(task_id, None)
            if row["state"] not in _FINAL:
                self._rows[task_id] = row
        while len(self._rows) > REMEMBERED:
            self._rows.popitem(last=False)

    def _write_tasks(self, connection: Connection, batch: Batch) -> None:
        rows = [batch.tasks[task_id] for task_id in batch.before]
        for old_number, number in batch.renumbered.items():
            self._text.drop(connection, [old_number])
            connection.execute(delete(tags).where(tags.c.number == old_number))
            for table in (tasks, attempts, events, artifacts):
                connection.execute(update(table).where(table.c.number == old_number).values(number=number))
        new = [row for row in rows if batch.before[row["task_id"]] is None]
        old = [row for row in rows if batch.before[row["task_id"]] is not None]
        if new:
            connection.execute(insert(tasks), new)
        for names, some in _by_change(batch.known, old).items():
            statement = update(tasks).where(tasks.c.number == bindparam("its_number"))
            given = [{"its_number": row["number"], **{f"new_{name}": row[name] for name in names}} for row in some]
            changed = connection.execute(statement.values({name: bindparam(f"new_{name}") for name in names}), given)
            if changed.rowcount != len(some):
                # An id whose task has ended, and is used anew, was deleted between the question and now.
                raise OvertakenError("Tasks of these events were deleted meanwhile.")
        self._text.put(connection, list(batch.words.values()))
        self.history.upsert(connection, tags, batch.tags)

    def _write_news(self, connection: Connection, batch: Batch) -> None:
        self.history.upsert(connection, attempts, list(batch.begun.values()))
        self.history.upsert(connection, attempts, list(batch.ended.values()))
        self.history.upsert(connection, events, batch.events)
        self.history.upsert(connection, artifacts, list(batch.artifacts.values()))
        self.history.upsert(connection, audit, batch.audit)

    def _write_sums(self, connection: Connection, batch: Batch) -> None:
        add_counts(self.history, connection, dict(batch.moved()))
        self._add_tallies(connection, batch.tallies)
        self._add_groups(connection, batch.groups)
        self._add_failures(connection, batch.failures)

    def _add_tallies(self, connection: Connection, tallies: Mapping[tuple[int, str], Tally]) -> None:
        """Add what happened in a minute to a definition's tasks: to its periods, and to those of the yard."""
        wanted: dict[tuple[int, int, str], list[Tally]] = defaultdict(list)
        in_all: dict[tuple[int, int], list[Tally]] = defaultdict(list)
        for (minute, name), tally in tallies.items():
            for resolution in RESOLUTIONS:
                start = minute - minute % (resolution * 1000)
                wanted[resolution, start, name].append(tally)
                in_all[resolution, start].append(tally)
        self._add_sums(connection, rollups, wanted)
        self._add_sums(connection, yard_rollups, in_all)

    def _add_sums(self, connection: Connection, table: Table, wanted: Mapping[tuple[Any, ...], list[Tally]]) -> None:
        keys = tuple(table.primary_key.columns)
        names = [column.name for column in keys]
        found = _those(connection, select(table), keys, list(wanted))
        known = {tuple(row[name] for name in names): row for row in found}
        rows = [
            {**dict(zip(names, key, strict=True)), **_summed(known.get(key), parts)} for key, parts in wanted.items()
        ]
        self.history.upsert(connection, table, rows)

    def _add_groups(self, connection: Connection, groups: Mapping[str, Group]) -> None:
        keys = (error_groups.c.fingerprint,)
        found = _those(connection, select(error_groups), keys, [(name,) for name in groups])
        known = {row["fingerprint"]: row for row in found}
        rows = []
        for fingerprint, group in groups.items():
            before = known.get(fingerprint)
            rows.append({
                "fingerprint": fingerprint, "name": group.name, "kind": group.kind, "type": group.type,
                "message": group.message, "first": before["first"] if before else group.first, "last": group.last,
                "count": group.count + (before["count"] if before else 0), "sample": group.sample,
            })  # fmt: skip
        self.history.upsert(connection, error_groups, rows)

    def _add_failures(self, connection: Connection, failures: Mapping[tuple[int, str], int]) -> None:
        wanted: dict[tuple[int, int, str], int] = defaultdict(int)
        for (minute, fingerprint), number in failures.items():
            for resolution in RESOLUTIONS:
                wanted[resolution, minute - minute % (resolution * 1000), fingerprint] += number
        names = ("resolution", "start", "fingerprint")
        keys = tuple(error_rollups.c[name] for name in names)
        for row in _those(connection, select(error_rollups), keys, list(wanted)):
            wanted[row["resolution"], row["start"], row["fingerprint"]] += row["count"]
        rows = [{**dict(zip(names, key, strict=True)), "count": number} for key, number in wanted.items()]
        self.history.upsert(connection, error_rollups, rows)


def _by_change(known: Mapping[str, Row], rows: Sequence[Row]) -> dict[tuple[str, ...], list[Row]]:
    """Sort rows by the columns that are not as they were: an index over others is left alone."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        before = known[row["task_id"]]
        names = tuple([name for name in _CHANGED if row[name] != before[name]])
        # One that is as it was is written nevertheless: that tells whether it is still there.
        found.setdefault(names or ("attempt",), []).append(row)
    return found


def _parts(news: Sequence[News]) -> list[list[News]]:
    """Cut news before each id that is used anew, so that a part has one life of each task."""
    parts: list[list[News]] = [[]]
    seen: set[str] = set()
    for one in news:
        if one.task_id in seen and "created" in one.fields:
            parts.append([])
            seen.clear()
        parts[-1].append(one)
        seen.add(one.task_id)
    return parts


def add_counts(history: History, connection: Connection, change: Mapping[tuple[str, str, str], int]) -> None:
    """Change how many tasks there are of each sort.

    Args:
        history: The history.
        connection: A transaction.
        change: By how many, by name, queue and state.
    """
    keys = (counts.c.name, counts.c.queue, counts.c.state)
    wanted = sorted(change)  # in one order, so that two that write never wait for each other in a circle
    found = _those(connection, select(counts), keys, wanted)
    known = {(row["name"], row["queue"], row["state"]): row["number"] for row in found}
    rows = [
        {"name": key[0], "queue": key[1], "state": key[2], "number": known.get(key, 0) + change[key]} for key in wanted
    ]
    history.upsert(connection, counts, [row for row in rows if row["number"] > 0])
    gone = [row for row in rows if row["number"] <= 0]
    if gone:
        place = [column == bindparam(f"its_{column.name}") for column in keys]
        names = ("name", "queue", "state")
        connection.execute(delete(counts).where(*place), [{f"its_{name}": row[name] for name in names} for row in gone])


def _those(connection: Connection, statement: Any, keys: Sequence[Any], wanted: Sequence[Any]) -> list[Any]:
    """Read the rows of given keys."""
    found: list[Any] = []
    for at in range(0, len(wanted), TOGETHER):
        some = wanted[at : at + TOGETHER]
        place = tuple_(*keys).in_(some) if len(keys) > 1 else keys[0].in_([one[0] for one in some])
        found += connection.execute(statement.where(place)).mappings().all()
    return found


def _summed(before: Any, parts: Sequence[Tally]) -> Row:
    row: Row = {}
    for name in COUNTED:
        row[name] = (before[name] if before else 0) + sum(part.counts[name] for part in parts)
    for name in ("waits", "runs"):
        total: dict[str, int] = json.loads(before[name]) if before else {}
        for part in parts:
            for bucket, number in getattr(part, name).items():
                total[str(bucket)] = total.get(str(bucket), 0) + number
        row[name] = json.dumps(total, separators=(",", ":"))
    return row

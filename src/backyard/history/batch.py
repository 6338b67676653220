"""What a batch of news does to the history: decided here, purely, and written by the recorder in one transaction.

Every change is absolute (what a column is from then on), so that news which is applied again leaves things as they are;
only counts of events are sums, and those the recorder's position keeps from being added twice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from backyard.core.news import AUDIT, News
from backyard.core.states import FINAL, RUNNING, State
from backyard.history.histogram import bucket_of
from backyard.history.search import spoken, words_of
from backyard.history.tables import order_number, tasks

Row = dict[str, Any]

#: Seconds of the periods that are summed up.
RESOLUTIONS: Final = (60, 3_600, 86_400)
COUNTED: Final = ("submitted", "started", "succeeded", "failed", "revoked", "retried", "lost")
_FINAL: Final = {str(state) for state in FINAL}
_RUNNING: Final = {str(state) for state in RUNNING}
_ENDS: Final = {State.SUCCESS: "succeeded", State.FAILURE: "failed", State.REVOKED: "revoked"}
_COLUMNS: Final = tuple(column.name for column in tasks.columns)
_NUMBERS: Final = {
    "created", "due", "expires", "started", "finished", "cancel", "cancel_seen", "retries_left", "attempt",
}  # fmt: skip
#: What a new life of an id has no more.
_OF_A_LIFE: Final = (
    "result", "failure", "fingerprint", "started", "finished", "progress", "cancel", "cancel_seen", "cancel_by",
    "cancel_reason", "reason", "retries_left", "due", "expires",
)  # fmt: skip
#: What is of no use for as long as a task waits for its next attempt, or has ended.
_OF_AN_END: Final = ("due", "reason", "retries_left")
LONGEST_NAME: Final = 255


@dataclass(slots=True)
class Tally:
    """What happened to the tasks of a definition in some time."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    waits: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    runs: dict[int, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(slots=True)
class Group:
    """Failures of the same cause."""

    name: str
    kind: str
    type: str
    message: str
    first: int
    last: int
    count: int
    sample: str


class Batch:
    """News, turned into rows.

    Args:
        known: Rows of the tasks that the history has already, by id.
        next_number: Number of the next new task.
    """

    def __init__(self, known: Mapping[str, Row], next_number: int) -> None:
        #: The rows as they were, and as they become.
        self.known = known
        self.tasks = {task_id: dict(row) for task_id, row in known.items()}
        self.next_number = next_number
        #: Where each task that changed was counted before; None where it is new.
        self.before: dict[str, tuple[str, str, str] | None] = {}
        self.events: list[Row] = []
        self.begun: dict[tuple[int, int], Row] = {}
        self.ended: dict[tuple[int, int], Row] = {}
        self.artifacts: dict[tuple[int, str], Row] = {}
        self.words: dict[int, Row] = {}
        self.tags: list[Row] = []
        self.tallies: dict[tuple[int, str], Tally] = defaultdict(Tally)
        self.groups: dict[str, Group] = {}
        #: Failures of each group, by the minute.
        self.failures: dict[tuple[int, str], int] = defaultdict(int)
        self.audit: list[Row] = []
        #: Final states that were entered: the event's number, and the task's row as it was then.
        self.finals: list[tuple[int, Row]] = []
        #: New numbers of tasks whose ids were used anew, by the old ones.
        self.renumbered: dict[int, int] = {}

    # -- news -----------------------------------------------------------------------------------------------------

    def add(self, news: News, record: Mapping[str, str] | None = None) -> None:
        """Take one event in.

        Args:
            news: The event.
            record: What the ledger has of the task, where the stream did not have all of it.
        """
        number = order_number(news.order)
        if news.event == AUDIT:
            self._add_audit(number, news.data)
            return
        row = self.tasks.get(news.task_id)
        fields = {**news.fields, **{name: record[name] for name in news.left_out if record and name in record}}
        if "name" in fields and news.event == "state":
            row = self._bear(news, row, fields)
        elif row is None:
            row = self._bear(news, None, {"name": "", **(record or {}), **fields})
        self._touch(row)
        at = news.order[0]
        if news.event == "state":
            self._enter(row, news, fields, at)
        elif news.event == "progress":
            row["state"], row["progress"] = news.state, json.dumps(news.data)
            return  # they are too many to be kept one by one
        elif news.event == "cancel":
            row.update(_read(fields))
        elif news.event == "artifact" and isinstance(news.data, dict):
            name = str(news.data.get("name", ""))[:LONGEST_NAME]
            self.artifacts[row["number"], name] = {
                "number": row["number"], "name": name, "data": json.dumps(news.data),
            }  # fmt: skip
        self.events.append(
            {
                "event": number, "number": row["number"], "kind": news.event[:16], "state": news.state,
                "attempt": news.attempt, "data": "null" if news.data is None else json.dumps(news.data),
            }
        )  # fmt: skip

    def adopt(self, task_id: str, record: Mapping[str, str]) -> None:
        """Take a task over from its record in the ledger, with no news of it.

        Args:
            task_id: The task.
            record: The record's fields.
        """
        row = self.tasks.get(task_id)
        if row is None:
            row = self.tasks[task_id] = self._new(task_id)
        self._touch(row)
        row.update(dict.fromkeys(_OF_A_LIFE))
        row.update(_read(record))
        row.update(state=record["state"], attempt=int(record.get("attempt") or 0), worker=record.get("worker"))
        row.update(progress=record.get("progress"), ready=row["ready"] or row["created"])
        row["fingerprint"] = _cause(row)[0] if row["failure"] and row["state"] == State.FAILURE else None
        self._index(row)
        for name, value in record.items():
            if name.startswith("artifact:"):
                short = name.removeprefix("artifact:")[:LONGEST_NAME]
                self.artifacts[row["number"], short] = {"number": row["number"], "name": short, "data": value}

    # -- steps ----------------------------------------------------------------------------------------------------

    def _bear(self, news: News, row: Row | None, fields: Mapping[str, str]) -> Row:
        """A task is accepted; an id that has ended may be used anew, and is the newest in the list then."""
        if row is None:
            row = self.tasks[news.task_id] = self._new(news.task_id)
        elif row["created"] != int(fields.get("created") or row["created"]):
            self.renumbered[row["number"]] = self.next_number
            row["number"] = self.next_number
            self.next_number += 1
        self._touch(row)
        row.update(dict.fromkeys(_OF_A_LIFE))
        row.update(_read(fields))
        row["state"], row["attempt"] = news.state, news.attempt
        row["created"] = row["created"] or news.order[0]
        self._index(row)
        if "created" in news.fields:
            self._tally(row, news.order[0]).counts["submitted"] += 1
        return row

    def _enter(self, row: Row, news: News, fields: Mapping[str, str], at: int) -> None:
        """A task enters a state."""
        state, before = news.state, row["state"]
        row.update(state=state, attempt=news.attempt)
        if state in _RUNNING:
            self._start(row, news, fields, at)
            return
        if state in _FINAL or state == State.RETRY:
            row.update(dict.fromkeys(_OF_AN_END))
            row.update(_read(fields))
            self._end(row, news, at, state)
        elif state == State.SCHEDULED:
            row.update(_read(fields))
        elif state == State.PENDING:
            row.update(dict.fromkeys(_OF_AN_END), ready=at)
            reason = (news.data or {}).get("reason")
            if reason and before in _RUNNING:
                row["progress"] = None
                self._close(row, at, str(reason), None)
                self._tally(row, at).counts["lost"] += reason in ("worker_lost", "crashed")

    def _start(self, row: Row, news: News, fields: Mapping[str, str], at: int) -> None:
        if news.state != State.STARTED:
            return
        worker = (news.data or {}).get("worker", row["worker"])
        row.update(_read(fields), worker=worker, progress=None)
        key = (row["number"], news.attempt)
        self.begun[key] = {
            "number": row["number"], "attempt": news.attempt, "worker": worker, "ready": row["ready"], "started": at,
        }  # fmt: skip
        tally = self._tally(row, at)
        tally.counts["started"] += 1
        if row["ready"]:
            tally.waits[bucket_of(at - row["ready"])] += 1

    def _end(self, row: Row, news: News, at: int, state: str) -> None:
        tally = self._tally(row, at)
        failed = state in (State.FAILURE, State.RETRY) and bool(row["failure"])
        if failed:
            self._blame(row, at)
        row["fingerprint"] = row["fingerprint"] if state in (State.FAILURE, State.RETRY) else None
        if news.attempt:
            self._close(row, at, state, row["failure"] if failed else None)
            if row["started"] and state != State.REVOKED:
                tally.runs[bucket_of(at - row["started"])] += 1
        if state == State.RETRY:
            tally.counts["retried"] += 1
            return
        tally.counts[_ENDS[State(state)]] += 1
        self.finals.append((order_number(news.order), row))
        if state == State.FAILURE:
            self._index(row)

    def _close(self, row: Row, at: int, outcome: str, failure: str | None) -> None:
        key = (row["number"], row["attempt"])
        self.ended[key] = {
            "number": row["number"], "attempt": row["attempt"], "ended": at, "outcome": outcome[:32],
            "failure": failure,
        }  # fmt: skip

    def _blame(self, row: Row, at: int) -> None:
        """Count a failed attempt with others of the same cause."""
        fingerprint, kind, type_, message = _cause(row)
        row["fingerprint"] = fingerprint
        group = self.groups.get(fingerprint)
        if group is None:
            group = self.groups[fingerprint] = Group(row["name"], kind, type_, message, at, at, 0, row["task_id"])
        group.count += 1
        group.last, group.sample, group.message = at, row["task_id"], message
        self.failures[at // 60_000 * 60_000, fingerprint] += 1

    def _add_audit(self, number: int, line: Mapping[str, Any]) -> None:
        known = {name: str(line.get(name) or "")[:LONGEST_NAME] for name in ("actor", "subject")}
        kinds = {name: str(line.get(name) or "")[:64] for name in ("verb", "kind")}
        self.audit.append({"event": number, **known, **kinds, "details": json.dumps(line.get("details") or {})})

    # -- rows -----------------------------------------------------------------------------------------------------

    def _new(self, task_id: str) -> Row:
        row: Row = dict.fromkeys(_COLUMNS)
        row.update(number=self.next_number, task_id=task_id, name="", state="", queue="", lane="normal", attempt=0)
        row["created"] = 0
        self.next_number += 1
        self.before[task_id] = None
        return row

    def _touch(self, row: Row) -> None:
        if row["task_id"] not in self.before:
            self.before[row["task_id"]] = (row["name"], row["queue"], row["state"])

    def _tally(self, row: Row, at: int) -> Tally:
        return self.tallies[at // 60_000 * 60_000, row["name"]]

    def _index(self, row: Row) -> None:
        failure = _failure(row)
        tags_of = json.loads(row["tags"]) if row["tags"] else []
        told = f"{failure.get('type', '')} {failure.get('message', '')}" if failure else None
        words = words_of(row["task_id"], row["name"], " ".join(map(str, tags_of)), told, spoken(row["input"]))
        self.words[row["number"]] = {"number": row["number"], "words": words}
        self.tags += [{"tag": str(tag)[:100], "number": row["number"]} for tag in tags_of]

    def moved(self) -> Iterable[tuple[tuple[str, str, str], int]]:
        """Return by how many each sort of task (name, queue, state) has become more or fewer."""
        change: dict[tuple[str, str, str], int] = defaultdict(int)
        for task_id, before in self.before.items():
            row = self.tasks[task_id]
            change[row["name"], row["queue"], row["state"]] += 1
            if before is not None:
                change[before] -= 1
        return [(key, by) for key, by in change.items() if by]


def _read(fields: Mapping[str, str]) -> Row:
    """Return fields of a record as columns."""
    row: Row = {}
    for name, value in fields.items():
        if name in _NUMBERS:
            row[name] = int(float(value)) if value else None
        elif name in _COLUMN_NAMES:
            row[name] = value or None
    if "name" in row:
        row["name"] = (row["name"] or "")[:LONGEST_NAME]
    for name in ("queue", "lane"):
        if name in row and row[name] is None:
            row[name] = ""
    return row


_COLUMN_NAMES: Final = frozenset(_COLUMNS) - {"number", "task_id", "state", "attempt", "progress", "fingerprint"}


def _failure(row: Row) -> Mapping[str, Any] | None:
    if not row["failure"] or row["state"] != State.FAILURE:
        return None
    try:
        known = json.loads(row["failure"])
    except ValueError:
        return None
    return known if isinstance(known, dict) else None


def _cause(row: Row) -> tuple[str, str, str, str]:
    """Return fingerprint, kind, type and message of a task's failure; one without a fingerprint is of its kind."""
    try:
        known = json.loads(row["failure"])
    except ValueError:
        known = {}
    kind = str(known.get("kind", "error"))
    fingerprint = known.get("fingerprint") or f"{kind}:{row['name']}"
    return (
        str(fingerprint)[:LONGEST_NAME], kind[:32], str(known.get("type", ""))[:LONGEST_NAME],
        str(known.get("message", ""))[:2_000],
    )  # fmt: skip

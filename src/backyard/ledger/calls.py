"""What can be asked of the ledger: each question built, and its answer read, in one place and without I/O.

:class:`~backyard.ledger.ledger.Ledger` sends them, from threads and from event loops alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from backyard.core.states import FINAL, MOVES, State, Verb
from backyard.ledger.events import News, read_entry
from backyard.ledger.keys import Keys
from backyard.ledger.record import Record, read_record
from backyard.ledger.scripts import Script, script

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Word = str | bytes | int | float

#: What a running attempt says of itself, and nothing has to happen in a queue for.
SPOKEN = frozenset({Verb.PROGRESS, Verb.SUCCEED, Verb.FAIL, Verb.STOP})
LOG_LINES = 1_000
LIST_STEPS = 2_000
REPLAY_STEPS = 2_000
#: A task whose process or worker died under it this often in a row ends as FAILURE ``worker_lost``.
LOSSES = 3


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """A question to the ledger.

    Args:
        words: The command, or a script's arguments after its key.
        read: Turns the server's answer into ours.
        script: The script to run; None for a plain command.
    """

    words: Sequence[Word]
    read: Callable[[Any], T_co]
    script: Script | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """A task to be accepted.

    Args:
        task_id: Its id, made before sending, so that sending it twice makes one task.
        name: The definition's name.
        queue: The queue's name.
        lane: Which lane of the queue: high, normal or low.
        message: The Celery message, as the worker is to receive it.
        lifetime: Seconds the record is kept once final.
        due: Empty for now, ``+n`` in n milliseconds, or milliseconds since 1970.
        expires: When a task that has not started ends, written like ``due``.
        again: Celery's own rule for ids: a final task runs anew.
        attempt: The running attempt that sends its own task anew, for a retry.
        once: An Idempotency-Key.
        fingerprint: What a second use of that key must agree with.
        once_lifetime: Seconds the key is remembered.
        fields: What else the record holds, such as input and tags.
    """

    task_id: str
    name: str
    queue: str
    lane: str
    message: bytes
    lifetime: int
    due: str = ""
    expires: str = ""
    again: bool = False
    attempt: int | None = None
    once: str = ""
    fingerprint: str = ""
    once_lifetime: int = 0
    fields: Mapping[str, Word] = field(default_factory=dict)

    def words(self) -> list[Word]:
        """Return the submission in the order ``submit.lua`` reads it."""
        fields: list[Word] = ["name", self.name, "lifetime", self.lifetime]
        for name, value in self.fields.items():
            fields += (name, value)
        mode = "once" if not self.again else "again" if self.attempt is None else f"again {self.attempt}"
        return [
            self.task_id, mode, self.queue, self.lane, self.due, self.expires,
            self.once, self.fingerprint, self.once_lifetime, self.message, len(fields), *fields,
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a submission.

    Args:
        outcome: ``created``, ``exists`` (that id or key made a task before), ``retried`` or ``conflict``.
        task_id: The task's id; the earlier task's where the key was used before.
        state: Its state.
    """

    outcome: str
    task_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The answer to a move.

    Args:
        outcome: ``moved``, ``repeated`` (sent twice, applied once), ``refused``, ``stale`` or ``unknown``.
        state: Where the task stands.
        attempt: Its latest attempt.
        cancel: Whether the task has been told to stop.
    """

    outcome: str
    state: str
    attempt: int
    cancel: bool = False

    @property
    def applied(self) -> bool:
        """Whether the move holds."""
        return self.outcome in ("moved", "repeated")


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to a start: the attempt's number, or why there is none."""

    attempt: int | None
    reason: str = ""


class Calls:
    """Builds calls for one yard.

    Args:
        keys: The yard's keys.
        events_kept: Events kept on the stream, about.
    """

    def __init__(self, keys: Keys, events_kept: int) -> None:
        self.keys = keys
        self.events_kept = events_kept

    def _run(self, name: str, words: Iterable[Word], read: Callable[[Any], T]) -> Call[T]:
        return Call(list(words), read, script(name))

    def submit(self, submissions: Sequence[Submission]) -> Call[list[Accepted]]:
        """Accept tasks: record, queue entry and event of each at once."""
        words: list[Word] = [self.events_kept]
        for submission in submissions:
            words += submission.words()
        return self._run("submit", words, lambda rows: [Accepted(*(_text(part) for part in row)) for row in rows])

    def start(self, task_id: str, entry: str, token: str, worker: str, losses: int = LOSSES) -> Call[Started]:
        """Begin an attempt.

        Args:
            task_id: The task.
            entry: The queue entry that was taken (``<lane>/<entry id>``); empty where unknown.
            token: Unique to this start, so that repeating it after a lost answer counts once.
            worker: The worker's name.
            losses: How often the task may be lost with its process or worker.
        """

        def read(row: list[Any]) -> Started:
            word = _text(row[0])
            return Started(int(row[1])) if word == "started" else Started(None, word)

        return self._run("start", [self.events_kept, task_id, entry, token, worker, losses], read)

    def move(
        self,
        verb: Verb,
        task_id: str,
        *,
        attempt: int,
        event: str = "state",
        data: str = "null",
        fields: Mapping[str, Word] | None = None,
    ) -> Call[Moved]:
        """Apply a row of the state table that the running attempt speaks.

        Args:
            verb: The row; those that also move a queue entry have scripts of their own.
            task_id: The task.
            attempt: The attempt that speaks.
            event: The event's name.
            data: The event's data, as JSON.
            fields: What the record is to hold from now on.
        """
        row = MOVES[verb]
        if verb not in SPOKEN:
            raise ValueError(f"{verb} moves a queue entry as well: it has a script of its own.")
        words: list[Word] = [
            self.events_kept, task_id, _states(row.leaves), row.enters, attempt,
            "1" if row.enters in FINAL else "0", event, data,
        ]  # fmt: skip
        for name, value in (fields or {}).items():
            words += (name, value)
        return self._run("move", words, _moved)

    def settle(
        self,
        task_id: str,
        state: State,
        *,
        attempt: int | None,
        lifetime: int,
        data: str,
        fields: Mapping[str, Word],
        entry: str = "",
    ) -> Call[str]:
        """Record what one of Celery's own callers reports of any id; returns ``moved`` or why not.

        Args:
            task_id: The task.
            state: What is reported.
            attempt: The attempt that speaks, if one does.
            lifetime: Seconds to keep a record that is made here.
            data: The event's data, as JSON.
            fields: What the record is to hold from now on.
            entry: The queue entry (``<lane>/<entry id>``) that the speaker holds, if it holds one.
        """
        event = "progress" if state is State.PROGRESS else "state"
        words: list[Word] = [
            self.events_kept, task_id, state, "1" if state in FINAL else "0", "" if attempt is None else attempt,
            event, data, lifetime, entry,
        ]  # fmt: skip
        for name, value in fields.items():
            words += (name, value)
        return self._run("settle", words, lambda row: _text(row[0]))

    def cancel(self, task_ids: Sequence[str]) -> Call[list[str]]:
        """Cancel tasks; each answer is ``cancelled``, ``requested``, ``final`` or ``unknown``."""
        return self._run("cancel", [self.events_kept, *task_ids], lambda rows: [_text(row[0]) for row in rows])

    def note(
        self,
        task_id: str,
        attempt: int,
        event: str,
        data: str,
        *,
        logged: bool = False,
        fields: Mapping[str, Word] | None = None,
    ) -> Call[bool]:
        """Add news that moves nothing; False where the attempt is no longer the running one."""
        words: list[Word] = [self.events_kept, task_id, attempt, event, data, "1" if logged else "0", LOG_LINES]
        for name, value in (fields or {}).items():
            words += (name, value)
        return self._run("note", words, lambda row: _text(row[0]) == "noted")

    def record(self, task_id: str) -> Call[Record | None]:
        """Read a record."""
        return Call(["HGETALL", self.keys.task(task_id)], lambda row: read_record(task_id, _pairs(row)))

    def records(self, task_ids: Sequence[str]) -> Call[list[Record]]:
        """Read records; ids without one are left out. The driver takes 20 us for each command, so that it is one."""

        def read(rows: list[Any]) -> list[Record]:
            found = (read_record(task_id, _pairs(row)) for task_id, row in zip(task_ids, rows, strict=True))
            return [record for record in found if record is not None]

        return self._run("records", task_ids, read)

    def cancel_flag(self, task_id: str) -> Call[bool]:
        """Ask whether a running task has been told to stop."""
        return Call(["HGET", self.keys.task(task_id), "cancel"], bool)

    def forget(self, task_id: str) -> Call[int]:
        """Delete a record."""
        return Call(["DEL", self.keys.task(task_id), self.keys.log(task_id)], int)

    def log(self, task_id: str) -> Call[list[Any]]:
        """Read the log lines of a task, oldest first."""
        return Call(["LRANGE", self.keys.log(task_id), 0, -1], lambda rows: [json.loads(row) for row in rows])

    def listing(
        self, states: Sequence[State], name: str, limit: int, cursor: tuple[str, str] | None
    ) -> Call[tuple[tuple[str, str] | None, list[str]]]:
        """Find ids, newest first; returns the cursor to go on from, None at the end, and the ids found so far."""

        def read(row: list[Any]) -> tuple[tuple[str, str] | None, list[str]]:
            score, last = _text(row[0]), _text(row[1])
            return ((score, last) if last else None), [_text(found) for found in row[2]]

        score, last = cursor or ("", "")
        wanted = _states(states) if states else ""
        return self._run("list", [wanted, name, limit, LIST_STEPS, score, last], read)

    def replay(self, task_id: str, after: str) -> Call[tuple[str, list[News]]]:
        """Read one task's events after an event id; returns the id to go on from, empty at the end."""

        def read(row: list[Any]) -> tuple[str, list[News]]:
            return _text(row[0]), [read_entry(entry[0], entry[1]) for entry in row[1]]

        return self._run("replay", [task_id, after, REPLAY_STEPS], read)

    def depth(self, queues: Sequence[str]) -> Call[dict[str, int]]:
        """Count ready entries of queues."""
        return self._run("depth", queues, lambda rows: dict(zip(queues, map(int, rows), strict=True)))

    def declare(self, queue: str) -> Call[int]:
        """Make a queue known."""
        return Call(["SADD", self.keys.queues, queue], int)

    def known(self, queue: str) -> Call[bool]:
        """Ask whether a queue is known."""
        return Call(["SISMEMBER", self.keys.queues, queue], bool)

    def drop_queue(self, queue: str) -> Call[int]:
        """Delete a queue, after its ready entries were discarded."""
        return self._run("drop_queue", [queue], int)

    def queues(self) -> Call[list[str]]:
        """List the names of queues."""
        return Call(["SMEMBERS", self.keys.queues], lambda rows: sorted(_text(row) for row in rows))

    def take(self, consumer: str, most: int, lease: float, queues: Sequence[str]) -> Call[list[list[bytes]]]:
        """Hand entries to a consumer without waiting."""
        return self._run("take", [consumer, most, int(lease * 1000), *queues], list)

    def acknowledge(self, entries: Sequence[tuple[str, str, str]]) -> Call[int]:
        """Drop entries (queue, lane, entry id) that were dealt with."""
        return self._run("acknowledge", [word for entry in entries for word in entry], int)

    def give_back(self, entries: Sequence[tuple[str, str, str]], reason: str) -> Call[int]:
        """Give entries (queue, lane, entry id) back to the head of their queue."""
        words: list[Word] = [self.events_kept, reason, *(word for entry in entries for word in entry)]
        return self._run("give_back", words, int)

    def set_aside(self, queue: str, lane: str, entry: str, reason: str, kind: str = "Rejected") -> Call[str]:
        """Move an entry that no worker can run to the dead-letter stream, and end the task that waits for it.

        Args:
            queue: The queue.
            lane: Its lane.
            entry: The entry's id.
            reason: Why, for people.
            kind: The failure's type, as the task's record is to show it.
        """
        failure = json.dumps({"kind": "error", "type": kind, "message": reason})
        return self._run("set_aside", [self.events_kept, queue, lane, entry, reason, failure], _text)

    def put(self, queue: str, lane: str, message: bytes) -> Call[bytes]:
        """Queue a message that is no task."""
        return self._run("put", [queue, lane, message], bytes)

    def purge(self, queue: str, most: int) -> Call[int]:
        """Discard ready entries."""
        return self._run("purge", [self.events_kept, queue, most], int)

    def renew(self, lease: float, living: Sequence[str], retired: Sequence[str]) -> Call[list[str]]:
        """Renew the leases of a process's consumers; returns the retired ones that hold nothing any more."""
        words: list[Word] = [self.events_kept, int(lease * 1000), len(living), *living, *retired]
        return self._run("renew", words, lambda rows: [_text(row) for row in rows])

    def reap(self, most: int) -> Call[int]:
        """Take back what dead consumers hold; returns how many entries."""
        return self._run("reap", [self.events_kept, most], int)

    def promote(self, most: int) -> Call[int]:
        """Queue what is due; returns how many tasks."""
        return self._run("promote", [self.events_kept, most], int)

    def sweep(self, offset: int, most: int) -> Call[tuple[int, int]]:
        """Forget index rows without a record; returns rows looked at and removed."""
        return self._run("sweep", [offset, most], lambda row: (int(row[0]), int(row[1])))

    def ping(self) -> Call[bool]:
        """Ask whether the server answers."""
        return Call(["PING"], bool)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _states(states: Iterable[State]) -> str:
    return "," + ",".join(sorted(states)) + ","


def _moved(row: list[Any]) -> Moved:
    return Moved(_text(row[0]), _text(row[1]), int(row[2]), bool(len(row) > 3 and int(row[3])))  # noqa: PLR2004 - the flag comes fourth


def _pairs(row: Any) -> Mapping[bytes, bytes]:
    """Read a hash, which the server sends as a map (RESP3) or as a flat list (RESP2)."""
    return row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True))

"""What can be asked of tasks: submit, start, move, cancel, read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backyard.core.states import FINAL, MOVES, State, Verb
from backyard.ledger.call import Call, CallBuilder, Word, pairs_of, states_of, text_of
from backyard.ledger.events import News, read_entry
from backyard.ledger.record import Record, read_record
from backyard.ledger.submission import Accepted, Submission

#: What a running attempt says of itself, and nothing has to happen in a queue for.
SPOKEN = frozenset({Verb.PROGRESS, Verb.SUCCEED, Verb.FAIL, Verb.STOP})
LOG_LINES = 1_000
LIST_STEPS = 2_000
REPLAY_STEPS = 2_000
#: A task whose process or worker died under it this often in a row ends as FAILURE ``worker_lost``.
LOSSES = 3


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


class TaskCalls(CallBuilder):
    """Calls about tasks and their records."""

    def submit(self, submissions: Sequence[Submission]) -> Call[list[Accepted]]:
        """Accept tasks: record, queue entry and event of each at once."""
        words: list[Word] = [self.events_kept]
        for submission in submissions:
            words += submission.words()
        return self._run("submit", words, lambda rows: [Accepted(*(text_of(part) for part in row)) for row in rows])

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
            word = text_of(row[0])
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
            self.events_kept, task_id, states_of(row.leaves), row.enters, attempt,
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
        return self._run("settle", words, lambda row: text_of(row[0]))

    def cancel(self, task_ids: Sequence[str]) -> Call[list[str]]:
        """Cancel tasks; each answer is ``cancelled``, ``requested``, ``final`` or ``unknown``."""
        return self._run("cancel", [self.events_kept, *task_ids], lambda rows: [text_of(row[0]) for row in rows])

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
        return self._run("note", words, lambda row: text_of(row[0]) == "noted")

    def record(self, task_id: str) -> Call[Record | None]:
        """Read a record."""
        return Call(["HGETALL", self.keys.task(task_id)], lambda row: read_record(task_id, pairs_of(row)))

    def records(self, task_ids: Sequence[str]) -> Call[list[Record]]:
        """Read records; ids without one are left out. The driver takes 20 us for each command, so that it is one."""

        def read(rows: list[Any]) -> list[Record]:
            found = (read_record(task_id, pairs_of(row)) for task_id, row in zip(task_ids, rows, strict=True))
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
            score, last = text_of(row[0]), text_of(row[1])
            return ((score, last) if last else None), [text_of(found) for found in row[2]]

        score, last = cursor or ("", "")
        wanted = states_of(states) if states else ""
        return self._run("list", [wanted, name, limit, LIST_STEPS, score, last], read)

    def replay(self, task_id: str, after: str) -> Call[tuple[str, list[News]]]:
        """Read one task's events after an event id; returns the id to go on from, empty at the end."""

        def read(row: list[Any]) -> tuple[str, list[News]]:
            return text_of(row[0]), [read_entry(entry[0], entry[1]) for entry in row[1]]

        return self._run("replay", [task_id, after, REPLAY_STEPS], read)


def _moved(row: list[Any]) -> Moved:
    return Moved(text_of(row[0]), text_of(row[1]), int(row[2]), bool(len(row) > 3 and int(row[3])))  # noqa: PLR2004 - the flag comes fourth

"""What can be asked of tasks: submit, start, move, read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backyard.core.models import FailureKind
from backyard.core.news import News
from backyard.core.policy import Policy
from backyard.core.states import FINAL, MOVES, State, Verb
from backyard.ledger.call import Call, CallBuilder, Word, pairs_of, states_of, text_of
from backyard.ledger.events import read_entry
from backyard.ledger.limit_calls import Limit
from backyard.ledger.record import Record, read_record
from backyard.ledger.submission import Accepted, Submission, read_accepted

#: What a running attempt says of itself, and nothing has to happen in a queue for.
SPOKEN = frozenset({Verb.PROGRESS, Verb.SUCCEED, Verb.FAIL, Verb.STOP})
LOG_LINES = 1_000
LIST_STEPS = 2_000
REPLAY_STEPS = 2_000
#: A task that took its worker with it this often in a row, or its own process, ends as FAILURE ``quarantined``. There
#: are many reasons for a worker to die, and a long task that meets several is unlucky, not poison.
LOSSES = 10
CRASHES = 3


@dataclass(frozen=True, slots=True)
class Deaths:
    """How often a task may take its worker or its own process with it.

    Args:
        losses: Times its worker may be lost, in a row.
        crashes: Times its process may die, in a row.
        kind: What it ends as then.
    """

    losses: int = LOSSES
    crashes: int = CRASHES
    kind: FailureKind = FailureKind.QUARANTINED

    def of(self, policy: Policy) -> Deaths:
        """Return what holds for a definition; what its policy leaves open is the yard's."""
        if policy.loss_limit is None and policy.crash_limit is None:
            return self
        return Deaths(policy.loss_limit or self.losses, policy.crash_limit or self.crashes, self.kind)


#: For tasks that are to run at most once.
ONCE = Deaths(1, 1, FailureKind.WORKER_LOST)
_DEATHS = Deaths()
_LEAVES = {verb: states_of(MOVES[verb].leaves) for verb in SPOKEN}


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
        """Accept tasks: record, queue entry and event of each at once; raises QueueFullError where they do not fit."""
        words: list[Word] = [self.events_kept]
        for submission in submissions:
            words += submission.words()
        return self._run("submit", words, read_accepted)

    def start(
        self, task_id: str, entry: str, token: str, worker: str, deaths: Deaths = _DEATHS, limits: Sequence[Limit] = ()
    ) -> Call[Started]:
        """Begin an attempt.

        Args:
            task_id: The task.
            entry: The queue entry that was taken (``<lane>/<entry id>``); empty where unknown.
            token: Unique to this start, so that repeating it after a lost answer counts once.
            worker: The worker's name.
            deaths: How often it may take its process or worker with it.
            limits: What it is under, from the narrowest limit to the widest.
        """

        def read(row: list[Any]) -> Started:
            word = text_of(row[0])
            return Started(int(row[1])) if word == "started" else Started(None, word)

        words: list[Word] = [
            self.events_kept, task_id, entry, token, worker, deaths.losses, deaths.crashes, deaths.kind,
            *(word for limit in limits for word in limit.words()),
        ]  # fmt: skip
        return self._run("start", words, read)

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
            self.events_kept, task_id, _LEAVES[verb], row.enters, attempt,
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
        lifetime: int | None,
        data: str,
        fields: Mapping[str, Word],
        entry: str = "",
    ) -> Call[str]:
        """Record what one of Celery's own callers reports of any id; returns ``moved`` or why not.

        Args:
            task_id: The task.
            state: What is reported.
            attempt: The attempt that speaks, if one does.
            lifetime: Seconds to keep a record that is made here; None to make none, and to answer ``unknown``.
            data: The event's data, as JSON.
            fields: What the record is to hold from now on.
            entry: The queue entry (``<lane>/<entry id>``) that the speaker holds, if it holds one.
        """
        event = "progress" if state is State.PROGRESS else "state"
        words: list[Word] = [
            self.events_kept, task_id, state, "1" if state in FINAL else "0", "" if attempt is None else attempt,
            event, data, "" if lifetime is None else lifetime, entry,
        ]  # fmt: skip
        for name, value in fields.items():
            words += (name, value)
        return self._run("settle", words, lambda row: text_of(row[0]))

    def note(
        self,
        task_id: str,
        attempt: int,
        event: str,
        data: str,
        *,
        fields: Mapping[str, Word] | None = None,
    ) -> Call[bool]:
        """Add news that moves nothing; False where the attempt is no longer the running one."""
        words: list[Word] = [self.events_kept, task_id, attempt, event, data]
        for name, value in (fields or {}).items():
            words += (name, value)
        return self._run("note", words, lambda row: text_of(row[0]) == "noted")

    def add_lines(self, task_id: str, attempt: int, lines: Sequence[Word]) -> Call[bool]:
        """Add lines to a task's log, each an event of its own; False where the attempt is no longer the running one.

        Args:
            task_id: The task.
            attempt: The attempt that speaks.
            lines: JSON objects, oldest first.
        """
        words: list[Word] = [self.events_kept, task_id, attempt, LOG_LINES, *lines]
        return self._run("log", words, lambda row: text_of(row[0]) == "noted")

    def record(self, task_id: str) -> Call[Record | None]:
        """Read a record."""
        return Call(["HGETALL", self.keys.task(task_id)], lambda row: read_record(task_id, pairs_of(row)))

    def records(self, task_ids: Sequence[str]) -> Call[list[Record]]:
        """Read records; ids without one are left out. The driver takes 20 us for each command, so that it is one."""

        def read(rows: list[Any]) -> list[Record]:
            found = (read_record(task_id, pairs_of(row)) for task_id, row in zip(task_ids, rows, strict=True))
            return [record for record in found if record is not None]

        return self._run("records", task_ids, read)

    def forget(self, task_id: str) -> Call[int]:
        """Delete a record."""
        return Call(["DEL", self.keys.task(task_id), self.keys.log(task_id), self.keys.children(task_id)], int)

    def forget_ended(self, task_ids: Sequence[str]) -> Call[list[bool]]:
        """Delete the records of tasks that have ended; for each, whether it is gone: one that has not ended stays."""
        return self._run("forget", task_ids, lambda row: [bool(int(gone)) for gone in row])

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

        return self._run("replay", [after, REPLAY_STEPS, task_id], read)

    def replays(self, task_ids: Sequence[str], after: str) -> Call[tuple[str, list[News], list[str]]]:
        """Read the events of several tasks after an event id, in one pass over the stream.

        Args:
            task_ids: The tasks.
            after: The id; empty begins with the first event of the oldest of them.

        Returns:
            The id to go on from, empty at the end; the events; and the tasks' states, empty where there is no record.
        """

        def read(row: list[Any]) -> tuple[str, list[News], list[str]]:
            news = [read_entry(entry[0], entry[1]) for entry in row[1]]
            return text_of(row[0]), news, [text_of(state) for state in row[2]]

        return self._run("replay", [after, REPLAY_STEPS, *task_ids], read)


def _moved(row: list[Any]) -> Moved:
    return Moved(text_of(row[0]), text_of(row[1]), int(row[2]), bool(len(row) > 3 and int(row[3])))  # noqa: PLR2004 - the flag comes fourth

"""What can be asked of schedules: keep, read, drop, fire. What changes one is guarded by the version read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backyard.core.schedule import ScheduleSpec, ScheduleState
from backyard.core.states import FINAL
from backyard.ledger.call import Call, CallBuilder, Word, text_of
from backyard.ledger.submission import Accepted, Submission, read_accepted

#: Schedules of a yard; whoever lists them reads all.
MOST_SCHEDULES = 5_000


@dataclass(frozen=True, slots=True)
class KeptSchedule:
    """A schedule as the ledger has it.

    Args:
        schedule_id: Its id.
        version: Which of its states this is; changes are made to the one that was read, or not at all.
        spec: What it is to do.
        state: What is known of it.
        previous_final: Whether its latest task has come to its end, or there is none any more.
    """

    schedule_id: str
    version: str
    spec: ScheduleSpec
    state: ScheduleState
    previous_final: bool


@dataclass(frozen=True, slots=True)
class Fired:
    """The answer to a fire.

    Args:
        outcome: ``fired``, ``stale`` (another was faster) or ``full`` (the queue has no room); nothing was done then.
        accepted: The tasks.
    """

    outcome: str
    accepted: list[Accepted]


@dataclass(frozen=True, slots=True)
class DueSchedules:
    """What a keeper is to look at.

    Args:
        kept: Schedules whose time has come; unreadable ones are left out.
        unreadable: Ids of those.
        next_look: When to look at the first of the others, in milliseconds since 1970; None where nothing is to come.
    """

    kept: list[KeptSchedule]
    unreadable: list[str]
    next_look: float | None


class ScheduleCalls(CallBuilder):
    """Calls about schedules."""

    def save_schedule(
        self, schedule_id: str, version: str, spec: ScheduleSpec, state: ScheduleState, look: datetime | None
    ) -> Call[str]:
        """Make or change a schedule; returns ``saved``, ``stale`` or ``full``.

        Args:
            schedule_id: Its id.
            version: The version that was read; empty where there is to be none.
            spec: What it is to do.
            state: What is known of it.
            look: When a keeper is to look at it; None where nothing is to come.
        """
        words: list[Word] = [
            schedule_id, version, _score(look), MOST_SCHEDULES, spec.model_dump_json(), _dump(state),
        ]  # fmt: skip
        return self._run("save_schedule", words, lambda row: text_of(row[0]))

    def drop_schedule(self, schedule_id: str, version: str) -> Call[bool]:
        """Delete a schedule; False where another has changed it meanwhile."""
        return self._run("drop_schedule", [schedule_id, version], bool)

    def schedule(self, schedule_id: str) -> Call[KeptSchedule | None]:
        """Read a schedule; None where there is none."""
        return self._run("schedules", [schedule_id], lambda rows: _read(rows[0]) if rows else None)

    def schedules(self) -> Call[list[KeptSchedule]]:
        """Read all schedules, by id."""

        def read(rows: list[Any]) -> list[KeptSchedule]:
            found = [one for one in map(_readable, rows) if one is not None]
            return sorted(found, key=lambda one: one.schedule_id)

        return self._run("schedules", [], read)

    def due_schedules(self, now: float, most: int) -> Call[DueSchedules]:
        """Find the schedules that are to be looked at.

        Args:
            now: The time, in seconds since 1970.
            most: Schedules at once.
        """

        def read(answer: list[Any]) -> DueSchedules:
            first, *rows = answer
            found = [(text_of(row[0]), _readable(row)) for row in rows]
            score = float(text_of(first) or "inf")
            return DueSchedules(
                [one for _, one in found if one is not None],
                [schedule_id for schedule_id, one in found if one is None],
                None if score == float("inf") else score,
            )

        return self._run("due_schedules", [int(now * 1000), most], read)

    def fire(
        self,
        kept: KeptSchedule,
        state: ScheduleState,
        look: datetime | None,
        submissions: Sequence[Submission],
        *,
        cancel: bool = False,
    ) -> Call[Fired]:
        """Submit ticks of a schedule and note what becomes of it, in one step.

        Args:
            kept: The schedule as it was read.
            state: What is known of it from then on.
            look: When a keeper is to look at it again; None where nothing is to come.
            submissions: The ticks' tasks; none only notes.
            cancel: Whether the task of the tick before is cancelled.
        """

        def read(row: list[Any]) -> Fired:
            outcome = text_of(row[0])
            return Fired(outcome, read_accepted(row[1]) if outcome == "fired" else [])

        previous = (kept.state.last_task or "") if cancel else ""
        words: list[Word] = [
            self.events_kept, kept.schedule_id, kept.version, _score(look), _dump(state), previous,
        ]  # fmt: skip
        for submission in submissions:
            words += submission.words()
        return self._run("fire", words, read)


def _score(look: datetime | None) -> str:
    return "+inf" if look is None else f"{look.timestamp() * 1000:.0f}"


def _dump(state: ScheduleState) -> str:
    return state.model_dump_json(exclude={"last_task"}, exclude_defaults=True)


def _read(row: Sequence[Any]) -> KeptSchedule:
    schedule_id, version, spec, state, last_task, task_state = map(text_of, row)
    known = ScheduleState.model_validate_json(state)
    return KeptSchedule(
        schedule_id,
        version,
        ScheduleSpec.model_validate_json(spec),
        known.model_copy(update={"last_task": last_task or None}),
        task_state == "" or task_state in FINAL,
    )


def _readable(row: Sequence[Any]) -> KeptSchedule | None:
    """Read a schedule, or return None where a newer Backyard wrote it in words that this one does not know."""
    try:
        return _read(row)
    except ValueError:
        return None

"""What is done to schedules, step by step and without I/O: each plan yields calls to the ledger and gets their answers.

So threads and event loops share them. What a plan changes, it changes as it has read it: where a keeper or somebody
else was faster, the ledger says so, and the plan reads again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from backyard.core.definition import Definition
from backyard.core.errors import (
    InvalidInputError,
    LedgerUnavailableError,
    ScheduleConflictError,
    UnknownScheduleError,
)
from backyard.core.queue import Pause
from backyard.core.schedule import (
    KINDS,
    SchedulePreview,
    ScheduleSpec,
    ScheduleState,
    ScheduleView,
    parse_spec,
    view_of,
)
from backyard.core.schedule_checks import check_jitter, check_times, preview
from backyard.core.schedule_rules import changed_state, first_look, resumed_state
from backyard.core.secrets import masked
from backyard.ledger.call import Call
from backyard.ledger.calls import Calls
from backyard.ledger.schedule_calls import MOST_SCHEDULES, KeptSchedule
from backyard.ledger.submission import Accepted
from backyard.schedules.ticking import fitted, tick_submission
from backyard.settings import Settings

T = TypeVar("T")
Plan = Generator[Call[Any], Any, T]
Change = Callable[[KeptSchedule, datetime], tuple[ScheduleSpec, ScheduleState]]

#: Times that a change is tried anew when others were faster; a keeper writes once a second at most.
_TRIES = 20


def shown(kept: KeptSchedule) -> ScheduleView:
    """Return a schedule as people see it, without the secrets of its input."""
    return view_of(kept.schedule_id, kept.spec, kept.state, masked(kept.spec.input))


class Plans:
    """The plans of one yard.

    Args:
        calls: The ledger's calls.
        definition: Returns a definition by name, or raises UnknownDefinitionError.
        settings: The yard's settings.
    """

    def __init__(self, calls: Calls, definition: Callable[[str], Definition], settings: Settings) -> None:
        self.calls = calls
        self.definition = definition
        self.settings = settings

    def now(self) -> Plan[datetime]:
        """Ask the server for its time: no other clock decides."""
        seconds: float = yield self.calls.clock()
        return datetime.fromtimestamp(seconds, UTC)

    def read(self, schedule_id: str) -> Plan[KeptSchedule]:
        """Read a schedule, or raise UnknownScheduleError."""
        kept: KeptSchedule | None = yield self.calls.schedule(schedule_id)
        if kept is None:
            raise UnknownScheduleError(f"There is no schedule '{schedule_id[:128]}'. GET /schedules lists them.")
        return kept

    def list_all(self) -> Plan[list[ScheduleView]]:
        """Read all schedules, by id."""
        found: list[KeptSchedule] = yield self.calls.schedules()
        return [shown(kept) for kept in found]

    def view(self, schedule_id: str) -> Plan[ScheduleView]:
        """Read one schedule."""
        return shown((yield from self.read(schedule_id)))

    def ticks(self, schedule_id: str, count: int) -> Plan[SchedulePreview]:
        """Say when a schedule ticks next."""
        kept = yield from self.read(schedule_id)
        if kept.state.next is None:
            return SchedulePreview(description=kept.spec.words(), ticks=[])
        return preview(schedule_id, kept.spec, kept.state.next, kept.state.created, count)

    def preview(self, spec: ScheduleSpec, count: int) -> Plan[SchedulePreview]:
        """Say when a schedule that is not there would tick, after the same checks as if it were made."""
        now = yield from self.now()
        spec = self._checked(spec, now)
        return preview("", spec, now, now.replace(microsecond=0), count)

    def create(self, spec: ScheduleSpec, schedule_id: str | None) -> Plan[ScheduleView]:
        """Make a schedule."""
        now = yield from self.now()
        spec = self._checked(spec, now)
        chosen = schedule_id or f"{spec.name[:80]}-{uuid.uuid4().hex[:8]}"
        kept = new_schedule(chosen, spec, now)
        outcome: str = yield self._save(kept, now)
        if outcome == "full":
            raise InvalidInputError(f"The yard has {MOST_SCHEDULES:,} schedules, the most it may. Delete some first.")
        if outcome == "stale":
            # Where the answer to the first try was lost, the schedule that is there is this one.
            there = yield from self.read(chosen)
            if (there.spec, there.state.updated) != (spec, now):
                raise ScheduleConflictError(f"There is a schedule '{chosen}' already. Change that, or use another id.")
        return shown((yield from self.read(chosen)))

    def update(self, schedule_id: str, changes: Mapping[str, Any]) -> Plan[ScheduleView]:
        """Change some fields of a schedule."""

        def change(kept: KeptSchedule, now: datetime) -> tuple[ScheduleSpec, ScheduleState]:
            _check_free(kept, "change it there")
            spec = self._restored(merged(kept.spec, changes), kept.spec)
            if not spec.same_times(kept.spec):
                check_times(spec, now)
            check_jitter(spec, now)
            spec = fitted(self.definition(spec.name), spec)
            return spec, changed_state(kept.spec, spec, kept.state, now)

        return (yield from self.apply(schedule_id, change))

    def delete(self, schedule_id: str) -> Plan[None]:
        """Delete a schedule."""
        for _ in range(_TRIES):
            kept = yield from self.read(schedule_id)
            _check_free(kept, "take the line away there")
            dropped: bool = yield self.calls.drop_schedule(schedule_id, kept.version)
            if dropped:
                return
        raise _contended(schedule_id)

    def pause(self, schedule_id: str, reason: str) -> Plan[ScheduleView]:
        """Let a schedule rest; of one that rests, only the reason is new."""

        def change(kept: KeptSchedule, now: datetime) -> tuple[ScheduleSpec, ScheduleState]:
            since = kept.state.paused.since if kept.state.paused else now
            return kept.spec, kept.state.model_copy(
                update={"paused": Pause(since=since, reason=reason), "updated": now}
            )

        return (yield from self.apply(schedule_id, change))

    def resume(self, schedule_id: str) -> Plan[ScheduleView]:
        """Let a schedule go on."""

        def change(kept: KeptSchedule, now: datetime) -> tuple[ScheduleSpec, ScheduleState]:
            return kept.spec, kept.state if kept.state.paused is None else resumed_state(kept.spec, kept.state, now)

        return (yield from self.apply(schedule_id, change))

    def run_now(self, schedule_id: str) -> Plan[Accepted]:
        """Submit a task of a schedule beside its ticks."""
        kept = yield from self.read(schedule_id)
        ready = tick_submission(self.definition(kept.spec.name), kept.spec, schedule_id, None, self.settings)
        try:
            accepted: list[Accepted] = yield self.calls.submit([ready])
        except LedgerUnavailableError as error:
            raise LedgerUnavailableError(error.message, ready.task_id) from error
        return accepted[0]

    def apply(self, schedule_id: str, change: Change, at: datetime | None = None) -> Plan[ScheduleView]:
        """Change a schedule as it stands, however often others are faster.

        Args:
            schedule_id: The schedule.
            change: Makes what it is to be of what was read, at a time.
            at: The time; None asks the server.
        """
        for _ in range(_TRIES):
            kept = yield from self.read(schedule_id)
            now = at or (yield from self.now())
            spec, state = change(kept, now)
            if (spec, state) == (kept.spec, kept.state):
                return shown(kept)
            changed = KeptSchedule(schedule_id, kept.version, spec, state, kept.previous_final)
            outcome: str = yield self._save(changed, now)
            if outcome == "saved":
                return shown(changed)
        raise _contended(schedule_id)

    def _restored(self, spec: ScheduleSpec, before: ScheduleSpec) -> ScheduleSpec:
        """Put the secrets back whose masks a form has sent with the input."""
        places = self.definition(spec.name).shape.places
        if places is None or spec.name != before.name:
            return spec
        return spec.model_copy(update={"input": places.restore(spec.input, before.input)})

    def _save(self, kept: KeptSchedule, now: datetime) -> Call[str]:
        look = first_look(kept.schedule_id, kept.spec, kept.state, now)
        return self.calls.save_schedule(kept.schedule_id, kept.version, kept.spec, kept.state, look)

    def _checked(self, spec: ScheduleSpec, now: datetime) -> ScheduleSpec:
        check_times(spec, now)
        return fitted(self.definition(spec.name), spec)

    # -- declared by programs -----------------------------------------------------------------------------------------

    def sync(self, declared: Mapping[str, ScheduleSpec], now: datetime | None = None) -> Plan[SyncReport]:
        """Make the ledger's schedules agree with those that programs declare; those that people made stay as they are.

        Args:
            declared: What is declared, by id.
            now: The time; None asks the server.
        """
        now = now or (yield from self.now())
        found: list[KeptSchedule] = yield self.calls.schedules()
        known = {kept.schedule_id: kept for kept in found}
        report = SyncReport()
        for schedule_id, spec in declared.items():
            kept = known.get(schedule_id)
            if kept is None:
                yield self._save(new_schedule(schedule_id, spec, now, source="code"), now)
                report.made.append(schedule_id)
            elif kept.state.source != "code":
                report.taken.append(schedule_id)
            elif kept.spec != spec:
                yield from self.apply(schedule_id, _replacement(spec), now)
                report.changed.append(schedule_id)
        for schedule_id, kept in known.items():
            if kept.state.source == "code" and schedule_id not in declared:
                yield from self._forget(schedule_id)
                report.removed.append(schedule_id)
        return report

    def _forget(self, schedule_id: str) -> Plan[None]:
        for _ in range(_TRIES):
            kept: KeptSchedule | None = yield self.calls.schedule(schedule_id)
            if kept is None or (yield self.calls.drop_schedule(schedule_id, kept.version)):
                return
        raise _contended(schedule_id)


class SyncReport:
    """What became of the schedules that programs declare: ids that were made, changed, removed, or are taken."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.changed: list[str] = []
        self.removed: list[str] = []
        self.taken: list[str] = []


def new_schedule(schedule_id: str, spec: ScheduleSpec, now: datetime, source: str = "api") -> KeptSchedule:
    """Return a schedule that is to be made.

    Args:
        schedule_id: Its id.
        spec: What it is to do.
        now: The time.
        source: ``code`` or ``api``.
    """
    created = now.replace(microsecond=0)
    state = ScheduleState.model_validate(
        {"created": created, "updated": now, "source": source, "next": spec.timetable(created).after(now)}
    )
    return KeptSchedule(schedule_id, "", spec, state, previous_final=True)


def merged(spec: ScheduleSpec, changes: Mapping[str, Any]) -> ScheduleSpec:
    """Return a schedule with some fields changed; a new ``cron``, ``every`` or ``at`` replaces the one that was there.

    Args:
        spec: What it was to do.
        changes: The fields that are new.

    Raises:
        InvalidInputError: A field is unknown or cannot work.
    """
    values = spec.model_dump(exclude_unset=True)
    if any(changes.get(kind) is not None for kind in KINDS):
        values = {name: value for name, value in values.items() if name not in KINDS}
    return parse_spec({**values, **changes})


def _replacement(spec: ScheduleSpec) -> Change:
    def change(kept: KeptSchedule, now: datetime) -> tuple[ScheduleSpec, ScheduleState]:
        return spec, changed_state(kept.spec, spec, kept.state, now)

    return change


def _check_free(kept: KeptSchedule, remedy: str) -> None:
    if kept.state.source == "code":
        raise ScheduleConflictError(
            f"The schedule '{kept.schedule_id}' is declared by a program with @yard.schedule: {remedy}. "
            "It can be paused, resumed and run from here."
        )


def _contended(schedule_id: str) -> ScheduleConflictError:
    return ScheduleConflictError(f"Others kept changing the schedule '{schedule_id}' at the same time. Try again.")

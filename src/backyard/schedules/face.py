"""The part of a yard that has to do with schedules, for threads and event loops alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypedDict, TypeVar, Unpack

from backyard.core.definition import Definition
from backyard.core.errors import DefinitionError, InvalidInputError, LedgerUnavailableError
from backyard.core.models import Lane
from backyard.core.schedule import (
    SCHEDULE_ID,
    CatchUp,
    Overlap,
    SchedulePreview,
    ScheduleSpec,
    ScheduleView,
    parse_spec,
)
from backyard.core.schedule_checks import check_times
from backyard.handle import TaskHandle
from backyard.ledger.ledger import Ledger
from backyard.schedules.plans import Plan, Plans, SyncReport
from backyard.schedules.ticking import bound_input, fitted
from backyard.settings import Settings
from backyard.typed import TypedTask

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

LONGEST_REASON = 500
#: A time that is before all others: what is declared is checked without a clock.
_BEFORE = datetime(1970, 1, 1, tzinfo=UTC)


class ScheduleOptions(TypedDict, total=False):
    """What ``@yard.schedule`` takes beside the times; see :class:`~backyard.core.schedule.ScheduleSpec`."""

    start: datetime
    end: datetime
    overlap: Overlap
    catch_up: CatchUp
    catch_up_window: int
    jitter: int
    queue: str
    priority: Lane
    expires: int
    tags: tuple[str, ...]
    note: str


class Schedules:
    """The part of a yard that has to do with schedules.

    A schedule is kept in the ledger. A keeper submits the task of each of its ticks once, whoever dies meanwhile, and
    with the history away as well.
    """

    settings: Settings
    #: What programs declare with :meth:`schedule`, by id. A keeper takes it over when it begins.
    declared_schedules: dict[str, ScheduleSpec]

    @property
    def ledger(self) -> Ledger:
        """The live truth."""
        raise NotImplementedError

    def definition(self, name: str) -> Definition:
        """Return a definition by name."""
        raise NotImplementedError

    def handle(self, task_id: str, name: str | None = None) -> TaskHandle[Any]:
        """Return a handle of a task."""
        raise NotImplementedError

    def schedule(
        self,
        cron: str | None = None,
        /,
        *,
        every: float | timedelta | None = None,
        at: datetime | None = None,
        tz: str = "UTC",
        input: Mapping[str, Any] | None = None,  # noqa: A002 - the word that all faces use
        schedule_id: str | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> Callable[[TypedTask[P, R]], TypedTask[P, R]]:
        """Declare a schedule; it stands above ``@yard.task``, and one function can have several.

        Args:
            cron: A cron line, as in ``"0 7 * * mon-fri"``; with six fields, the second comes first.
            every: Seconds from one tick to the next, or the same as a duration; whole seconds.
            at: The only tick, with its time zone.
            tz: IANA time zone of the cron line, such as ``Europe/Berlin``.
            input: The arguments of each task, by name; what is left open gets its default at each tick.
            schedule_id: Its id; None takes the definition's name, with a number from the second one on.
            options: ``start``, ``end``, ``overlap``, ``catch_up``, ``catch_up_window``, ``jitter``, ``queue``,
                ``priority``, ``expires``, ``tags``, ``note``; see :class:`~backyard.core.schedule.ScheduleSpec`.

        Raises:
            DefinitionError: It cannot work; the message says what to do.
        """
        times = {"cron": cron, "every": every.total_seconds() if isinstance(every, timedelta) else every, "at": at}

        def decorate(task: TypedTask[P, R]) -> TypedTask[P, R]:
            if not isinstance(task, TypedTask):
                raise DefinitionError("@yard.schedule needs a task: put it in the line above @yard.task.")
            chosen = self._free_id(task.name, schedule_id)
            try:
                bound = bound_input(task.definition, input or {})
                spec = parse_spec({"name": task.name, **times, "tz": tz, "input": bound, **options})
                check_times(spec, _BEFORE)
                self.declared_schedules[chosen] = fitted(task.definition, spec)
            except InvalidInputError as error:
                raise DefinitionError(f"@yard.schedule of '{task.name}' cannot work. {error.message}") from None
            return task

        return decorate

    def _free_id(self, name: str, schedule_id: str | None) -> str:
        if schedule_id is None:
            tried = [name[:96], *(f"{name[:96]}-{number}" for number in range(2, 1_000))]
            return next(one for one in tried if one not in self.declared_schedules)
        check_schedule_id(schedule_id, DefinitionError)
        if schedule_id in self.declared_schedules:
            raise DefinitionError(f"Two schedules are declared as '{schedule_id}'. Give one of them another id.")
        return schedule_id

    # -- what people and programs do ----------------------------------------------------------------------------------

    async def create_schedule(self, spec: ScheduleSpec, schedule_id: str | None = None) -> ScheduleView:
        """Make a schedule.

        Args:
            spec: What it is to do.
            schedule_id: Its id; None makes one.

        Raises:
            UnknownDefinitionError: There is no such definition.
            InvalidInputError: It cannot work, or its input does not fit; the errors name the fields.
            ScheduleConflictError: There is a schedule of that id.
            LedgerUnavailableError: The server is away.
        """
        return await self._go(self._creation(spec, schedule_id))

    def create_schedule_sync(self, spec: ScheduleSpec, schedule_id: str | None = None) -> ScheduleView:
        """Make a schedule outside of an event loop; arguments and errors as for :meth:`create_schedule`."""
        return self._go_sync(self._creation(spec, schedule_id))

    async def update_schedule(self, schedule_id: str, /, **changes: Any) -> ScheduleView:
        """Change a schedule; its counters and its pause stay.

        Args:
            schedule_id: The schedule.
            changes: Fields of :class:`~backyard.core.schedule.ScheduleSpec`.

        Raises:
            UnknownScheduleError: There is none.
            ScheduleConflictError: A program declares it, and alone may change it.
            InvalidInputError: It cannot work like that; the errors name the fields.
            LedgerUnavailableError: The server is away.
        """
        return await self._go(self._plans.update(schedule_id, changes))

    def update_schedule_sync(self, schedule_id: str, /, **changes: Any) -> ScheduleView:
        """Change a schedule outside of an event loop; arguments and errors as for :meth:`update_schedule`."""
        return self._go_sync(self._plans.update(schedule_id, changes))

    async def delete_schedule(self, schedule_id: str) -> None:
        """Delete a schedule; its tasks stay. Errors as for :meth:`update_schedule`."""
        await self._go(self._plans.delete(schedule_id))

    def delete_schedule_sync(self, schedule_id: str) -> None:
        """Delete a schedule outside of an event loop."""
        self._go_sync(self._plans.delete(schedule_id))

    async def pause_schedule(self, schedule_id: str, reason: str = "") -> ScheduleView:
        """Let a schedule rest until it is resumed; what ticks meanwhile is dropped, and counted.

        Args:
            schedule_id: The schedule.
            reason: Why, for people.

        Raises:
            UnknownScheduleError: There is none.
            LedgerUnavailableError: The server is away.
        """
        return await self._go(self._plans.pause(schedule_id, _checked(reason)))

    def pause_schedule_sync(self, schedule_id: str, reason: str = "") -> ScheduleView:
        """Let a schedule rest, outside of an event loop; arguments and errors as for :meth:`pause_schedule`."""
        return self._go_sync(self._plans.pause(schedule_id, _checked(reason)))

    async def resume_schedule(self, schedule_id: str) -> ScheduleView:
        """Let a schedule go on with its next tick. Errors as for :meth:`pause_schedule`."""
        return await self._go(self._plans.resume(schedule_id))

    def resume_schedule_sync(self, schedule_id: str) -> ScheduleView:
        """Let a schedule go on, outside of an event loop."""
        return self._go_sync(self._plans.resume(schedule_id))

    async def run_schedule_now(self, schedule_id: str) -> TaskHandle[Any]:
        """Submit a task of a schedule now, beside its ticks and whatever its overlap policy is.

        Args:
            schedule_id: The schedule.

        Raises:
            UnknownScheduleError: There is none.
            LedgerUnavailableError: The server is away.
        """
        return self.handle((await self._go(self._plans.run_now(schedule_id))).task_id)

    def run_schedule_now_sync(self, schedule_id: str) -> TaskHandle[Any]:
        """Submit a task of a schedule now, outside of an event loop; errors as for :meth:`run_schedule_now`."""
        return self.handle(self._go_sync(self._plans.run_now(schedule_id)).task_id)

    async def schedules(self) -> list[ScheduleView]:
        """List the schedules, by id."""
        return await self._go(self._plans.list_all())

    def schedules_sync(self) -> list[ScheduleView]:
        """List the schedules outside of an event loop."""
        return self._go_sync(self._plans.list_all())

    async def schedule_view(self, schedule_id: str) -> ScheduleView:
        """Return a schedule, or raise UnknownScheduleError."""
        return await self._go(self._plans.view(schedule_id))

    def schedule_view_sync(self, schedule_id: str) -> ScheduleView:
        """Return a schedule outside of an event loop."""
        return self._go_sync(self._plans.view(schedule_id))

    async def schedule_ticks(self, schedule_id: str, count: int = 10) -> SchedulePreview:
        """Say when a schedule ticks next.

        Args:
            schedule_id: The schedule.
            count: Ticks to show.

        Raises:
            UnknownScheduleError: There is none.
            LedgerUnavailableError: The server is away.
        """
        return await self._go(self._plans.ticks(schedule_id, count))

    def schedule_ticks_sync(self, schedule_id: str, count: int = 10) -> SchedulePreview:
        """Say when a schedule ticks next, outside of an event loop."""
        return self._go_sync(self._plans.ticks(schedule_id, count))

    async def preview_schedule(self, spec: ScheduleSpec, count: int = 10) -> SchedulePreview:
        """Say when a schedule would tick, after the checks of :meth:`create_schedule`; nothing is made."""
        return await self._go(self._plans.preview(spec, count))

    def sync_schedules_sync(self, now: datetime | None = None) -> SyncReport:
        """Make the ledger's schedules agree with those that programs declare; a keeper does so when it begins.

        Args:
            now: The time; None asks the server.
        """
        return self._go_sync(self._plans.sync(self.declared_schedules, now))

    # -- how plans are carried out ------------------------------------------------------------------------------------

    @property
    def _plans(self) -> Plans:
        return Plans(self.ledger.calls, self.definition, self.settings)

    def _creation(self, spec: ScheduleSpec, schedule_id: str | None) -> Plan[ScheduleView]:
        if schedule_id is not None:
            check_schedule_id(schedule_id, InvalidInputError)
        return self._plans.create(spec, schedule_id)

    async def _go(self, plan: Plan[T]) -> T:
        try:
            call = next(plan)
            while True:
                try:
                    answer = await self.ledger.arun(call)
                except LedgerUnavailableError as error:
                    call = plan.throw(error)
                else:
                    call = plan.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # what the plan returns

    def _go_sync(self, plan: Plan[T]) -> T:
        try:
            call = next(plan)
            while True:
                try:
                    answer = self.ledger.run(call)
                except LedgerUnavailableError as error:
                    call = plan.throw(error)
                else:
                    call = plan.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # what the plan returns


def check_schedule_id(schedule_id: str, error: type[DefinitionError | InvalidInputError]) -> None:
    """Check the id of a schedule.

    Args:
        schedule_id: The id.
        error: What to raise where it cannot work.
    """
    if not re.fullmatch(SCHEDULE_ID, schedule_id):
        raise error(f"'{schedule_id[:128]}' is no id for a schedule: use up to 100 letters, digits, '_', '-' and '.'.")


def _checked(reason: str) -> str:
    if len(reason) > LONGEST_REASON:
        raise InvalidInputError(f"The reason has {len(reason)} characters; it can have {LONGEST_REASON}.")
    return reason

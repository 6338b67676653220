"""A schedule: what a person writes, what is known of it, and what people see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from backyard.core.definition import invalid_input
from backyard.core.errors import InvalidInputError
from backyard.core.models import Lane
from backyard.core.policy import NAME
from backyard.core.queue import Pause
from backyard.core.schedule_times import LAST, Cron, CronError, Interval, Once, Timetable, parse_cron, zone

Overlap = Literal["skip", "queue", "cancel_previous", "allow"]
CatchUp = Literal["none", "latest", "all"]
#: Ids go into task ids, keys and URLs.
SCHEDULE_ID = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 10 * 365 * 86_400
#: What says when; exactly one of them.
KINDS = ("cron", "every", "at")


class ScheduleSpec(BaseModel):
    """What a schedule is to do, and when. Exactly one of ``cron``, ``every`` and ``at`` says when."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME, description="The definition's name")
    cron: str | None = Field(
        default=None,
        description="Minute, hour, day of month, month, day of week, as in `0 7 * * mon-fri`; with six fields, the "
        "second comes first; or a word such as `@daily`",
    )
    every: int | None = Field(default=None, ge=1, le=_LONGEST, description="Seconds from one tick to the next")
    at: datetime | None = Field(default=None, description="The only tick, to the second, with its time zone")
    tz: str = Field(default="UTC", description="IANA time zone of the cron line, such as `Europe/Berlin`")
    input: dict[str, Any] = Field(default={}, description="The definition's input")
    start: datetime | None = Field(default=None, description="No tick is before; `every` counts from here")
    end: datetime | None = Field(default=None, description="No tick is after")
    overlap: Overlap = Field(
        default="skip",
        description="What becomes of a tick while the task of the one before is not final: it is dropped (`skip`), "
        "waits (`queue`), cancels that task (`cancel_previous`), or runs beside it (`allow`)",
    )
    catch_up: CatchUp = Field(
        default="latest",
        description="What becomes of ticks that no keeper was there for: none of them runs, the latest does, or all do",
    )
    catch_up_window: int = Field(
        default=3_600, ge=1, le=365 * 86_400, description="Seconds after which a tick is not caught up with any more"
    )
    jitter: int = Field(
        default=0, ge=0, le=86_400, description="Most seconds a run begins after its tick; drawn for each tick"
    )
    queue: str | None = Field(default=None, pattern=NAME, description="Instead of the definition's")
    priority: Lane | None = Field(default=None, description="Instead of the definition's")
    expires: int | None = Field(
        default=None, ge=1, le=_LONGEST, description="Seconds after which a task that has not started ends"
    )
    tags: tuple[str, ...] = Field(default=(), description="Words to find the tasks by")
    note: str = Field(default="", max_length=500, description="What it is for, for people")

    @field_validator("cron")
    @classmethod
    def _check_cron(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_cron(value)
            except CronError as error:
                raise ValueError(f"the cron line '{value[:64]}' cannot work: {error}.") from None
        return value

    @field_validator("tz")
    @classmethod
    def _check_zone(cls, value: str) -> str:
        zone(value)
        return value

    @field_validator("at", "start", "end")
    @classmethod
    def _check_moment(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("it has no time zone. Write 2026-01-31T12:00:00+00:00, say")
        if not _FIRST <= value <= LAST:
            raise ValueError(f"it can be from {_FIRST.year} to {LAST.year}")
        return value.astimezone(UTC).replace(microsecond=0)

    @property
    def catch_up_span(self) -> timedelta:
        """How long a tick may be caught up with."""
        return timedelta(seconds=self.catch_up_window)

    def timetable(self, anchor: datetime) -> Timetable:
        """Return when it ticks.

        Args:
            anchor: From when ``every`` counts where there is no start: when the schedule was made.
        """
        if self.cron is not None:
            return Timetable(Cron(self.cron, ZoneInfo(self.tz)), self.start, self.end)
        if self.every is not None:
            return Timetable(Interval(timedelta(seconds=self.every), self.start or anchor), self.start, self.end)
        return Timetable(Once(self.at or _FIRST), self.start, self.end)

    def words(self) -> str:
        """Say when it ticks, in words."""
        if self.cron is not None:
            return f"{Cron(self.cron, ZoneInfo(self.tz)).words()} ({self.tz})"
        if self.every is not None:
            return f"Every {span(self.every)}"
        return f"Once, at {self.at.astimezone(ZoneInfo(self.tz)).isoformat()}" if self.at else "Never"

    def same_times(self, other: ScheduleSpec) -> bool:
        """Whether another schedule ticks at the same moments."""
        names = {*KINDS, "tz", "start", "end"}
        return self.model_dump(include=names) == other.model_dump(include=names)


def span(seconds: int) -> str:
    """Say a number of seconds in words: ``1 h 30 min``."""
    words = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number:
            words.append(f"{number} {unit}")
    return " ".join(words) or "0 s"


def parse_spec(values: Mapping[str, Any] | str | bytes) -> ScheduleSpec:
    """Read what a person writes, by itself: whether it fits a yard is asked later.

    Args:
        values: The fields, as plain values or as JSON text.

    Raises:
        InvalidInputError: A field cannot work; its errors name the fields.
    """
    try:
        if isinstance(values, str | bytes):
            return ScheduleSpec.model_validate_json(values)
        return ScheduleSpec.model_validate(dict(values))
    except ValidationError as error:
        wrong = invalid_input("the schedule", error)
        for row in wrong.errors:
            row["message"] = str(row["message"]).removeprefix("Value error, ")
        first = wrong.errors[0]
        place = ".".join(map(str, first["location"])) or "the schedule"
        raise InvalidInputError(f"The schedule cannot work: {place}: {first['message']}", wrong.errors) from None


class ScheduleState(BaseModel):
    """What is known of a schedule, as the ledger keeps it. Times are UTC.

    Args:
        created: When it was made.
        updated: When a person or a deployment last changed it.
        source: ``code`` where a program declares it, ``api`` where a person made it.
        next: The first tick that nothing has become of yet; None where there is none any more.
        waiting: Ticks that are to run as soon as they may.
        last_tick: The latest tick that ran.
        last_task: Its task.
        last_missed: The latest tick that was missed.
        fired: Ticks that ran.
        missed: Ticks that no keeper was there for in time, or that could not be submitted.
        skipped: Ticks that were dropped, by the overlap policy or a pause.
        paused: Since when and why it rests.
        problem: Why its latest tick could not be submitted; empty where it could.
    """

    model_config = ConfigDict(frozen=True)

    created: datetime
    updated: datetime
    source: Literal["code", "api"] = "api"
    next: datetime | None = None
    waiting: tuple[datetime, ...] = ()
    last_tick: datetime | None = None
    last_task: str | None = None
    last_missed: datetime | None = None
    fired: int = 0
    missed: int = 0
    skipped: int = 0
    paused: Pause | None = None
    problem: str = ""


class Tick(BaseModel):
    """A moment at which a schedule ticks."""

    model_config = ConfigDict(frozen=True)

    at: datetime = Field(description="The tick, in UTC")
    local: datetime = Field(description="The same on the clocks of the schedule's time zone")
    runs_at: datetime = Field(description="When its task is submitted: later than the tick by the jitter")


class SchedulePreview(BaseModel):
    """What a schedule would do."""

    description: str = Field(description="When it ticks, in words")
    ticks: list[Tick] = Field(description="Its next ticks")


class ScheduleView(ScheduleSpec):
    """A schedule as the API shows it. Times are UTC."""

    schedule_id: str
    description: str = Field(description="When it ticks, in words")
    source: Literal["code", "api"] = Field(description="`code` where a program declares it, and alone may change it")
    status: Literal["active", "paused", "finished"]
    paused: Pause | None = Field(default=None, description="Since when and why it rests")
    next_tick: datetime | None = Field(default=None, description="null where none is to come")
    last_tick: datetime | None = Field(default=None, description="The latest tick that ran")
    last_task_id: str | None = Field(default=None, description="Its task")
    fired: int = Field(description="Ticks that ran")
    missed: int = Field(description="Ticks that no keeper was there for in time, or that could not be submitted")
    last_missed: datetime | None = Field(default=None, description="The latest of them")
    skipped: int = Field(description="Ticks that were dropped, by the overlap policy or a pause")
    waiting: int = Field(description="Ticks that are to run as soon as they may")
    problem: str = Field(default="", description="Why the latest tick could not be submitted")
    date_created: datetime
    date_updated: datetime


def view_of(schedule_id: str, spec: ScheduleSpec, state: ScheduleState, shown_input: dict[str, Any]) -> ScheduleView:
    """Return a schedule as people see it.

    Args:
        schedule_id: Its id.
        spec: What it is to do.
        state: What is known of it.
        shown_input: Its input, fit to be seen.
    """
    over = state.next is None and not state.waiting
    return ScheduleView(
        **{**spec.model_dump(), "input": shown_input},
        schedule_id=schedule_id,
        description=spec.words(),
        source=state.source,
        status="finished" if over else "paused" if state.paused else "active",
        paused=state.paused,
        next_tick=state.next,
        last_tick=state.last_tick,
        last_task_id=state.last_task,
        fired=state.fired,
        missed=state.missed,
        last_missed=state.last_missed,
        skipped=state.skipped,
        waiting=len(state.waiting),
        problem=state.problem,
        date_created=state.created,
        date_updated=state.updated,
    )

"""Whether a schedule can work: what one field alone cannot say."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from backyard.core.errors import InvalidInputError
from backyard.core.schedule import KINDS, SchedulePreview, ScheduleSpec, Tick
from backyard.core.schedule_times import jitter_of

#: Ticks that can be asked for at once.
MOST_TICKS = 1_000
_INSTANT = timedelta(microseconds=1)


def _wrong(field: str, message: str, kind: str) -> InvalidInputError:
    row: dict[str, Any] = {"location": [field], "message": message, "type": kind}
    return InvalidInputError(f"The schedule cannot work: {field}: {message}", [row])


def check_kind(spec: ScheduleSpec) -> None:
    """Check that exactly one field says when.

    Raises:
        InvalidInputError: None does, or several do.
    """
    given = [name for name in KINDS if getattr(spec, name) is not None]
    if len(given) != 1:
        many = f"there are {' and '.join(given)}" if given else "none is given"
        raise _wrong(given[-1] if given else "cron", f"give one of {', '.join(KINDS)}; {many}.", "one_of")


def check_times(spec: ScheduleSpec, now: datetime) -> None:
    """Check that a new or changed schedule will tick, and can keep its jitter.

    Args:
        spec: What it is to do.
        now: The time.

    Raises:
        InvalidInputError: It cannot work; the errors name the field.
    """
    check_kind(spec)
    if spec.at is not None and spec.at <= now:
        raise _wrong("at", f"{spec.at.isoformat()} is over; it is {now.isoformat(timespec='seconds')}.", "past")
    if spec.end is not None and spec.start is not None and spec.end < spec.start:
        raise _wrong("end", f"it ends at {spec.end.isoformat()}, before it starts. Give a later end.", "end_first")
    if spec.end is not None and spec.end <= now:
        raise _wrong("end", f"{spec.end.isoformat()} is over. Give a later end, or none.", "past")
    if spec.timetable(now).after(now) is None:
        field = "end" if spec.end is not None or spec.start is not None else "cron"
        if field == "end" and spec.model_copy(update={"start": None, "end": None}).timetable(now).after(now) is None:
            field = "cron"
        never = "no day of the calendar fits. Give days that its months have" if field == "cron" else (
            "it never ticks between its start and its end. Give a later end"
        )  # fmt: skip
        raise _wrong(field, f"{never}.", "never")
    check_jitter(spec, now)


def check_jitter(spec: ScheduleSpec, now: datetime) -> None:
    """Check that runs keep the order of their ticks.

    Args:
        spec: What the schedule is to do.
        now: The time.

    Raises:
        InvalidInputError: The jitter is no less than the time between two ticks.
    """
    if not spec.jitter:
        return
    gap = spec.timetable(now).shortest_gap(now)
    if gap is not None and timedelta(seconds=spec.jitter) >= gap:
        raise _wrong(
            "jitter",
            f"{spec.jitter} s is no less than the {gap.total_seconds():.0f} s between two ticks. Give less.",
            "too_large",
        )


def check_tags(spec: ScheduleSpec, most: int, longest: int) -> None:
    """Check the tags as those of any submit.

    Args:
        spec: What the schedule is to do.
        most: Tags that a task can have.
        longest: Characters of each.
    """
    if len(spec.tags) > most or any(not 0 < len(tag) <= longest for tag in spec.tags):
        raise _wrong("tags", f"a task can have {most} tags of 1 to {longest} characters.", "tags")


def preview(schedule_id: str, spec: ScheduleSpec, after: datetime, anchor: datetime, count: int) -> SchedulePreview:
    """Say what a schedule does next.

    Args:
        schedule_id: Its id; the jitter depends on it.
        spec: What it is to do.
        after: From when on; a tick at that very moment counts.
        anchor: From when ``every`` counts where there is no start.
        count: Ticks to show.

    Raises:
        InvalidInputError: So many cannot be asked for.
    """
    if not 1 <= count <= MOST_TICKS:
        raise _wrong("count", f"it is {count}; it can be 1 to {MOST_TICKS}.", "count")
    local = ZoneInfo(spec.tz)
    rows = []
    for tick in spec.timetable(anchor).ticks(after - _INSTANT):
        runs_at = tick + jitter_of(schedule_id, tick, spec.jitter)
        rows.append(Tick(at=tick, local=tick.astimezone(local), runs_at=runs_at))
        if len(rows) == count:
            break
    return SchedulePreview(description=spec.words(), ticks=rows)

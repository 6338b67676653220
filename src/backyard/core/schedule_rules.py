"""What becomes of a schedule's ticks: decided here, purely, from what is known and what time it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backyard.core.schedule import ScheduleSpec, ScheduleState
from backyard.core.schedule_times import Timetable, jitter_of

#: A tick that is no later than this ran on time: another keeper takes over in less.
GRACE = timedelta(seconds=30)
#: Ticks of one schedule that are caught up with, or that wait; more are missed, or dropped.
MOST = 1_000
#: Ticks that are submitted at once; the others go next.
TOGETHER = 250
#: Ticks that are looked through at once, after a long absence.
SLICE = 5_000
#: How soon to look again for the end of the task that ticks wait for.
_SOON = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done now.

    Args:
        fire: Ticks to submit, in this order.
        state: What is known of the schedule when that is done, but for the task of its latest tick.
        look: When to decide anew; None where nothing is to come.
        cancel: Whether the task of the tick before is cancelled.
    """

    fire: tuple[datetime, ...]
    state: ScheduleState
    look: datetime | None
    cancel: bool = False


def decide(
    schedule_id: str, spec: ScheduleSpec, state: ScheduleState, now: datetime, *, previous_final: bool
) -> Decision:
    """Decide what becomes of the ticks that are due: each runs, waits, is missed or is dropped, exactly once.

    Args:
        schedule_id: The schedule.
        spec: What it is to do.
        state: What is known of it.
        now: The time.
        previous_final: Whether the task of its latest tick has come to its end, or there is none.
    """
    table = spec.timetable(state.created)
    due, after = _due(schedule_id, spec, state, table, now)
    if len(due) > SLICE:
        # Those that are not among the last ones are too late for any policy. The rest is decided by the next look.
        return Decision((), _dropped(state, due[:-MOST], next_tick=due[-MOST]), now)
    if state.paused is not None:
        changed = _dropped(state, due, next_tick=after)
        return Decision((), changed, _next_look(schedule_id, spec, changed))
    caught = _caught_up(spec, due, now)
    missed = len(due) - len(caught)
    fire, waiting, cancel = _overlap(spec, (*state.waiting, *caught), previous_final=previous_final)
    changed = state.model_copy(
        update={
            "next": after,
            "waiting": waiting,
            "fired": state.fired + len(fire),
            "missed": state.missed + missed,
            "last_missed": due[missed - 1] if missed else state.last_missed,
            "skipped": state.skipped + len(state.waiting) + len(caught) - len(fire) - len(waiting),
            "last_tick": fire[-1] if fire else state.last_tick,
            "problem": "" if fire else state.problem,
        }
    )
    look = _next_look(schedule_id, spec, changed)
    if waiting:
        # Under the other policies they wait for nobody: there were only too many for one call.
        look = now + _SOON if spec.overlap == "queue" else now
    return Decision(fire, changed, look, cancel=cancel)


def unable(state: ScheduleState, decision: Decision, problem: str) -> Decision:
    """Return what is to be done where ticks that were to run cannot be submitted: they are missed.

    Args:
        state: What was known before.
        decision: What was decided.
        problem: Why they cannot.
    """
    changed = decision.state.model_copy(
        update={
            "fired": state.fired,
            "missed": decision.state.missed + len(decision.fire),
            "last_missed": max(decision.fire),
            "last_tick": state.last_tick,
            "problem": problem,
        }
    )
    return Decision((), changed, decision.look)


def first_look(schedule_id: str, spec: ScheduleSpec, state: ScheduleState, now: datetime) -> datetime | None:
    """Return when a schedule is to be looked at that was made or changed.

    Args:
        schedule_id: The schedule.
        spec: What it is to do.
        state: What is known of it.
        now: The time.
    """
    return now if state.waiting and state.paused is None else _next_look(schedule_id, spec, state)


def changed_state(old: ScheduleSpec, new: ScheduleSpec, state: ScheduleState, now: datetime) -> ScheduleState:
    """Return what is known of a schedule after a person or a deployment has changed it.

    Where it ticks at other times now, what was due by the old ones is still to run if it is on time, and is missed
    if it is late: nothing is lost between a tick and the look at it.

    Args:
        old: What it was to do.
        new: What it is to do.
        state: What was known of it.
        now: The time.
    """
    if old.same_times(new):
        return state.model_copy(update={"updated": now})
    due = _until(old.timetable(state.created), state.next, now)
    owed = [tick for tick in due if now - tick <= GRACE + timedelta(seconds=old.jitter)] if state.paused is None else []
    late = len(due) - len(owed)
    changed = state if late == 0 else _dropped(state, due[:late], next_tick=None)
    return changed.model_copy(
        update={
            "next": new.timetable(state.created).after(now),
            "waiting": (*state.waiting, *owed)[-MOST:],
            "updated": now,
            "problem": "",
        }
    )


def resumed_state(spec: ScheduleSpec, state: ScheduleState, now: datetime) -> ScheduleState:
    """Return what is known of a schedule that rests no more: what was due until now has been dropped.

    Args:
        spec: What it is to do.
        state: What was known of it.
        now: The time.
    """
    table = spec.timetable(state.created)
    due = _until(table, state.next, now)
    upcoming = table.after(now) if due else state.next
    return _dropped(state, due, next_tick=upcoming).model_copy(update={"paused": None, "updated": now})


def _due(
    schedule_id: str, spec: ScheduleSpec, state: ScheduleState, table: Timetable, now: datetime
) -> tuple[list[datetime], datetime | None]:
    """Return the ticks whose time has come, one more than a slice at most, and the first whose time has not."""
    due: list[datetime] = []
    tick = state.next
    while tick is not None and tick + jitter_of(schedule_id, tick, spec.jitter) <= now and len(due) <= SLICE:
        due.append(tick)
        tick = table.after(tick)
    return due, tick


def _until(table: Timetable, tick: datetime | None, now: datetime) -> list[datetime]:
    """Return the ticks from one on until now; a slice at most."""
    due: list[datetime] = []
    while tick is not None and tick <= now and len(due) < SLICE:
        due.append(tick)
        tick = table.after(tick)
    return due


def _dropped(state: ScheduleState, ticks: Sequence[datetime], *, next_tick: datetime | None) -> ScheduleState:
    """Return what is known when ticks ran for no one: they are missed, or dropped where the schedule rests."""
    update: dict[str, object] = {"next": next_tick}
    if state.paused is not None:
        update["skipped"] = state.skipped + len(ticks)
    elif ticks:
        update |= {"missed": state.missed + len(ticks), "last_missed": ticks[-1]}
    return state.model_copy(update=update)


def _caught_up(spec: ScheduleSpec, due: Sequence[datetime], now: datetime) -> Sequence[datetime]:
    """Return those of the due ticks that are to run, the last ones; the others are missed."""
    late = now - timedelta(seconds=spec.jitter)
    on_time = [tick for tick in due if late - tick <= GRACE]
    if spec.catch_up == "none":
        return on_time
    within = [tick for tick in due if late - tick <= max(spec.catch_up_span, GRACE)]
    return within[-MOST:] if spec.catch_up == "all" else on_time or within[-1:]


def _overlap(
    spec: ScheduleSpec, ticks: tuple[datetime, ...], *, previous_final: bool
) -> tuple[tuple[datetime, ...], tuple[datetime, ...], bool]:
    """Return which ticks run now and which wait, and whether the task before is cancelled; the others are dropped."""
    if not ticks:
        return (), (), False
    if spec.overlap == "allow":
        return ticks[:TOGETHER], ticks[TOGETHER:], False
    if spec.overlap == "cancel_previous":
        return ticks[-1:], (), not previous_final
    if not previous_final:
        return (), ticks[:MOST] if spec.overlap == "queue" else (), False
    return ticks[:1], ticks[1 : 1 + MOST] if spec.overlap == "queue" else (), False


def _next_look(schedule_id: str, spec: ScheduleSpec, state: ScheduleState) -> datetime | None:
    if state.next is None:
        return None
    return state.next + jitter_of(schedule_id, state.next, spec.jitter)

"""What becomes of ticks: decided without a server, with time as an argument."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backyard.core.queue import Pause
from backyard.core.schedule import ScheduleSpec, ScheduleState
from backyard.core.schedule_rules import (
    GRACE,
    MOST,
    SLICE,
    TOGETHER,
    Decision,
    changed_state,
    decide,
    resumed_state,
    unable,
)

DAY = datetime(2026, 5, 4, tzinfo=UTC)
PAUSED = Pause(since=DAY, reason="tests")


def spec(**fields: Any) -> ScheduleSpec:
    return ScheduleSpec(name="f", **{"every": 60, **fields})


def known(**fields: Any) -> ScheduleState:
    return ScheduleState(created=DAY, updated=DAY, **{"next": DAY, **fields})


def after(seconds: float) -> datetime:
    return DAY + timedelta(seconds=seconds)


def decided(what: ScheduleSpec, state: ScheduleState, seconds: float, *, final: bool = True) -> Decision:
    return decide("s", what, state, after(seconds), previous_final=final)


def seconds_of(ticks: tuple[datetime, ...]) -> list[float]:
    return [(tick - DAY).total_seconds() for tick in ticks]


def test_nothing_happens_before_the_time() -> None:
    decision = decided(spec(), known(), -1)
    assert decision == Decision((), known(), DAY)


def test_a_tick_fires_at_its_time_and_the_next_one_is_known() -> None:
    decision = decided(spec(), known(), 0.4)
    assert seconds_of(decision.fire) == [0]
    assert decision.state == known(next=after(60), fired=1, last_tick=DAY)
    assert decision.look == after(60)
    assert not decision.cancel


def test_jitter_puts_the_run_off_and_not_the_tick() -> None:
    what = spec(every=3_600, jitter=600)
    look = decided(what, known(), -1).look
    assert look is not None
    assert DAY < look < after(600)
    assert decide("s", what, known(), look - timedelta(milliseconds=1), previous_final=True).fire == ()
    assert decide("s", what, known(), look, previous_final=True).fire == (DAY,)


@pytest.mark.parametrize(
    ("catch_up", "window", "fired"),
    [("none", 3_600, []), ("latest", 3_600, [540]), ("latest", 30, []), ("all", 3_600, [*range(0, 541, 60)]),
     ("all", 200, [420, 480, 540])],
)  # fmt: skip
def test_what_was_not_looked_at_in_time_is_caught_up_with_by_policy(
    catch_up: str, window: int, fired: list[float]
) -> None:
    what = spec(catch_up=catch_up, catch_up_window=window, overlap="allow")
    decision = decided(what, known(), 595)
    assert seconds_of(decision.fire) == fired
    assert decision.state.fired == len(fired)
    assert decision.state.missed == 10 - len(fired)
    assert decision.state.next == after(600)
    if len(fired) < 10:
        assert decision.state.last_missed == after(540 if not fired else fired[0] - 60)


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_what_another_keeper_takes_over_in_time_is_not_missed(catch_up: str) -> None:
    decision = decided(spec(every=10, catch_up=catch_up, overlap="allow"), known(), 25)
    assert seconds_of(decision.fire) == [0, 10, 20]
    assert decision.state.missed == 0


def test_overlap_skip_drops_ticks_while_the_task_runs() -> None:
    decision = decided(spec(), known(), 0, final=False)
    assert (decision.fire, decision.state.skipped, decision.look) == ((), 1, after(60))


def test_overlap_skip_runs_one_of_several() -> None:
    decision = decided(spec(catch_up="all"), known(), 130)
    assert (seconds_of(decision.fire), decision.state.skipped, decision.state.missed) == ([0], 2, 0)


def test_overlap_queue_keeps_ticks_for_later_one_at_a_time() -> None:
    what = spec(overlap="queue", catch_up="all")
    first = decided(what, known(), 130, final=False)
    assert (first.fire, seconds_of(first.state.waiting), first.look) == ((), [0, 60, 120], after(131))
    second = decided(what, first.state, 131)
    assert (seconds_of(second.fire), seconds_of(second.state.waiting)) == ([0], [60, 120])
    third = decided(what, second.state, 190, final=False)
    assert (third.fire, seconds_of(third.state.waiting), third.state.skipped) == ((), [60, 120, 180], 0)


def test_overlap_queue_holds_so_many_and_no_more() -> None:
    waiting = tuple(after(-one) for one in range(MOST, 0, -1))
    decision = decided(spec(overlap="queue"), known(waiting=waiting), 0, final=False)
    assert (decision.state.waiting, decision.state.skipped) == (waiting, 1)


@pytest.mark.parametrize("final", [True, False])
def test_overlap_cancel_previous_runs_the_latest(final: bool) -> None:  # noqa: FBT001 - a parameter of the test
    decision = decided(spec(overlap="cancel_previous", catch_up="all"), known(), 130, final=final)
    assert (seconds_of(decision.fire), decision.state.skipped, decision.cancel) == ([120], 2, not final)


def test_a_pause_drops_what_ticks_and_keeps_what_waits() -> None:
    decision = decided(spec(overlap="allow", catch_up="all"), known(paused=PAUSED, waiting=(after(-60),)), 600)
    assert (decision.fire, decision.state.skipped, decision.state.missed) == ((), 11, 0)
    assert decision.state.waiting == (after(-60),)
    assert decision.look == decision.state.next == after(660)


def test_a_large_catch_up_goes_part_by_part() -> None:
    what = spec(every=1, catch_up="all", catch_up_window=86_400, overlap="allow")
    fired: list[datetime] = []
    state, now, looks = known(), 15_500, 0
    while True:
        decision = decided(what, state, now)
        fired += decision.fire
        state, looks = decision.state, looks + 1
        if decision.look != after(now):
            break
    assert seconds_of(tuple(fired)) == [*range(now - MOST + 1, now + 1)]
    assert (state.fired, state.missed, state.next) == (MOST, now + 1 - MOST, after(now + 1))
    assert looks == pytest.approx(MOST / TOGETHER + (now - MOST) / (SLICE - MOST), abs=2)


def test_the_end_is_the_end() -> None:
    decision = decided(spec(end=after(90), overlap="allow", catch_up="all"), known(), 600)
    assert seconds_of(decision.fire) == [0, 60]
    assert (decision.state.next, decision.look) == (None, None)


def test_ticks_that_cannot_be_submitted_are_missed() -> None:
    state = known(last_tick=after(-60), last_task="before", fired=7)
    decision = unable(state, decided(spec(), state, 0), "no such definition")
    assert decision.fire == ()
    assert decision.state == state.model_copy(
        update={"next": after(60), "missed": 1, "last_missed": DAY, "problem": "no such definition"}
    )


def test_a_change_of_times_keeps_what_is_due_and_counts_what_is_late() -> None:
    old, new = spec(every=10), spec(every=7)
    changed = changed_state(old, new, known(), after(55))
    assert seconds_of(changed.waiting) == [30, 40, 50]
    assert (changed.missed, changed.next, changed.fired) == (3, after(56), 0)
    same = changed_state(old, spec(every=10, note="else"), known(), after(55))
    assert (same.waiting, same.next) == ((), DAY)
    paused = changed_state(old, new, known(paused=PAUSED), after(55))
    assert (paused.waiting, paused.skipped, paused.missed) == ((), 6, 0)


def test_a_change_does_not_lose_a_tick_that_waits_for_its_jitter() -> None:
    old = spec(every=3_600, jitter=600)
    changed = changed_state(old, spec(cron="0 7 * * *", every=None), known(), after(1))
    assert seconds_of(changed.waiting) == [0]


def test_a_resume_begins_with_the_next_tick() -> None:
    state = resumed_state(spec(), known(paused=PAUSED), after(150))
    assert (state.paused, state.next, state.skipped) == (None, after(180), 3)
    assert decided(spec(), state, 150).fire == ()
    early = resumed_state(spec(), known(paused=PAUSED), after(-30))
    assert (early.next, early.skipped) == (DAY, 0)


POLICIES = st.fixed_dictionaries(
    {
        "every": st.integers(1, 400),
        "overlap": st.sampled_from(["skip", "queue", "cancel_previous", "allow"]),
        "catch_up": st.sampled_from(["none", "latest", "all"]),
        "catch_up_window": st.integers(1, 5_000),
    }
)


@given(
    POLICIES, st.lists(st.tuples(st.integers(0, 4_000), st.booleans(), st.booleans()), min_size=1, max_size=12),
    st.integers(0, 300),
)  # fmt: skip
def test_each_tick_has_one_fate(fields: dict[str, Any], looks: list[tuple[int, bool, bool]], jitter: int) -> None:
    what = spec(**fields, jitter=min(jitter, fields["every"] - 1))
    fired: list[datetime] = []
    state, now = known(), 0.0
    for wait, final, paused in looks:
        now += wait
        state = state.model_copy(update={"paused": PAUSED if paused else None})
        for _ in range(100):
            decision = decided(what, state, now, final=final)
            fired += decision.fire
            state = decision.state
            if decision.look is None or decision.look > after(now):
                break
        else:
            raise AssertionError("the looks come to no end")
        assert state.next is not None
        gone = (state.next - DAY) // timedelta(seconds=fields["every"])
        assert state.fired + state.missed + state.skipped + len(state.waiting) == gone
        assert state.fired == len(fired)
        assert state.next + timedelta(seconds=fields["every"]) > after(now) - GRACE
    assert sorted(set(fired)) == fired


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel_previous", "allow"])
def test_decisions_of_two_keepers_agree(overlap: str) -> None:
    what = spec(overlap=overlap, catch_up="all", jitter=30)
    assert decided(what, known(), 300, final=False) == decided(what, known(), 300, final=False)

"""Schedules in the ledger: kept, read, fired in one step, and never changed by who has not read the latest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from backyard.core.errors import LedgerUnavailableError
from backyard.core.schedule import ScheduleSpec, ScheduleState
from backyard.core.states import State, Verb
from backyard.ledger import schedule_calls
from backyard.ledger.schedule_calls import Fired, KeptSchedule
from support.bench import Bench

DAY = datetime(2026, 5, 4, tzinfo=UTC)
SPEC = ScheduleSpec(name="f", every=60)
STATE = ScheduleState(created=DAY, updated=DAY, next=DAY)


def make(bench: Bench, schedule_id: str = "s", look: datetime | None = DAY) -> KeptSchedule:
    assert bench.run(bench.calls.save_schedule(schedule_id, "", SPEC, STATE, look)) == "saved"
    return read(bench, schedule_id)


def read(bench: Bench, schedule_id: str = "s") -> KeptSchedule:
    kept: KeptSchedule = bench.run(bench.calls.schedule(schedule_id))
    return kept


def fired(number: int) -> ScheduleState:
    return STATE.model_copy(update={"fired": number, "last_tick": DAY, "next": DAY + timedelta(minutes=number)})


def fire(bench: Bench, kept: KeptSchedule, *ids: str, cancel: bool = False) -> Fired:
    submissions = [bench.submission(one, fields={"schedule": kept.schedule_id}) for one in ids]
    state = fired(kept.state.fired + len(ids))
    answer: Fired = bench.run(bench.calls.fire(kept, state, state.next, submissions, cancel=cancel))
    return answer


def due(bench: Bench, moment: datetime) -> tuple[list[str], float | None]:
    found = bench.run(bench.calls.due_schedules(moment.timestamp(), 10))
    return [kept.schedule_id for kept in found.kept], found.next_look


def test_a_schedule_is_read_as_it_was_kept(bench: Bench) -> None:
    kept = make(bench)
    assert (kept.spec, kept.state, kept.previous_final) == (SPEC, STATE, True)
    assert bench.run(bench.calls.schedules()) == [kept]
    assert bench.run(bench.calls.schedule("other")) is None


def test_who_has_not_read_the_latest_changes_nothing(bench: Bench) -> None:
    kept = make(bench)
    save = bench.calls.save_schedule
    assert bench.run(save("s", "", SPEC, fired(9), DAY)) == "stale"
    assert bench.run(save("s", kept.version, SPEC, fired(1), DAY)) == "saved"
    assert bench.run(save("s", kept.version, SPEC, fired(2), DAY)) == "stale"
    assert fire(bench, kept, "t").outcome == "stale"
    assert bench.run(bench.calls.drop_schedule("s", kept.version)) is False
    assert read(bench).state == fired(1)
    assert not bench.client.exists(bench.keys.task("t"))
    assert bench.run(bench.calls.drop_schedule("s", read(bench).version)) is True
    assert bench.run(bench.calls.drop_schedule("s", "any")) is True
    assert bench.run(bench.calls.schedules()) == []


def test_who_has_read_a_schedule_that_was_made_anew_since_changes_nothing(bench: Bench) -> None:
    kept = make(bench)
    bench.run(bench.calls.drop_schedule("s", kept.version))
    assert fire(bench, kept, "t").outcome == "stale"
    while make(bench).version == kept.version:  # within the same millisecond
        bench.run(bench.calls.drop_schedule("s", kept.version))
    assert fire(bench, kept, "t").outcome == "stale"


def test_a_fire_submits_and_notes_in_one_step(bench: Bench) -> None:
    answer = fire(bench, make(bench), "s.1", "s.2")
    assert [(one.outcome, one.task_id) for one in answer.accepted] == [("created", "s.1"), ("created", "s.2")]
    kept = read(bench)
    assert (kept.state.fired, kept.state.last_task, kept.previous_final) == (2, "s.2", False)
    assert [taken.message for taken in bench.take(most=5)] == ["m:s.1", "m:s.2"]
    assert bench.record("s.2").view().schedule_id == "s"
    assert due(bench, DAY) == ([], (DAY + timedelta(minutes=2)).timestamp() * 1000)


def test_a_fire_without_ticks_only_notes(bench: Bench) -> None:
    assert fire(bench, make(bench)).outcome == "fired"
    assert read(bench).state == fired(0)


def test_of_many_who_fire_at_once_one_does(bench: Bench) -> None:
    kept = make(bench)
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: fire(bench, kept, "s.1").outcome, range(40)))
    assert sorted(outcomes) == ["fired"] + ["stale"] * 39
    assert read(bench).state.fired == 1


def test_a_task_of_that_id_is_not_made_twice(bench: Bench) -> None:
    bench.submit("s.1")
    answer = fire(bench, make(bench), "s.1")
    assert [one.outcome for one in answer.accepted] == ["exists"]
    assert len(bench.take(most=5)) == 1


def test_a_fire_cancels_the_task_before(bench: Bench) -> None:
    make(bench)
    fire(bench, read(bench), "s.1")
    (taken,) = bench.take()
    bench.start("s.1", taken.tag)
    assert not read(bench).previous_final
    fire(bench, read(bench), "s.2", cancel=True)
    assert bench.record("s.1").view().cancel_requested
    assert bench.record("s.1").text("cancel_reason") == "The next tick of its schedule came."
    fire(bench, read(bench), "s.3", cancel=True)
    assert bench.state("s.2") is State.REVOKED
    assert bench.state("s.3") is State.PENDING
    bench.move(Verb.STOP, "s.1", 1)


def test_a_unique_task_that_is_given_back_is_not_cancelled_for_itself(bench: Bench) -> None:
    make(bench)
    for number in (1, 2):
        one = bench.submission(f"s.{number}", unique="until_done f:x")
        kept = read(bench)
        bench.run(bench.calls.fire(kept, fired(number), DAY, [one], cancel=number > 1))
    assert bench.state("s.1") is State.PENDING
    assert read(bench).state.last_task == "s.1"


def test_a_full_queue_leaves_everything_as_it_was(bench: Bench) -> None:
    make(bench)
    fire(bench, read(bench), "s.1")
    kept = read(bench)
    full = bench.submission("s.2", most=1)
    assert bench.run(bench.calls.fire(kept, fired(2), DAY, [full], cancel=True)).outcome == "full"
    assert read(bench) == kept
    assert bench.state("s.1") is State.PENDING


def test_a_server_without_memory_refuses_to_fire_and_notes_nothing(bench: Bench) -> None:
    kept = make(bench)
    bench.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(LedgerUnavailableError, match="left nothing behind"):
            fire(bench, kept, "s.1")
        assert read(bench) == kept
        paused = kept.state.model_copy(update={"problem": "memory"})
        assert bench.run(bench.calls.save_schedule("s", kept.version, SPEC, paused, DAY)) == "saved"
    finally:
        bench.client.config_set("maxmemory", 0)
    assert fire(bench, read(bench), "s.1").outcome == "fired"


def test_what_is_due_is_found_and_when_the_next_is(bench: Bench) -> None:
    for number, look in enumerate((DAY, DAY + timedelta(seconds=30), None)):
        make(bench, f"s{number}", look)
    assert due(bench, DAY - timedelta(milliseconds=1)) == ([], DAY.timestamp() * 1000)
    assert due(bench, DAY) == (["s0"], (DAY.timestamp() + 30) * 1000)
    assert due(bench, DAY + timedelta(days=1)) == (["s0", "s1"], None)


def test_a_task_whose_record_is_gone_is_final(bench: Bench) -> None:
    make(bench)
    fire(bench, read(bench), "s.1")
    bench.cancel("s.1")
    assert read(bench).previous_final
    bench.run(bench.calls.forget("s.1"))
    assert read(bench).previous_final


def test_a_schedule_of_a_newer_version_is_left_alone(bench: Bench) -> None:
    make(bench, "new")
    make(bench, "old")
    bench.client.hset(f"{bench.keys.prefix}schedule:new", "spec", '{"name":"f","moon":"full"}')
    found = bench.run(bench.calls.due_schedules(DAY.timestamp(), 10))
    assert ([kept.schedule_id for kept in found.kept], found.unreadable) == (["old"], ["new"])
    assert [kept.schedule_id for kept in bench.run(bench.calls.schedules())] == ["old"]


def test_a_yard_has_so_many_schedules_and_no_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule_calls, "MOST_SCHEDULES", 2)
    for name in "ab":
        make(bench, name)
    assert bench.run(bench.calls.save_schedule("c", "", SPEC, STATE, None)) == "full"
    kept = read(bench, "a")
    assert bench.run(bench.calls.save_schedule("a", kept.version, SPEC, STATE, None)) == "saved"

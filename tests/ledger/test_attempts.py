"""start, move, settle, note and cancel: what is said of an attempt, and by whom it may be said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backyard.core.models import FailureKind
from backyard.core.states import FINAL, State, Verb
from backyard.ledger.task_calls import Moved, Started
from support.bench import DEATHS, Bench

# -- start ------------------------------------------------------------------------------------------------------------


def test_start_counts_the_attempt_and_names_the_worker(bench: Bench) -> None:
    bench.submit("a")
    (taken,) = bench.take()
    assert bench.start("a", taken.tag, worker='w"1"') == Started(1)
    view = bench.record("a").view()
    assert (view.state, view.attempt, view.worker) == (State.STARTED, 1, 'w"1"')
    assert view.date_started is not None
    assert bench.events("a")[-1].data == {"worker": 'w"1"'}


def test_only_the_living_entry_may_start(bench: Bench) -> None:
    bench.submit("a")
    (taken,) = bench.take("frozen")
    bench.lapse("frozen")
    assert bench.run(bench.calls.reap(10)) == 1
    assert bench.start("a", taken.tag) == Started(None, "doubled")
    assert bench.start("a", "normal/1-1") == Started(None, "doubled")
    assert bench.count("doubled") == 2
    (again,) = bench.take("other")
    assert bench.start("a", again.tag) == Started(1)


def test_same_start_twice_counts_once(bench: Bench) -> None:
    bench.submit("a")
    (taken,) = bench.take()
    assert bench.start("a", taken.tag, "token") == bench.start("a", taken.tag, "token") == Started(1)
    assert bench.start("a", taken.tag, "another") == Started(None, "refused")
    assert bench.states("a") == ["PENDING", "STARTED"]


@pytest.mark.parametrize("verb", [Verb.PROGRESS, Verb.SUCCEED, Verb.FAIL, Verb.STOP])
def test_a_task_that_is_past_its_start_is_not_started(bench: Bench, verb: Verb) -> None:
    task_id, taken = bench.running()
    bench.move(verb, task_id, 1)
    before = bench.raw(task_id)
    assert bench.start(task_id, taken.tag) == Started(None, "refused")
    assert bench.start(task_id) == Started(None, "refused")
    assert bench.raw(task_id) == before


def test_cancelled_before_start_never_starts(bench: Bench) -> None:
    bench.submit("a")
    (taken,) = bench.take()
    assert bench.cancel("a") == ["cancelled"]
    assert bench.start("a", taken.tag) == Started(None, "refused")
    assert bench.state("a") is State.REVOKED


@pytest.mark.parametrize("due", ["+60000"])
def test_waiting_in_the_due_set_is_not_started(bench: Bench, due: str) -> None:
    bench.submit("a", due=due)
    assert bench.start("a") == Started(None, "refused")


def test_unknown_is_not_started(bench: Bench) -> None:
    before = bench.snapshot()
    assert bench.start("nobody", "normal/1-1") == Started(None, "unknown")
    assert bench.snapshot() == before


def test_expired_task_ends_instead_of_starting(bench: Bench) -> None:
    bench.submit("a", expires="+600000")
    bench.expire_now("a")
    (taken,) = bench.take()
    assert bench.start("a", taken.tag) == Started(None, "expired")
    record = bench.record("a")
    assert record.state is State.FAILURE
    assert record.failure is not None
    assert record.failure.kind is FailureKind.EXPIRED
    assert bench.events("a")[-1].data["kind"] == "expired"
    assert bench.client.ttl(bench.keys.task("a")) > 0
    bench.run(bench.calls.acknowledge([taken.place]))
    assert bench.entries() == ({}, {})


def test_start_clears_the_progress_of_the_attempt_before(bench: Bench) -> None:
    task_id, _ = bench.running()
    bench.move(Verb.PROGRESS, task_id, 1, fields={"progress": '{"current":9,"percent":90}', "label": "L"})
    bench.lapse("c")
    bench.run(bench.calls.reap(10))
    (again,) = bench.take("d")
    bench.start(task_id, again.tag)
    assert bench.record(task_id).view().progress is None
    assert "label" not in bench.raw(task_id)


def test_task_that_takes_its_worker_with_it_again_and_again_ends(bench: Bench) -> None:
    bench.submit("a")
    for number in range(1, DEATHS.losses + 1):
        (taken,) = bench.take(f"c{number}")
        assert bench.start("a", taken.tag).attempt == number
        bench.lapse(f"c{number}")
        assert bench.run(bench.calls.reap(10)) == 1
    (taken,) = bench.take("last")
    assert bench.start("a", taken.tag) == Started(None, "lost")
    failure = bench.record("a").failure
    assert failure is not None
    assert failure.kind is FailureKind.QUARANTINED
    assert [one.attempt for one in failure.evidence or ()] == [1, 2, 3, 4]
    assert (bench.events("a")[-1].data or {})["kind"] == "quarantined"


# -- move -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "state"),
    [(Verb.PROGRESS, "PROGRESS"), (Verb.SUCCEED, "SUCCESS"), (Verb.FAIL, "FAILURE"), (Verb.STOP, "REVOKED")],
)
def test_move_writes_record_and_event_and_publishes(bench: Bench, verb: Verb, state: str) -> None:
    task_id, _ = bench.running()
    with bench.client.pubsub() as channel:
        channel.subscribe(bench.keys.task(task_id))
        assert channel.get_message(timeout=60)["type"] == "subscribe"
        moved = bench.move(verb, task_id, 1, event="news", data='{"n":1}', fields={"note": "x"})
        published = channel.get_message(timeout=60)
    assert moved == Moved("moved", state, 1)
    raw = bench.raw(task_id)
    assert (raw["state"], raw["note"]) == (state, "x")
    last = bench.events(task_id)[-1]
    assert (last.event, last.state, last.attempt, last.data) == ("news", state, 1, {"n": 1})
    assert json.loads(published["data"]) == {
        "event_id": last.event_id, "task_id": task_id, "event": "news", "state": state, "attempt": 1, "data": {"n": 1},
    }  # fmt: skip
    final = State(state) in FINAL
    assert (bench.client.ttl(bench.keys.task(task_id)) > 0) is final, "a lifetime begins with the end, and only then"
    assert ("finished" in raw) is final
    assert ("token" in raw) is not final


def test_ids_with_any_characters_are_published_whole(bench: Bench) -> None:
    task_id = 'weird "id" \\ with/ünïcode'
    bench.submit(task_id)
    with bench.client.pubsub() as channel:
        channel.subscribe(bench.keys.task(task_id))
        assert channel.get_message(timeout=60)["type"] == "subscribe"
        bench.cancel(task_id)
        assert json.loads(channel.get_message(timeout=60)["data"])["task_id"] == task_id


@pytest.mark.parametrize("attempt", [0, 1, 3])
def test_news_of_another_attempt_is_dropped_and_counted(bench: Bench, attempt: int) -> None:
    task_id, _ = bench.running()
    bench.lapse("c")
    bench.run(bench.calls.reap(10))
    (again,) = bench.take("d")
    bench.start(task_id, again.tag)
    before = bench.raw(task_id)
    for verb in (Verb.PROGRESS, Verb.SUCCEED, Verb.FAIL, Verb.STOP):
        assert bench.move(verb, task_id, attempt) == Moved("stale", "STARTED", 2)
    assert bench.run(bench.calls.add_lines(task_id, attempt, ["{}"])) is False
    assert bench.run(bench.calls.note(task_id, attempt, "artifact", "{}", fields={"x": "y"})) is False
    assert bench.raw(task_id) == before
    assert bench.run(bench.calls.log(task_id)) == []
    assert bench.count("stale") == 6


def test_lost_attempt_says_nothing_any_more(bench: Bench) -> None:
    """It has the right number, as long as no other attempt has begun; but it is not running."""
    task_id, _ = bench.running()
    bench.lapse("c")
    bench.run(bench.calls.reap(10))
    assert bench.move(Verb.SUCCEED, task_id, 1) == Moved("refused", "PENDING", 1)
    assert bench.run(bench.calls.add_lines(task_id, 1, ["{}"])) is False


@pytest.mark.parametrize("first", [Verb.SUCCEED, Verb.FAIL, Verb.STOP])
@pytest.mark.parametrize("second", [Verb.PROGRESS, Verb.SUCCEED, Verb.FAIL, Verb.STOP])
def test_final_is_final(bench: Bench, first: Verb, second: Verb) -> None:
    task_id, _ = bench.running()
    assert bench.move(first, task_id, 1, fields={"result": "1"}).outcome == "moved"
    before, events = bench.raw(task_id), bench.events()
    outcome = bench.move(second, task_id, 1, fields={"result": "2"})
    assert outcome.outcome == ("repeated" if first is second else "refused")
    assert outcome.applied is (first is second)
    assert bench.raw(task_id) == before
    assert bench.events() == events


def test_move_tells_of_a_cancel(bench: Bench) -> None:
    task_id, _ = bench.running()
    assert not bench.move(Verb.PROGRESS, task_id, 1).cancel
    bench.cancel(task_id)
    assert bench.move(Verb.PROGRESS, task_id, 1).cancel


def test_moves_of_the_unknown_make_nothing(bench: Bench) -> None:
    before = bench.snapshot()
    assert bench.move(Verb.SUCCEED, "nobody", 1) == Moved("unknown", "", 0)
    assert bench.cancel("nobody") == ["unknown"]
    assert bench.run(bench.calls.add_lines("nobody", 1, ["{}"])) is False
    assert {key: value for key, value in bench.snapshot().items() if not key.endswith("counts")} == before


@pytest.mark.parametrize("verb", sorted(set(Verb) - {Verb.PROGRESS, Verb.SUCCEED, Verb.FAIL, Verb.STOP}))
def test_moves_that_need_a_queue_are_not_made_without_one(bench: Bench, verb: Verb) -> None:
    with pytest.raises(ValueError, match="script of its own"):
        bench.calls.move(verb, "a", attempt=1)


# -- result lifetime --------------------------------------------------------------------------------------------------


def test_lifetime_begins_when_final_and_only_then(bench: Bench) -> None:
    task_id, taken = bench.running(lifetime=77)
    key, log = bench.keys.task(task_id), bench.keys.log(task_id)
    bench.run(bench.calls.add_lines(task_id, 1, ["{}"]))
    bench.move(Verb.PROGRESS, task_id, 1)
    bench.retry(task_id, 1, lifetime=77)
    assert (bench.client.ttl(key), bench.client.ttl(log)) == (-1, -1)
    bench.run(bench.calls.promote(10))
    bench.run(bench.calls.acknowledge([taken.place]))
    (again,) = bench.take()
    bench.start(task_id, again.tag)
    assert (bench.client.ttl(key), bench.client.ttl(log)) == (-1, -1)
    bench.move(Verb.SUCCEED, task_id, 2)
    assert 70 < bench.client.ttl(key) <= 77
    assert 70 < bench.client.ttl(log) <= 77


# -- note -------------------------------------------------------------------------------------------------------------


def test_the_last_lines_are_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backyard.ledger.task_calls.LOG_LINES", 3)
    task_id, _ = bench.running()
    assert bench.run(bench.calls.add_lines(task_id, 1, [json.dumps({"n": number}) for number in range(4)])) is True
    assert bench.run(bench.calls.add_lines(task_id, 1, [json.dumps({"n": 4})])) is True
    assert bench.run(bench.calls.note(task_id, 1, "artifact", '{"name":"x"}', fields={"artifact:x": "{}"})) is True
    assert bench.run(bench.calls.log(task_id)) == [{"n": 2}, {"n": 3}, {"n": 4}]
    assert bench.raw(task_id)["artifact:x"] == "{}"
    assert [one.event for one in bench.events(task_id)][2:] == ["log"] * 5 + ["artifact"]
    assert bench.state(task_id) is State.STARTED


# -- cancel -----------------------------------------------------------------------------------------------------------


def test_cancel_answers_for_each(bench: Bench) -> None:
    bench.submit("waits")
    bench.submit("delayed", due="+60000")
    done, _ = bench.running("done", queue="other")
    bench.move(Verb.SUCCEED, done, 1)
    runs, _ = bench.running("runs", queue="other")
    again, _ = bench.running("again", queue="other")
    bench.retry(again, 1, due="+60000", queue="other")
    outcomes = bench.cancel("waits", "delayed", done, runs, again, "nobody")
    assert outcomes == ["cancelled", "cancelled", "final", "requested", "cancelled", "unknown"]
    assert bench.due() == []
    assert list(bench.entries()[0]) == [], "the waiting task's entry is gone"
    assert bench.state(done) is State.SUCCESS
    assert bench.client.ttl(bench.keys.task("waits")) > 0
    assert bench.cancel(runs) == ["requested"]
    assert [one.event for one in bench.events(runs)] == ["state", "state", "cancel"], "told once"


def test_running_task_that_was_told_to_stop_ends_with_its_worker(bench: Bench) -> None:
    task_id, _ = bench.running()
    bench.cancel(task_id)
    bench.lapse("c")
    assert bench.run(bench.calls.reap(10)) == 1
    assert bench.state(task_id) is State.REVOKED
    assert bench.take("d") == []
    assert bench.states(task_id)[-1] == "REVOKED"


# -- settle -----------------------------------------------------------------------------------------------------------


def settle(bench: Bench, task_id: str, state: State, attempt: int | None = None, **options: Any) -> str:
    given = {"lifetime": 60, "data": "null", "fields": {"custom": "x"}, **options}
    outcome: str = bench.run(bench.calls.settle(task_id, state, attempt=attempt, **given))
    return outcome


def test_settle_makes_a_record_where_there_is_none(bench: Bench) -> None:
    assert settle(bench, "chord", State.SUCCESS, fields={"result": "[1]"}) == "moved"
    view = bench.record("chord").view()
    assert (view.state, view.result, view.attempt) == (State.SUCCESS, [1], 1)
    assert 0 < bench.client.ttl(bench.keys.task("chord")) <= 60
    assert bench.states("chord") == ["SUCCESS"]


@pytest.mark.parametrize("late", [State.FAILURE, State.STARTED, State.RETRY, State.PROGRESS, State.REVOKED])
def test_settle_never_overwrites_a_success(bench: Bench, late: State) -> None:
    task_id, _ = bench.running()
    bench.move(Verb.SUCCEED, task_id, 1)
    before = bench.raw(task_id)
    assert settle(bench, task_id, late) == "refused"
    assert settle(bench, task_id, late, 1) == "refused"
    assert bench.raw(task_id) == before


def test_settle_drops_what_a_stale_attempt_says(bench: Bench) -> None:
    task_id, _ = bench.running()
    for state in State:
        assert settle(bench, task_id, state, 7) == "stale"
    assert bench.state(task_id) is State.STARTED


def test_settle_of_an_attempt_leaves_a_failure_alone(bench: Bench) -> None:
    task_id, _ = bench.running()
    bench.move(Verb.FAIL, task_id, 1)
    assert settle(bench, task_id, State.RETRY, 1) == "refused"
    assert settle(bench, task_id, State.PROGRESS, 1) == "refused"
    assert bench.state(task_id) is State.FAILURE


def test_caller_without_attempts_may_run_a_failed_task_anew(bench: Bench) -> None:
    settle(bench, "plain", State.STARTED)
    settle(bench, "plain", State.FAILURE, fields={"failure": "{}"})
    assert bench.client.ttl(bench.keys.task("plain")) > 0
    assert settle(bench, "plain", State.PROGRESS) == "moved"
    assert bench.client.ttl(bench.keys.task("plain")) == -1, "the record would vanish while its task runs"
    assert not {"finished", "failure"} & bench.raw("plain").keys()
    settle(bench, "plain", State.SUCCESS)
    assert bench.client.ttl(bench.keys.task("plain")) > 0


def test_settle_adds_why_to_a_retry_that_was_sent(bench: Bench) -> None:
    task_id, _ = bench.running()
    bench.retry(task_id, 1, due="+60000")
    events = len(bench.events())
    assert (
        settle(bench, task_id, State.RETRY, 1, fields={"failure": '{"kind":"error","type":"E","message":"m"}'})
        == "moved"
    )
    assert bench.record(task_id).failure is not None
    assert len(bench.events()) == events
    bench.make_due(task_id)
    bench.run(bench.calls.promote(10))
    assert settle(bench, task_id, State.RETRY, 1) == "refused", "the next round has begun"
    assert bench.state(task_id) is State.PENDING


def test_settled_end_takes_the_task_out_of_the_due_set(bench: Bench) -> None:
    bench.submit("a", due="+60000")
    assert settle(bench, "a", State.REVOKED) == "moved"
    assert bench.due() == []


def test_forget_removes_record_and_log(bench: Bench) -> None:
    task_id, taken = bench.running()
    bench.run(bench.calls.add_lines(task_id, 1, ["{}"]))
    bench.run(bench.calls.forget(task_id))
    assert bench.client.exists(bench.keys.task(task_id), bench.keys.log(task_id)) == 0
    assert bench.move(Verb.SUCCEED, task_id, 1).outcome == "unknown"
    bench.run(bench.calls.acknowledge([taken.place]))
    bench.client.zrem(f"{bench.keys.prefix}tasks", task_id)

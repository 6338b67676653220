"""The submit script: record, entry, event and Idempotency-Key in one step, or none of them."""

from __future__ import annotations

import threading

import pytest

from backyard.core.states import State, Verb
from backyard.ledger.line import BATCH
from backyard.ledger.submission import Accepted
from support.bench import Bench


def test_submit_makes_record_entry_and_event_at_once(bench: Bench) -> None:
    accepted = bench.submit("a", fields={"input": b'{"x":1}', "tags": '["t"]'}, lane="high")
    assert accepted == Accepted("created", "a", "PENDING")
    view = bench.record("a").view()
    assert (view.name, view.queue, view.priority, view.attempt) == ("f", "q", "high", 0)
    assert (view.input, view.tags, view.state) == ({"x": 1}, ["t"], State.PENDING)
    ready, pending = bench.entries()
    assert (list(ready.values()), pending) == (["a"], {})
    assert "q/" + bench.raw("a")["entry"] in ready
    assert [(one.event, one.state, one.attempt) for one in bench.events()] == [("state", "PENDING", 0)]
    assert bench.client.ttl(bench.keys.task("a")) == -1


def test_same_id_makes_one_task(bench: Bench) -> None:
    bench.submit("a")
    before = bench.snapshot()
    assert bench.submit("a", name="other", queue="other") == Accepted("exists", "a", "PENDING")
    assert bench.snapshot() == before


@pytest.mark.parametrize("verb", [Verb.SUCCEED, Verb.FAIL, Verb.STOP])
def test_once_never_runs_a_final_task_again(bench: Bench, verb: Verb) -> None:
    task_id, _ = bench.running()
    bench.move(verb, task_id, 1)
    assert bench.submit(task_id).outcome == "exists"
    assert len(bench.states(task_id)) == 3


def test_again_runs_a_final_task_anew_with_nothing_of_the_old_run(bench: Bench) -> None:
    task_id, taken = bench.running("a", expires="+600000", fields={"input": "1"})
    bench.run(bench.calls.add_lines(task_id, 1, ['{"message":"old"}']))
    bench.move(Verb.PROGRESS, task_id, 1, fields={"progress": '{"current":1}', "label": "L"})
    bench.cancel(task_id)
    bench.move(Verb.FAIL, task_id, 1, fields={"failure": "{}", "exception": "E", "traceback": "T", "celery": "{}"})
    bench.run(bench.calls.acknowledge([taken.place]))
    assert bench.client.ttl(bench.keys.task("a")) > 0
    assert bench.submit("a", again=True, fields={"input": "2"}) == Accepted("created", "a", "PENDING")
    raw = bench.raw("a")
    left = {
        "failure",
        "exception",
        "traceback",
        "celery",
        "progress",
        "label",
        "cancel",
        "expires",
        "finished",
        "started",
    }
    assert not left & raw.keys()
    assert (raw["input"], raw["attempt"]) == ("2", "1")
    assert bench.client.ttl(bench.keys.task("a")) == bench.client.ttl(bench.keys.log("a")) == -1
    (taken,) = bench.take()
    assert bench.start("a", taken.tag).attempt == 2, "the old attempt's number would let its late news in"


@pytest.mark.parametrize("due", ["", "+60000"])
def test_again_leaves_a_waiting_task_alone(bench: Bench, due: str) -> None:
    bench.submit("a", due=due)
    before = bench.snapshot()
    assert bench.submit("a", again=True).outcome == "exists"
    assert bench.snapshot() == before


# -- retries ----------------------------------------------------------------------------------------------------------


def test_running_attempt_sends_its_task_anew(bench: Bench) -> None:
    task_id, taken = bench.running()
    assert bench.retry(task_id, 1, due="+60000", message=b"second") == Accepted("retried", task_id, "RETRY")
    bench.check_nothing_lost()
    bench.run(bench.calls.acknowledge([taken.place]))
    assert bench.take() == []
    bench.make_due(task_id)
    assert bench.run(bench.calls.promote(10)) == 1
    (again,) = bench.take()
    assert (again.message, again.again) == ("second", False)
    assert bench.start(task_id, again.tag).attempt == 2
    assert bench.states(task_id) == ["PENDING", "STARTED", "RETRY", "PENDING", "STARTED"]


def test_stale_attempt_cannot_send_the_task_anew(bench: Bench) -> None:
    task_id, _ = bench.running("a", consumer="frozen")
    bench.lapse("frozen")
    bench.run(bench.calls.reap(10))
    (taken,) = bench.take("other")
    assert bench.start(task_id, taken.tag).attempt == 2
    bench.retry(task_id, 1)
    bench.submit(task_id, again=True)
    assert bench.state(task_id) is State.STARTED
    assert bench.move(Verb.SUCCEED, task_id, 2).applied


def test_cancelled_task_is_not_retried(bench: Bench) -> None:
    task_id, _ = bench.running()
    assert bench.cancel(task_id) == ["requested"]
    bench.retry(task_id, 1, due="+1")
    assert bench.state(task_id) is State.REVOKED
    assert bench.due() == []


# -- due and expiry ---------------------------------------------------------------------------------------------------


def test_delayed_task_waits_in_the_due_set(bench: Bench) -> None:
    assert bench.submit("a", due="+60000").state == "SCHEDULED"
    assert bench.due() == ["a"]
    assert bench.take() == []
    (event,) = bench.events("a")
    raw = bench.raw("a")
    assert event.data == {"due": int(raw["due"])} == {"due": int(raw["created"]) + 60_000}
    assert bench.record("a").view().date_due is not None


@pytest.mark.parametrize("due", ["1", "+0", "1000"])
def test_time_that_is_past_is_now(bench: Bench, due: str) -> None:
    assert bench.submit("a", due=due).state == "PENDING"
    assert bench.due() == []


def test_far_future_is_kept_to_the_millisecond(bench: Bench) -> None:
    bench.submit("a", due="253402300799999")
    assert bench.record("a").number("due") == 253402300799999
    assert bench.client.zscore(f"{bench.keys.prefix}due", "a") == 253402300799999
    assert bench.events("a")[0].data["due"] == pytest.approx(253402300799999)


def test_expiry_is_kept_absolute(bench: Bench) -> None:
    bench.submit("a", expires="+5000")
    bench.submit("b", expires="99999999999999")
    raw = bench.raw("a")
    assert int(raw["expires"]) == int(raw["created"]) + 5_000
    assert bench.raw("b")["expires"] == "99999999999999"


# -- Idempotency-Key --------------------------------------------------------------------------------------------------


def test_key_gives_the_first_task_back(bench: Bench) -> None:
    key = {"once": "k e y", "fingerprint": "f1", "once_lifetime": 60}
    assert bench.submit("a", **key).outcome == "created"
    before = bench.snapshot()
    assert bench.submit("b", **key) == Accepted("exists", "a", "PENDING")
    assert bench.submit("c", **{**key, "fingerprint": "f2"}) == Accepted("conflict", "a", "PENDING")
    assert bench.snapshot() == before
    assert 0 < bench.client.ttl(f"{bench.keys.prefix}once:k e y") <= 60


def test_key_outlives_the_task(bench: Bench) -> None:
    key = {"once": "k", "fingerprint": "f", "once_lifetime": 60}
    bench.submit("a", **key)
    bench.cancel("a")
    assert bench.submit("b", **key) == Accepted("exists", "a", "REVOKED")
    bench.run(bench.calls.forget("a"))
    assert bench.submit("c", **key) == Accepted("exists", "a", "")


def test_keys_of_one_batch_see_each_other(bench: Bench) -> None:
    same = {"once": "k", "fingerprint": "f", "once_lifetime": 60}
    answers = bench.ledger.submit(
        [bench.submission("a", **same), bench.submission("b", **same), bench.submission("a"), bench.submission("c")]
    )
    assert [(answer.outcome, answer.task_id) for answer in answers] == [
        ("created", "a"), ("exists", "a"), ("exists", "a"), ("created", "c"),
    ]  # fmt: skip


# -- many -------------------------------------------------------------------------------------------------------------


def test_many_at_once_keep_their_order(bench: Bench) -> None:
    ids = [f"n{number:04}" for number in range(2 * BATCH + 3)]
    answers = bench.ledger.submit([bench.submission(task_id) for task_id in ids])
    assert [answer.task_id for answer in answers] == ids
    assert [taken.message for taken in bench.take(most=len(ids))] == [f"m:{task_id}" for task_id in ids]


def test_one_that_fails_leaves_nothing_of_itself(bench: Bench) -> None:
    """The server's own refusal in the middle of a batch: tasks before it are whole, and it is nowhere."""
    bench.client.set(bench.keys.task("b"), "a key of another type")
    with pytest.raises(Exception, match="WRONGTYPE"):
        bench.ledger.submit([bench.submission("a"), bench.submission("b"), bench.submission("c")])
    bench.client.delete(bench.keys.task("b"))
    assert list(bench.entries()[0].values()) == ["a"]
    assert [one.task_id for one in bench.events()] == ["a"]


def test_racing_submits_of_one_id_make_one_task(bench: Bench) -> None:
    outcomes: list[str] = []
    gate = threading.Barrier(8)

    def submit() -> None:
        gate.wait(60)
        outcomes.append(bench.submit("a", once="k", fingerprint="f", once_lifetime=60).outcome)

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["created"] + ["exists"] * 7
    assert len(bench.take(most=10)) == 1

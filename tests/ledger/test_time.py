"""What time does to waiting tasks: it makes them due, once, and it ends those that may not start any more."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from backyard.core.models import FailureKind
from backyard.core.states import State, Verb
from backyard.engine import due
from backyard.engine.due import keep_time
from support.bench import Bench


def expire(bench: Bench, *task_ids: str) -> int:
    """Let the time come after which tasks start no more, and let somebody look."""
    for task_id in task_ids:
        bench.client.zadd(f"{bench.keys.prefix}expiry", {task_id: 1}, xx=True)
        bench.expire_now(task_id)
    return int(bench.run(bench.calls.expire(100)))


def watched(bench: Bench) -> list[str]:
    return list(bench.client.zrange(f"{bench.keys.prefix}expiry", 0, -1))


# -- expiry -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("due_at", ["", "+600000"])
def test_what_waits_too_long_is_ended_without_any_worker(bench: Bench, due_at: str) -> None:
    bench.submit("a", due=due_at, expires="+60000")
    assert bench.run(bench.calls.expire(100)) == 0, "its time is not over"
    assert expire(bench, "a") == 1
    record = bench.record("a")
    assert record.state is State.FAILURE
    assert record.failure is not None
    assert (record.failure.kind, record.failure.message) == (
        FailureKind.EXPIRED,
        "The task had not started when its time to start ran out.",
    )
    assert (bench.entries(), bench.due(), watched(bench), bench.take()) == (({}, {}), [], [], [])
    assert bench.client.ttl(bench.keys.task("a")) > 0
    assert bench.states("a")[-1] == "FAILURE"


def test_what_a_worker_holds_and_has_not_begun_is_ended_too(bench: Bench) -> None:
    bench.submit("a", expires="+60000")
    (taken,) = bench.take()
    expire(bench, "a")
    assert bench.state("a") is State.FAILURE
    assert bench.start("a", taken.tag).reason == "refused"
    assert bench.run(bench.calls.give_back([taken.place], "rejected")) is not None
    assert bench.take() == []


def test_what_runs_runs_on(bench: Bench) -> None:
    task_id, _ = bench.running(expires="+60000")
    expire(bench, task_id)
    assert bench.state(task_id) is State.STARTED
    assert watched(bench) == []
    assert bench.move(Verb.SUCCEED, task_id, 1).applied


@pytest.mark.parametrize("way", ["retried", "lost"])
def test_what_comes_to_wait_again_is_ended_then(bench: Bench, way: str) -> None:
    task_id, taken = bench.running(expires="+60000")
    expire(bench, task_id)
    if way == "retried":
        bench.retry(task_id, 1, due="+600000")
        bench.run(bench.calls.acknowledge([taken.place]))
    else:
        bench.run(bench.calls.give_back([taken.place], "worker_lost"))
    assert watched(bench) == [task_id]
    assert bench.run(bench.calls.expire(100)) == 1
    record = bench.record(task_id)
    assert record.failure is not None
    assert "another attempt" in record.failure.message
    assert (bench.due(), bench.entries()) == ([], ({}, {}))


def test_what_is_over_is_watched_no_more(bench: Bench) -> None:
    for how in ("ends", "is cancelled", "is purged"):
        bench.submit(how, expires="+60000")
    (taken,) = bench.take()
    bench.start("ends", taken.tag)
    assert len(watched(bench)) == 3
    bench.move(Verb.SUCCEED, "ends", 1)
    bench.cancel("is cancelled")
    bench.run(bench.calls.purge("q", 10))
    assert watched(bench) == []
    bench.run(bench.calls.acknowledge([taken.place]))


def test_a_plain_app_sees_to_its_own(bench: Bench) -> None:
    bench.submit("a", expires="+60000", again=True, plain=True)
    assert watched(bench) == []


def test_many_expire_in_steps(bench: Bench) -> None:
    ids = [f"n{number}" for number in range(250)]
    bench.ledger.submit([bench.submission(task_id, expires="+60000") for task_id in ids])
    bench.client.zadd(f"{bench.keys.prefix}expiry", dict.fromkeys(ids, 1))
    assert [bench.run(bench.calls.expire(100)) for _ in range(4)] == [100, 100, 50, 0]
    assert {bench.state(task_id) for task_id in ids} == {State.FAILURE}


# -- late news of a retry ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [Verb.SUCCEED, Verb.FAIL, Verb.STOP])
def test_a_late_retry_does_not_run_a_final_task_anew(bench: Bench, verb: Verb) -> None:
    """A worker freezes, another takes over and ends the task; then the first one thaws and sends its retry."""
    task_id, taken = bench.running("a", consumer="frozen")
    bench.lapse("frozen")
    bench.end_grace()
    bench.run(bench.calls.reap(10))
    (other,) = bench.take("other")
    assert bench.start(task_id, other.tag).attempt == 2
    bench.move(verb, task_id, 2)
    bench.run(bench.calls.acknowledge([taken.place, other.place]))
    before = bench.states(task_id)
    for number in (1, 2, 3):
        assert bench.retry(task_id, number).outcome == "exists"
    assert (bench.states(task_id), bench.due(), bench.take()) == (before, [], [])


def test_a_retry_whose_answer_was_lost_is_sent_once(bench: Bench) -> None:
    task_id, taken = bench.running()
    assert bench.retry(task_id, 1).outcome == "retried"
    assert bench.retry(task_id, 1).outcome == "exists"
    bench.run(bench.calls.promote(10))
    assert bench.retry(task_id, 1).outcome == "exists"
    (again,) = bench.take()
    bench.start(task_id, again.tag)
    assert bench.retry(task_id, 1).outcome == "exists"
    assert bench.state(task_id) is State.STARTED
    bench.run(bench.calls.acknowledge([taken.place]))


# -- many due at once -------------------------------------------------------------------------------------------------


def test_many_promoters_promote_each_task_once(bench: Bench) -> None:
    ids = [f"n{number:04}" for number in range(2_000)]
    bench.ledger.submit([bench.submission(task_id, due="+600000") for task_id in ids])
    bench.make_due(*ids)
    moved: Counter[int] = Counter()

    def promote(number: int) -> None:
        for _ in range(2_000):
            if not bench.due():
                return
            moved[number] += keep_time(bench.run, bench.calls, str(number), 1.0)

    threads = [threading.Thread(target=promote, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(moved.values()) == len(ids)
    assert Counter(one.task_id for one in bench.events() if one.state == "PENDING") == Counter(ids)
    taken = bench.take(most=3_000)
    assert sorted(one.message for one in taken) == [f"m:{task_id}" for task_id in ids]
    assert len({one.entry for one in taken}) == len(ids)


def test_one_goes_on_with_much_and_the_others_leave_it(bench: Bench) -> None:
    ids = [f"n{number:03}" for number in range(3 * due.AT_ONCE)]
    bench.ledger.submit([bench.submission(task_id, due="+600000") for task_id in ids])
    bench.make_due(*ids)
    assert bench.run(bench.calls.turn("other", 600_000)) == 1
    assert keep_time(bench.run, bench.calls, "me", 60.0) == due.AT_ONCE
    bench.client.hset(f"{bench.keys.prefix}pulse", "turn_until", 1)  # the other died
    assert keep_time(bench.run, bench.calls, "me", 60.0) == 2 * due.AT_ONCE
    assert bench.due() == []


def test_a_process_has_other_things_to_do_as_well(bench: Bench) -> None:
    ids = [f"n{number:03}" for number in range(2 * due.AT_ONCE)]
    bench.ledger.submit([bench.submission(task_id, due="+600000") for task_id in ids])
    bench.make_due(*ids)
    assert keep_time(bench.run, bench.calls, "me", -1.0) == due.AT_ONCE


def test_others_get_their_turn_between_two_steps(bench: Bench) -> None:
    """Whatever is due, no step does more than it was asked for."""
    ids = [f"n{number:03}" for number in range(3 * due.AT_ONCE)]
    bench.ledger.submit([bench.submission(task_id, due="+600000") for task_id in ids])
    bench.make_due(*ids)
    sizes: list[Any] = []

    def send(call: Any) -> int:
        before = len(bench.due())
        answer = int(bench.run(call))
        sizes.append(before - len(bench.due()))
        return answer

    assert keep_time(send, bench.calls, "me", 60.0) == len(ids)
    assert max(sizes) == due.AT_ONCE
    assert sum(sizes) == len(ids)

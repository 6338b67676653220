"""What a submit is refused or answered for: tasks like it, and queues that are full."""

from __future__ import annotations

import time
from typing import Any

import pytest

from backyard.core.errors import QueueFullError
from backyard.core.states import State, Verb
from backyard.ledger.limit_calls import Limit
from support.bench import Bench


def keys_left(bench: Bench) -> list[str]:
    return list(bench.client.scan_iter(f"{bench.keys.prefix}unique:*", 1_000))


def begin(bench: Bench, task_id: str) -> None:
    (taken,) = bench.take()
    assert bench.start(task_id, taken.tag).attempt is not None


# -- unique -------------------------------------------------------------------------------------------------------


def test_until_done_gives_the_earlier_task_back_until_it_is_over(bench: Bench) -> None:
    unique = {"unique": "until_done f:x"}
    bench.submit("a", **unique)
    assert bench.submit("b", **unique) == bench.submit("c", **unique)
    again = bench.submit("d", **unique)
    assert (again.outcome, again.task_id, again.state) == ("exists", "a", "PENDING")
    assert bench.submit("e", unique="until_done f:y").outcome == "created"
    begin(bench, "a")
    assert bench.submit("f", **unique).state == "STARTED"
    bench.move(Verb.SUCCEED, "a", 1)
    assert bench.submit("g", **unique).outcome == "created"
    assert bench.cancel("g", "e") == ["cancelled", "cancelled"]
    assert keys_left(bench) == []
    assert [one for one in "bcdf" if bench.raw(one)] == []


def test_until_start_gives_the_earlier_task_back_until_it_starts(bench: Bench) -> None:
    unique = {"unique": "until_start f:x"}
    bench.submit("a", **unique)
    assert bench.submit("b", **unique).task_id == "a"
    begin(bench, "a")
    assert keys_left(bench) == []
    assert bench.submit("b", **unique).outcome == "created"
    bench.move(Verb.SUCCEED, "a", 1)
    assert bench.submit("c", **unique).task_id == "b", "the end of another is nothing to it"


def test_a_task_that_waits_for_its_time_or_a_limit_is_in_the_way_too(bench: Bench) -> None:
    unique = {"unique": "until_start f:x"}
    bench.submit("a", due="+600000", **unique)
    assert bench.submit("b", **unique).state == "SCHEDULED"
    bench.make_due("a")
    bench.run(bench.calls.promote(10))
    bench.run(bench.calls.pause("definition", "f", ""))
    (taken,) = bench.take()
    bench.start("a", taken.tag)
    assert bench.submit("b", **unique).task_id == "a"
    bench.cancel("a")
    assert keys_left(bench) == []


def test_a_window_holds_after_a_success_and_not_after_a_failure(bench: Bench) -> None:
    unique = {"unique": "window f:x", "window": 600.0}
    bench.submit("a", **unique)
    begin(bench, "a")
    bench.move(Verb.FAIL, "a", 1)
    assert bench.submit("b", **unique).outcome == "created"
    begin(bench, "b")
    bench.move(Verb.SUCCEED, "b", 1)
    again = bench.submit("c", **unique)
    assert (again.outcome, again.task_id, again.state) == ("exists", "b", "SUCCESS")
    (key,) = keys_left(bench)
    assert 0 < bench.client.pttl(key) <= 600_000


def test_a_window_ends(bench: Bench) -> None:
    unique = {"unique": "window f:x", "window": 0.05}
    bench.submit("a", **unique)
    while keys_left(bench):
        time.sleep(0.01)
    assert bench.submit("b", **unique).outcome == "created"


def test_a_retry_is_not_in_its_own_way(bench: Bench) -> None:
    unique = {"unique": "until_done f:x"}
    bench.submit("a", **unique)
    begin(bench, "a")
    assert bench.retry("a", 1, **unique).outcome == "retried"
    assert bench.submit("b", **unique).task_id == "a"


def test_two_alike_in_one_batch_make_one_task(bench: Bench) -> None:
    rows = bench.ledger.submit([bench.submission(one, unique="until_done f:x") for one in "ab"])
    assert [(row.outcome, row.task_id) for row in rows] == [("created", "a"), ("exists", "a")]


# -- bounded queues -----------------------------------------------------------------------------------------------


def test_a_full_queue_takes_nothing_more(bench: Bench) -> None:
    for task_id in "abc":
        bench.submit(task_id, most=3)
    with pytest.raises(QueueFullError, match=r"Queue 'q' may hold 3 tasks") as caught:
        bench.submit("d", most=3)
    assert caught.value.retry_after == 60
    assert not bench.raw("d")
    assert bench.count("full") == 1
    assert bench.submit("a", most=3).outcome == "exists", "what is there already is no new one"
    assert bench.submit("r1", queue="r", most=3).outcome == "created"
    assert bench.submit("later", due="+600000", most=3).outcome == "created", "it waits elsewhere"
    begin(bench, "a")
    assert bench.submit("d", most=3).outcome == "created", "what runs is no longer in the queue"


def test_parked_tasks_count(bench: Bench) -> None:
    for task_id in "abc":
        bench.submit(task_id, most=3)
    for taken in bench.take("c", 3):
        bench.start(taken.message[2:], taken.tag, limits=[Limit("definition:f", 1)])
    assert bench.submit("d", most=3).outcome == "created"
    with pytest.raises(QueueFullError):
        bench.submit("e", most=3)
    bench.cancel("b")
    assert bench.submit("e", most=3).outcome == "created"


def test_a_batch_is_accepted_as_a_whole_or_not_at_all(bench: Bench) -> None:
    with pytest.raises(QueueFullError):
        bench.ledger.submit([bench.submission(one, most=3) for one in "abcd"])
    with pytest.raises(QueueFullError):
        bench.ledger.submit([bench.submission(one, most=3, more=2) for one in "ab"])
    assert bench.records() == {}
    assert len(bench.ledger.submit([bench.submission(one, most=3) for one in "abc"])) == 3


def test_a_key_or_a_twin_is_no_new_task(bench: Bench) -> None:
    first: dict[str, Any] = {"once": "key", "fingerprint": "x", "once_lifetime": 60, "unique": "until_done f:x"}
    bench.submit("a", most=1, **first)
    assert bench.submit("b", most=1, once="key", fingerprint="x", once_lifetime=60).task_id == "a"
    assert bench.submit("c", most=1, unique="until_done f:x").task_id == "a"


def test_retries_and_lost_tasks_are_never_refused(bench: Bench) -> None:
    bench.submit("a", most=1)
    begin(bench, "a")
    bench.submit("b", most=1)
    assert bench.retry("a", 1).outcome == "retried"
    bench.make_due("a")
    bench.run(bench.calls.promote(10))
    assert bench.state("a") is State.PENDING


def test_the_time_to_wait_follows_how_fast_tasks_begin(bench: Bench) -> None:
    for number in range(50):
        bench.submit(f"n{number}", most=50)
    for taken in bench.take("c", 30):
        bench.start(taken.message[2:], taken.tag)
    for number in range(30):
        bench.submit(f"m{number}", most=50)
    with pytest.raises(QueueFullError) as caught:
        bench.submit("x", most=50)
    assert 1 <= caught.value.retry_after <= 60

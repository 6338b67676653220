"""The self-check of limits: slots, rows and records that do not fit, and tasks that would wait for ever."""

from __future__ import annotations

import pytest

from backyard.core.states import State, Verb
from backyard.engine.check import Report, Walk
from backyard.ledger.limit_calls import Limit
from support.bench import LEASE, Bench

ONE = Limit("definition:f", 1)
KEY = Limit("key:f:a", 1)
RATE = Limit("rate:f", 1, 3_600_000.0)


def check(bench: Bench, *, repair: bool = True) -> Report:
    """Walk once over the bench's yard."""
    return Walk(bench.run, bench.calls, LEASE, repair=repair).all()


def repairs(bench: Bench) -> dict[str, int]:
    """Walk once, and return what was put right: what a dry walk has found, and a second walk does not find any more."""
    before = bench.snapshot()
    looked = check(bench, repair=False)
    assert bench.snapshot() == before
    report = check(bench)
    assert looked.found == report.found == report.repaired
    assert check(bench).clean
    return dict(report.repaired)


def begin(bench: Bench, *limits: Limit) -> dict[str, int | str]:
    """Take and start all there is; says for each task what came of it."""
    outcomes: dict[str, int | str] = {}
    for taken in bench.take(most=100):
        started = bench.start(taken.message[2:], taken.tag, limits=limits)
        outcomes[taken.message[2:]] = started.attempt or started.reason
    return outcomes


@pytest.fixture
def parked(bench: Bench) -> Bench:
    """A yard where ``a`` runs, and ``b`` waits for its slot."""
    bench.submit("a")
    bench.submit("b")
    assert begin(bench, ONE) == {"a": 1, "b": "limited"}
    return bench


def test_who_waits_for_a_limit_is_left_alone(parked: Bench) -> None:
    assert check(parked).clean
    parked.move(Verb.SUCCEED, "a", 1)
    assert check(parked).clean
    assert begin(parked, ONE) == {"b": 1}
    assert check(parked).clean
    parked.check_limits({"definition:f": 1})


def test_a_pause_and_a_rate_are_left_alone(bench: Bench) -> None:
    bench.run(bench.calls.pause("queue", "q", ""))
    bench.submit("paused")
    assert set(begin(bench).values()) <= {"limited"}
    assert check(bench).clean
    bench.run(bench.calls.resume("queue", "q"))
    assert check(bench).clean
    bench.run(bench.calls.promote(10))
    assert begin(bench, RATE) == {"paused": 1}
    bench.submit("waits")
    assert begin(bench, RATE) == {"waits": "limited"}
    assert check(bench).clean


def test_slots_of_forgotten_tasks_go_to_those_that_wait(parked: Bench) -> None:
    parked.run(parked.calls.forget("a"))
    assert repairs_with_leftovers(parked) >= {"slot"}
    assert begin(parked, ONE) == {"b": 1}
    parked.check_limits({"definition:f": 1})


def repairs_with_leftovers(bench: Bench) -> set[str]:
    """Walk until all fits; a slot that is given on is no finding of its own."""
    return set(check(bench).repaired) | set(check(bench).repaired)


def test_a_slot_that_its_limit_forgot_is_given_again(parked: Bench) -> None:
    parked.client.delete(f"{parked.keys.prefix}slots:definition:f")
    assert check(parked).repaired["slotless"] == 1
    parked.move(Verb.SUCCEED, "a", 1)
    assert check(parked).clean
    assert begin(parked, ONE) == {"b": 1}


def test_a_parked_task_that_its_limit_forgot_is_queued_again(parked: Bench) -> None:
    prefix = parked.keys.prefix
    parked.client.delete(f"{prefix}parked:definition:f", f"{prefix}limits")
    assert repairs(parked) == {"unparked": 1}
    assert parked.client.exists(f"{prefix}parked_of:q") == 0
    assert begin(parked, ONE) == {"b": "limited"}
    parked.move(Verb.SUCCEED, "a", 1)
    assert begin(parked, ONE) == {"b": 1}


def test_rows_of_tasks_that_wait_elsewhere_go(parked: Bench) -> None:
    parked.client.zadd(f"{parked.keys.prefix}parked:definition:f", {"nobody": 1, "a": 2})
    assert repairs(parked) == {"misplaced": 2}
    assert parked.parked("definition:f") == ["b"]


def test_a_limit_that_nobody_looks_after_is_woken(parked: Bench) -> None:
    parked.client.delete(f"{parked.keys.prefix}limits")
    assert repairs(parked) == {"bookless": 1}
    assert begin(parked, ONE) == {"b": "limited"}
    parked.check_limits({"definition:f": 1})


def test_a_book_without_anybody_who_waits_is_closed(bench: Bench) -> None:
    bench.client.hset(f"{bench.keys.prefix}limits", "definition:f", 1)
    assert repairs(bench) == {"bookless": 1}
    assert bench.client.exists(f"{bench.keys.prefix}limits") == 0


def test_who_sleeps_at_a_limit_with_room_is_woken(parked: Bench) -> None:
    parked.client.hdel(parked.keys.task("a"), "held")
    parked.client.zrem(f"{parked.keys.prefix}slots:definition:f", "a")
    assert repairs(parked) == {"sleeping": 1}
    assert begin(parked, ONE) == {"b": 1}


def test_what_a_queue_counts_as_waiting_is_put_right(parked: Bench) -> None:
    key = f"{parked.keys.prefix}parked_of:q"
    parked.client.delete(key)
    assert repairs(parked) == {"miscounted": 1}
    assert parked.client.smembers(key) == {"b"}
    parked.client.sadd(key, "a", "nobody")
    assert repairs(parked) == {"miscounted": 2}
    assert parked.client.smembers(key) == {"b"}


def test_two_limits_at_once(bench: Bench) -> None:
    bench.submit("a")
    assert begin(bench, KEY, ONE) == {"a": 1}
    bench.client.delete(f"{bench.keys.prefix}slots:key:f:a", f"{bench.keys.prefix}slots:definition:f")
    assert repairs(bench) == {"slotless": 2}
    assert bench.slots("key:f:a") == bench.slots("definition:f") == {"a"}


def test_who_is_over_is_in_nobodys_way(bench: Bench) -> None:
    key = f"{bench.keys.prefix}unique:f:digest"
    bench.client.set(key, "nobody")
    bench.client.set(f"{key}2", "nobody", ex=60)
    bench.submit("a", fields={"unique": "until_done f:digest3"})
    bench.client.set(f"{key}3", "a")
    assert repairs(bench) == {"unique": 1}
    assert (bench.client.exists(key), bench.client.exists(f"{key}2"), bench.client.get(f"{key}3")) == (0, 1, "a")
    bench.cancel("a")
    assert check(bench).clean
    assert bench.state("a") is State.REVOKED

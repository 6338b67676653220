"""Limits, step by step: who gets a slot, who waits, who is woken, and that nothing is left over."""

from __future__ import annotations

from typing import Any

import pytest

from backyard.core.states import State, Verb
from backyard.ledger.limit_calls import Limit
from support.bench import Bench, Taken

#: Names a start that is sent twice.
SAME = "same"
ONE = Limit("definition:f", 1)
TWO = Limit("definition:f", 2)
KEY = Limit("key:f:a", 1)
ALL = Limit("running", 2)


def taken_of(bench: Bench, consumer: str = "c") -> dict[str, Taken]:
    """Take all there is, by task."""
    return {one.message[2:]: one for one in bench.take(consumer, 100)}


def begin(bench: Bench, limits: list[Limit], consumer: str = "c") -> dict[str, Any]:
    """Take and start all there is; says for each task what came of it."""
    outcomes = {}
    for task_id, taken in taken_of(bench, consumer).items():
        started = bench.start(task_id, taken.tag, limits=limits)
        outcomes[task_id] = started.attempt or started.reason
    return outcomes


def end(bench: Bench, task_id: str, verb: Verb = Verb.SUCCEED, attempt: int = 1) -> None:
    assert bench.move(verb, task_id, attempt).applied


def submit(bench: Bench, *task_ids: str, **options: Any) -> None:
    for task_id in task_ids:
        assert bench.submit(task_id, **options).outcome == "created"


def test_a_task_that_meets_a_full_limit_waits_without_an_entry(bench: Bench) -> None:
    submit(bench, "a", "b")
    assert begin(bench, [ONE]) == {"a": 1, "b": "limited"}
    record = bench.raw("b")
    assert (record["state"], record["parked"], record["message"]) == ("PENDING", "definition:f", "m:b")
    assert "entry" not in record
    assert bench.parked("definition:f") == ["b"]
    assert bench.take() == []
    bench.check_limits({"definition:f": 1})

    end(bench, "a")
    assert "parked" not in bench.raw("b")
    assert bench.slots("definition:f") == {"b"}
    assert begin(bench, [ONE]) == {"b": 1}
    end(bench, "b")
    bench.check_limits({"definition:f": 1})
    assert "held" not in bench.raw("b")


@pytest.mark.parametrize("verb", [Verb.SUCCEED, Verb.FAIL, Verb.STOP])
def test_every_end_gives_the_slot_up(bench: Bench, verb: Verb) -> None:
    submit(bench, "a", "b")
    begin(bench, [ONE])
    end(bench, "a", verb)
    assert begin(bench, [ONE]) == {"b": 1}


def test_a_retry_gives_the_slot_up(bench: Bench) -> None:
    submit(bench, "a", "b")
    begin(bench, [ONE])
    assert bench.retry("a", 1, due="+600000").outcome == "retried"
    assert begin(bench, [ONE]) == {"b": 1}
    bench.make_due("a")
    bench.run(bench.calls.promote(10))
    assert begin(bench, [ONE]) == {"a": "limited"}
    end(bench, "b")
    assert begin(bench, [ONE]) == {"a": 2}
    bench.check_limits({"definition:f": 1})


def test_a_task_that_puts_others_in_its_place_gives_the_slot_up(bench: Bench) -> None:
    submit(bench, "a", "b")
    begin(bench, [ONE])
    assert bench.run(bench.calls.note("a", 1, "replaced", "null", fields={"replaced": 1}))
    assert begin(bench, [ONE]) == {"b": 1}


def test_the_task_of_a_lost_worker_keeps_its_slot(bench: Bench) -> None:
    submit(bench, "a", "b")
    begin(bench, [ONE])
    bench.lapse("c")
    bench.end_grace()
    bench.run(bench.calls.reap(100))
    assert bench.state("a") is State.PENDING
    assert bench.slots("definition:f") == {"a"}
    submit(bench, "c")
    assert begin(bench, [ONE], "d") == {"a": 2, "c": "limited"}
    end(bench, "a", attempt=2)
    assert begin(bench, [ONE], "d") == {"b": 1}
    bench.check_limits({"definition:f": 1})


def test_higher_priorities_go_on_first_then_older_ones(bench: Bench) -> None:
    submit(bench, "first")
    begin(bench, [ONE])
    for task_id, lane in (
        ("l1", "low"),
        ("n1", "normal"),
        ("h1", "high"),
        ("n2", "normal"),
        ("l2", "low"),
        ("h2", "high"),
    ):
        submit(bench, task_id, lane=lane)
        assert begin(bench, [ONE]) == {task_id: "limited"}
    order = []
    running = "first"
    for _ in range(6):
        end(bench, running)
        ((running, outcome),) = begin(bench, [ONE]).items()
        assert outcome == 1
        order.append(running)
    assert order == ["h1", "h2", "n1", "n2", "l1", "l2"]


def test_whoever_is_woken_goes_before_others_of_its_lane_but_not_before_higher_ones(bench: Bench) -> None:
    submit(bench, "first", "waits")
    begin(bench, [ONE])
    submit(bench, "later", name="g")
    end(bench, "first")
    assert [one.message for one in bench.take()] == ["m:waits"]

    submit(bench, "again")
    assert [one.message for one in bench.take("c", 2)] == ["m:later", "m:again"]
    assert bench.start("waits", bench.raw("waits")["entry"], limits=[ONE]).attempt == 1
    assert bench.start("again", bench.raw("again")["entry"], limits=[ONE]).reason == "limited"
    submit(bench, "urgent", lane="high", name="g")
    end(bench, "waits")
    assert [one.message for one in bench.take("c", 2)] == ["m:urgent", "m:again"]


def test_all_slots_are_taken_or_none(bench: Bench) -> None:
    submit(bench, "x", "y")
    begin(bench, [ALL])
    submit(bench, "a")
    assert begin(bench, [KEY, TWO, ALL]) == {"a": "limited"}
    assert bench.raw("a")["parked"] == "running"
    assert bench.slots("key:f:a") == bench.slots("definition:f") == set()
    end(bench, "x")
    assert begin(bench, [KEY, TWO, ALL]) == {"a": 1}
    assert set(bench.raw("a")["held"].split()) == {"key:f:a", "definition:f", "running"}
    end(bench, "a")
    end(bench, "y")
    bench.check_limits({"key:f:a": 1, "definition:f": 2, "running": 2})


def test_a_wide_slot_is_not_kept_while_waiting_for_a_narrow_one(bench: Bench) -> None:
    """Two tasks of one customer, both woken for slots of the whole: the second must not sit on one that others need."""
    submit(bench, "x", "y")
    begin(bench, [ALL])
    submit(bench, "a1", "a2")
    assert begin(bench, [KEY, ALL]) == {"a1": "limited", "a2": "limited"}
    submit(bench, "other")
    assert begin(bench, [ALL]) == {"other": "limited"}
    end(bench, "x")
    end(bench, "y")
    assert begin(bench, [KEY, ALL]) == {"a1": 1, "a2": "limited"}
    assert bench.raw("a2")["parked"] == "key:f:a"
    assert begin(bench, [ALL]) == {"other": 1}
    bench.check_limits({"key:f:a": 1, "running": 2})
    end(bench, "a1")
    assert begin(bench, [KEY, ALL]) == {"a2": 1}
    bench.check_limits({"key:f:a": 1, "running": 2})


def test_a_woken_task_moves_on_to_the_next_full_limit_with_what_it_has(bench: Bench) -> None:
    submit(bench, "a1", "a2")
    assert begin(bench, [KEY, ALL]) == {"a1": 1, "a2": "limited"}
    submit(bench, "x", "y")
    assert begin(bench, [ALL]) == {"x": 1, "y": "limited"}
    end(bench, "a1")
    woken = taken_of(bench)
    assert woken.keys() == {"a2", "y"}
    assert bench.start("y", woken["y"].tag, limits=[ALL]).attempt == 1
    assert bench.start("a2", woken["a2"].tag, limits=[KEY, ALL]).reason == "limited"
    assert (bench.raw("a2")["parked"], bench.raw("a2")["held"]) == ("running", "key:f:a")
    bench.check_limits({"key:f:a": 1, "running": 2})
    end(bench, "x")
    assert begin(bench, [KEY, ALL]) == {"a2": 1}


def test_a_start_that_is_sent_twice_parks_once(bench: Bench) -> None:
    submit(bench, "a", "b")
    taken = taken_of(bench)
    assert bench.start("a", taken["a"].tag, limits=[ONE]).attempt == 1
    for _ in range(3):
        assert bench.start("b", taken["b"].tag, token=SAME, limits=[ONE]).reason == "limited"
    assert bench.count("limited") == 1
    end(bench, "a")
    assert bench.start("b", taken["b"].tag, token=SAME, limits=[ONE]).reason == "doubled"
    bench.check_limits({"definition:f": 1})
    # What the worker does with the entry that is no more does no harm.
    bench.run(bench.calls.acknowledge([taken["b"].place]))
    bench.run(bench.calls.give_back([taken["b"].place], "released"))
    assert begin(bench, [ONE]) == {"b": 1}


def test_a_start_that_is_sent_twice_takes_one_slot(bench: Bench) -> None:
    submit(bench, "a")
    (taken,) = bench.take()
    for _ in range(2):
        assert bench.start("a", taken.tag, token=SAME, limits=[TWO, ALL]).attempt == 1
    assert bench.raw("a")["held"] == "definition:f running"
    bench.check_limits({"definition:f": 2, "running": 2})


def test_cancel_ends_a_parked_task_and_frees_a_woken_one(bench: Bench) -> None:
    submit(bench, "a", "b", "c", "d")
    begin(bench, [ONE])
    assert bench.cancel("c") == ["cancelled"]
    assert bench.parked("definition:f") == ["b", "d"]
    end(bench, "a")
    assert bench.slots("definition:f") == {"b"}
    assert bench.cancel("b") == ["cancelled"]
    assert begin(bench, [ONE]) == {"d": 1}
    end(bench, "d")
    bench.check_limits({"definition:f": 1})


def test_an_expired_task_hands_its_slot_on(bench: Bench) -> None:
    submit(bench, "a", "b", "c", expires="+600000")
    begin(bench, [ONE])
    bench.expire_now("b")
    end(bench, "a")
    assert begin(bench, [ONE]) == {"b": "expired"}
    assert begin(bench, [ONE]) == {"c": 1}
    bench.check_limits({"definition:f": 1})


def test_purge_ends_what_is_parked_of_the_queue(bench: Bench) -> None:
    submit(bench, "a", "b", "c")
    submit(bench, "r1", queue="r")
    begin(bench, [ONE])
    (other,) = bench.take("c", 1, ["r"])
    assert bench.start("r1", other.tag, limits=[ONE]).reason == "limited"
    submit(bench, "d")
    assert bench.run(bench.calls.purge("q", 2)) == 2
    assert bench.run(bench.calls.purge("q", 2)) == 1
    assert bench.run(bench.calls.purge("q", 2)) == 0
    assert [bench.state(one) for one in "bcd"] == [State.REVOKED] * 3
    assert bench.parked("definition:f") == ["r1"]
    bench.check_limits({"definition:f": 1})


def test_a_definition_deployed_with_more_room_wakes_who_waits(bench: Bench) -> None:
    submit(bench, *"abcde")
    begin(bench, [ONE])
    end(bench, "a")
    three = Limit("definition:f", 3)
    assert begin(bench, [three]) == {"b": 1}
    assert begin(bench, [three]) == {"c": 1, "d": 1}
    bench.check_limits({"definition:f": 3})


def test_a_definition_deployed_with_less_room_gets_there(bench: Bench) -> None:
    submit(bench, *"abcde")
    begin(bench, [TWO])
    end(bench, "a")
    assert begin(bench, [ONE]) == {"c": 1}
    end(bench, "b")
    assert begin(bench, [ONE]) == {}
    end(bench, "c")
    assert begin(bench, [ONE]) == {"d": 1}
    bench.check_limits({"definition:f": 1})


def test_hundreds_that_wait_do_not_make_each_other_move(bench: Bench) -> None:
    submit(bench, *(f"n{number:03}" for number in range(300)))
    for _ in range(3):
        begin(bench, [ONE])
    assert bench.count("limited") == 299
    for number in range(5):
        end(bench, f"n{number:03}")
        assert begin(bench, [ONE]) == {f"n{number + 1:03}": 1}
    assert bench.count("limited") == 299

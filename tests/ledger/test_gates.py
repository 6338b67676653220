"""Gates, step by step: rates that open with time, pauses that somebody ends."""

from __future__ import annotations

from typing import Any

from backyard.core.states import State, Verb
from backyard.ledger.limit_calls import Limit
from support.bench import Bench

HOURLY = Limit("rate:f", 2, 3_600_000.0)
ALL = Limit("running", 1)


def begin(bench: Bench, *limits: Limit, queues: tuple[str, ...] = ("q",)) -> dict[str, Any]:
    """Take and start all there is; says for each task what came of it."""
    outcomes: dict[str, Any] = {}
    for taken in bench.take("c", 100, queues):
        started = bench.start(taken.message[2:], taken.tag, limits=limits)
        outcomes[taken.message[2:]] = started.attempt or started.reason
    return outcomes


def submit(bench: Bench, *task_ids: str, **options: Any) -> None:
    for task_id in task_ids:
        assert bench.submit(task_id, **options).outcome == "created"


def promote(bench: Bench, most: int = 100) -> int:
    moved: int = bench.run(bench.calls.promote(most))
    return moved


def pass_time(bench: Bench, hours: float) -> None:
    """Let time pass for the rate: its arrival time moves back."""
    rates = f"{bench.keys.prefix}rates"
    bench.client.hset(rates, "rate:f", float(bench.client.hget(rates, "rate:f")) - hours * 3_600_000)


def check_gates_shut(bench: Bench) -> None:
    assert bench.client.hgetall(f"{bench.keys.prefix}gates") == {}
    assert list(bench.client.scan_iter(f"{bench.keys.prefix}slots:*", 1_000)) == []
    assert list(bench.client.scan_iter(f"{bench.keys.prefix}parked*", 1_000)) == []


# -- rates --------------------------------------------------------------------------------------------------------


def test_a_rate_lets_its_burst_start_and_parks_the_rest(bench: Bench) -> None:
    submit(bench, *"abcd")
    assert begin(bench, HOURLY) == {"a": 1, "b": 1, "c": "limited", "d": "limited"}
    assert promote(bench) == 0, "no token yet"
    pass_time(bench, 1)
    assert promote(bench) == 1
    assert promote(bench) == 0, "the token is promised to the first"
    submit(bench, "e")
    assert begin(bench, HOURLY) == {"c": 1, "e": "limited"}
    pass_time(bench, 10)
    assert promote(bench) == 2, "no more than the burst, however long there was nothing"
    assert begin(bench, HOURLY) == {"d": 1, "e": 1}
    check_gates_shut(bench)


def test_nobody_comes_before_those_that_wait_for_a_token(bench: Bench) -> None:
    submit(bench, *"abc")
    begin(bench, HOURLY)
    pass_time(bench, 1)
    submit(bench, "d")
    assert begin(bench, HOURLY) == {"d": "limited"}
    promote(bench)
    assert begin(bench, HOURLY) == {"c": 1}


def test_tokens_go_to_higher_priorities_first(bench: Bench) -> None:
    submit(bench, "a", "b")
    begin(bench, HOURLY)
    for task_id, lane in (("l", "low"), ("n", "normal"), ("h", "high")):
        submit(bench, task_id, lane=lane)
        begin(bench, HOURLY)
    order: list[str] = []
    for _ in range(3):
        pass_time(bench, 1)
        assert promote(bench) == 1
        order += begin(bench, HOURLY)
    assert order == ["h", "n", "l"]


def test_a_promised_token_is_free_again_after_a_cancel(bench: Bench) -> None:
    submit(bench, *"abcd")
    begin(bench, HOURLY)
    pass_time(bench, 1)
    promote(bench)
    assert bench.cancel("c") == ["cancelled"]
    assert promote(bench) == 1
    assert begin(bench, HOURLY) == {"d": 1}
    check_gates_shut(bench)


def test_a_token_is_used_only_by_a_start(bench: Bench) -> None:
    submit(bench, "x")
    begin(bench, ALL)
    submit(bench, "a")
    assert begin(bench, HOURLY, ALL) == {"a": "limited"}
    assert bench.raw("a")["parked"] == "running"
    submit(bench, "b", "c")
    assert begin(bench, HOURLY) == {"b": 1, "c": 1}, "both tokens are still there"
    bench.move(Verb.SUCCEED, "x", 1)
    assert begin(bench, HOURLY, ALL) == {"a": "limited"}
    assert bench.slots("running") == set(), "a slot of all is not kept while waiting for a token"
    pass_time(bench, 1)
    promote(bench)
    assert begin(bench, HOURLY, ALL) == {"a": 1}


def test_promotion_is_bounded(bench: Bench) -> None:
    wide = Limit("rate:f", 50, 1.0)
    bench.client.hset(f"{bench.keys.prefix}rates", "rate:f", 9e12)
    submit(bench, *(f"n{number:02}" for number in range(40)))
    begin(bench, wide)
    bench.client.hset(f"{bench.keys.prefix}rates", "rate:f", 0)
    assert [promote(bench, 15) for _ in range(4)] == [15, 15, 10, 0]
    assert len(begin(bench, wide)) == 40
    check_gates_shut(bench)


# -- pauses -------------------------------------------------------------------------------------------------------


def test_nothing_is_taken_from_a_paused_queue(bench: Bench) -> None:
    submit(bench, "a")
    submit(bench, "r1", queue="r")
    assert bench.run(bench.calls.pause("queue", "q", "mending"))
    assert begin(bench, queues=("q", "r")) == {"r1": 1}
    assert bench.run(bench.calls.paused("queue"))["q"].reason == "mending"
    assert bench.run(bench.calls.paused("definition")) == {}
    assert bench.run(bench.calls.resume("queue", "q"))
    assert not bench.run(bench.calls.resume("queue", "q"))
    assert begin(bench) == {"a": 1}


def test_what_was_taken_before_the_pause_does_not_start_after_it(bench: Bench) -> None:
    submit(bench, "a", "b")
    (first, second) = bench.take("c", 2)
    bench.run(bench.calls.pause("queue", "q", ""))
    assert bench.start("a", first.tag).reason == "limited"
    assert bench.raw("a")["parked"] == "paused:queue:q"
    assert promote(bench) == 0
    bench.run(bench.calls.resume("queue", "q"))
    assert promote(bench) == 1
    assert bench.start("b", second.tag).attempt == 1
    assert begin(bench) == {"a": 1}
    check_gates_shut(bench)


def test_a_paused_definition_holds_up_nobody_else(bench: Bench) -> None:
    submit(bench, "a", "b")
    submit(bench, "g1", name="g")
    bench.run(bench.calls.pause("definition", "f", "broken"))
    assert begin(bench) == {"a": "limited", "b": "limited", "g1": 1}
    bench.run(bench.calls.pause("definition", "f", "still broken"))
    bench.run(bench.calls.resume("definition", "f"))
    assert promote(bench, 1) == 1
    assert promote(bench) == 1
    assert begin(bench) == {"a": 1, "b": 1}
    check_gates_shut(bench)


def test_a_second_pause_keeps_since_when(bench: Bench) -> None:
    assert bench.run(bench.calls.pause("queue", "q", 'one "reason"'))
    since = bench.run(bench.calls.paused("queue"))["q"].since
    assert not bench.run(bench.calls.pause("queue", "q", "another"))
    again = bench.run(bench.calls.paused("queue"))["q"]
    assert (again.since, again.reason) == (since, "another")


def test_a_woken_task_that_meets_a_pause_gives_its_slots_up(bench: Bench) -> None:
    submit(bench, "a", "b")
    submit(bench, "r1", queue="r")
    assert begin(bench, ALL, queues=("q", "r")) == {"a": 1, "b": "limited", "r1": "limited"}
    bench.move(Verb.SUCCEED, "a", 1)
    (woken,) = bench.take("c", 5, ["q"])
    bench.run(bench.calls.pause("queue", "q", ""))
    assert bench.start("b", woken.tag, limits=[ALL]).reason == "limited"
    assert begin(bench, ALL, queues=("q", "r")) == {"r1": 1}, "the slot went on to another queue's task"


def test_cancel_and_purge_end_what_waits_for_the_end_of_a_pause(bench: Bench) -> None:
    submit(bench, *"abc")
    bench.run(bench.calls.pause("definition", "f", ""))
    begin(bench)
    assert bench.cancel("a") == ["cancelled"]
    assert bench.run(bench.calls.purge("q", 10)) == 2
    assert [bench.state(one) for one in "abc"] == [State.REVOKED] * 3
    check_gates_shut(bench)


def test_queues_tell_what_waits(bench: Bench) -> None:
    submit(bench, "a", "b", "c", "d")
    bench.take("c", 1)
    bench.run(bench.calls.pause("definition", "f", ""))
    (second,) = bench.take("c", 1)
    bench.start("b", second.tag)
    bench.run(bench.calls.pause("queue", "q", "why not"))
    queue, nobody = bench.run(bench.calls.queue_states(["q", "nobody"]))
    assert (queue.name, queue.depth, queue.running, queue.parked) == ("q", 2, 1, 1)
    assert queue.lanes == {"again": 0, "high": 0, "normal": 2, "low": 0}
    assert queue.paused is not None
    assert queue.paused.reason == "why not"
    assert (nobody.depth, nobody.running, nobody.parked, nobody.paused) == (0, 0, 0, None)
    assert nobody.oldest is None
    assert [one.name for one in bench.run(bench.calls.queue_states())] == ["q"]

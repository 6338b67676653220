"""Queues: take, acknowledge, give back, promote, purge, depth, and what no worker can read."""

from __future__ import annotations

import pytest

from backyard.core.states import State, Verb
from support.bench import Bench
from support.clean import wait_until

# -- take -------------------------------------------------------------------------------------------------------------


def test_lanes_come_in_strict_order_over_all_queues(bench: Bench) -> None:
    for number, lane in enumerate(["low", "normal", "high", "low", "high", "normal"]):
        for queue in ("q", "r"):
            bench.submit(f"{queue}{number}-{lane}", lane=lane, queue=queue)
    order = [taken.message[2:] for taken in bench.take(most=100, queues=["r", "q"])]
    assert order == [
        "r2-high", "r4-high", "q2-high", "q4-high", "r1-normal", "r5-normal", "q1-normal", "q5-normal",
        "r0-low", "r3-low", "q0-low", "q3-low",
    ]  # fmt: skip


def test_what_was_given_back_comes_first_and_is_marked(bench: Bench) -> None:
    for name in ("a", "b"):
        bench.submit(name, lane="low")
    bench.submit("c", lane="high")
    taken = bench.take(most=2)
    assert [one.message for one in taken] == ["m:c", "m:a"]
    bench.run(bench.calls.give_back([one.place for one in taken], "rejected"))
    after = bench.take(most=10)
    assert [(one.message, one.lane, one.again) for one in after] == [
        ("m:c", "again", True), ("m:a", "again", True), ("m:b", "low", False),
    ]  # fmt: skip


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("most", [0, 1, 2, 3, 4, 7, 12])
def test_never_more_than_asked(bench: Bench, most: int, *, known: bool) -> None:
    if known:  # the readers' groups are there already
        bench.take(queues=["q", "r"])
    for lane, number in (("high", 1), ("normal", 3), ("low", 4)):
        for queue in ("q", "r"):
            for _ in range(number):
                bench.submit(lane=lane, queue=queue)
    assert len(bench.take(most=most, queues=["q", "r"])) == most
    assert len(bench.take(most=100, queues=["q", "r"])) == 16 - most


def test_one_entry_goes_to_one_consumer(bench: Bench) -> None:
    for _ in range(4):
        bench.submit()
    hands = [bench.take(f"c{number}", 2) for number in range(3)]
    assert [len(hand) for hand in hands] == [2, 2, 0]
    assert len({one.entry for hand in hands for one in hand}) == 4


def test_take_is_a_lease(bench: Bench) -> None:
    bench.take("c")
    seconds, microseconds = bench.client.time()
    left = bench.client.zscore(bench.keys.leases, "c") - (seconds * 1000 + microseconds / 1000)
    assert 55_000 < left <= 60_000


def test_other_queues_are_left_alone(bench: Bench) -> None:
    bench.submit(queue="other")
    assert bench.take() == []


@pytest.mark.parametrize("loss", ["flush", "delete", "destroy"])
def test_group_is_made_again(bench: Bench, loss: str) -> None:
    bench.submit("old")
    bench.take()
    key = bench.keys.queue("q", "normal")
    if loss == "flush":
        for name in bench.client.scan_iter(f"{bench.keys.prefix}*", 1_000):
            bench.client.delete(name)  # FLUSHDB, as far as this yard goes: the server is shared
    elif loss == "delete":
        bench.client.delete(key)
    else:
        bench.client.xgroup_destroy(key, "workers")
    # An entry of the same millisecond would have the lost one's id.
    lost_at = bench.run(bench.calls.clock())
    wait_until(lambda: bench.run(bench.calls.clock()) > lost_at + 0.002, "the server's clock goes on")
    bench.submit("new")
    messages = [taken.message for taken in bench.take("d", 10)]
    assert messages == (["m:old", "m:new"] if loss == "destroy" else ["m:new"])
    bench.cancel("old")


def test_scripts_are_sent_again_to_a_server_that_forgot_them(bench: Bench) -> None:
    bench.submit("a")
    bench.client.script_flush()
    assert bench.submit("b").outcome == "created"
    assert [taken.message for taken in bench.take(most=5)] == ["m:a", "m:b"]


# -- acknowledge, give back -------------------------------------------------------------------------------------------


def test_acknowledged_entries_are_gone(bench: Bench) -> None:
    first, one = bench.running()
    second, other = bench.running()
    for task_id in (first, second):
        bench.move(Verb.SUCCEED, task_id, 1)
    assert len(bench.entries()[1]) == 2
    bench.run(bench.calls.acknowledge([one.place, other.place]))
    bench.run(bench.calls.acknowledge([one.place]))
    assert bench.entries() == ({}, {})
    assert bench.client.xlen(bench.keys.queue("q", "normal")) == 0


def test_given_back_while_it_ran_is_pending_again(bench: Bench) -> None:
    task_id, taken = bench.running()
    bench.move(Verb.PROGRESS, task_id, 1)
    bench.run(bench.calls.give_back([taken.place], "rejected"))
    assert bench.state(task_id) is State.PENDING
    assert bench.events(task_id)[-1].data == {"reason": "rejected"}
    bench.run(bench.calls.give_back([taken.place], "rejected"))
    assert len(bench.entries()[0]) == 1, "given back once"
    (again,) = bench.take()
    assert bench.start(task_id, again.tag).attempt == 2


@pytest.mark.parametrize("end", ["final", "retry", "cancelled", "forgotten"])
def test_entry_that_is_no_more_the_tasks_is_dropped(bench: Bench, end: str) -> None:
    if end == "cancelled":
        bench.submit("a")
        task_id, (taken,) = "a", bench.take()
        bench.client.xadd(bench.keys.queue("q", "normal"), {"t": "a", "m": "m", "r": "0"}, taken.entry[:-1] + "9")
        bench.cancel(task_id)
        bench.client.xdel(bench.keys.queue("q", "normal"), taken.entry[:-1] + "9")
    else:
        task_id, taken = bench.running()
    if end == "final":
        bench.move(Verb.FAIL, task_id, 1)
    elif end == "retry":
        bench.retry(task_id, 1, due="+60000")
    elif end == "forgotten":
        bench.run(bench.calls.forget(task_id))
    events = len(bench.events())
    bench.run(bench.calls.give_back([taken.place], "rejected"))
    assert bench.entries() == ({}, {})
    assert len(bench.events()) == events


def test_message_that_is_no_task_goes_the_same_way(bench: Bench) -> None:
    bench.run(bench.calls.put("q", "high", b"plain"))
    (taken,) = bench.take()
    assert taken.message == "plain"
    bench.run(bench.calls.give_back([taken.place], "rejected"))
    (again,) = bench.take()
    assert (again.message, again.again, again.lane) == ("plain", True, "again")
    bench.run(bench.calls.acknowledge([again.place]))
    assert bench.entries() == ({}, {})
    assert bench.events() == []


# -- due --------------------------------------------------------------------------------------------------------------


def test_promote_moves_what_is_due_and_no_more(bench: Bench) -> None:
    for name in ("a", "b", "c", "later"):
        bench.submit(name, due="+60000", lane="low", queue="r")
    bench.make_due("a", "b", "c")
    assert [bench.run(bench.calls.promote(2)) for _ in range(3)] == [2, 1, 0]
    assert bench.due() == ["later"]
    assert sorted(taken.message for taken in bench.take(most=9, queues=["r"])) == ["m:a", "m:b", "m:c"]
    assert bench.states("a") == ["SCHEDULED", "PENDING"]
    assert not {"due", "message"} & bench.raw("a").keys()
    assert bench.client.ttl(bench.keys.task("a")) == -1


def test_time_comes_by_itself(bench: Bench) -> None:
    """The one test that lets the server's clock run: 30 ms, and it waits for the sign, not for the time."""
    bench.submit("a", due="+30")
    while bench.run(bench.calls.promote(10)) == 0:
        pass
    raw = bench.raw("a")
    first, second = bench.events("a")
    assert second.order[0] >= int(raw["created"]) + 30 >= first.order[0]


def test_promote_leaves_alone_what_waits_no_more(bench: Bench) -> None:
    bench.submit("cancelled", due="+60000")
    bench.submit("gone", due="+60000")
    bench.cancel("cancelled")
    bench.run(bench.calls.forget("gone"))
    bench.client.zadd(f"{bench.keys.prefix}due", {"cancelled": 1, "gone": 1, "nobody": 1})
    assert bench.run(bench.calls.promote(10)) == 3
    assert bench.due() == []
    assert bench.take(most=5) == []


# -- purge, depth, drop -----------------------------------------------------------------------------------------------


def test_depth_counts_what_is_ready(bench: Bench) -> None:
    assert bench.run(bench.calls.depth(["q", "nobody"])) == {"q": 0, "nobody": 0}
    for lane in ("high", "normal", "low"):
        bench.submit(lane=lane)
    bench.submit("delayed", due="+60000")
    assert bench.run(bench.calls.depth(["q"])) == {"q": 3}
    taken = bench.take(most=2)
    assert bench.run(bench.calls.depth(["q"])) == {"q": 1}
    bench.run(bench.calls.give_back([taken[0].place], "rejected"))
    assert bench.run(bench.calls.depth(["q"])) == {"q": 2}
    for one in taken:
        bench.start(one.message[2:], one.tag)
    assert bench.run(bench.calls.depth(["nobody", "q"])) == {"nobody": 0, "q": 2}


def test_purge_discards_what_is_ready_and_ends_its_tasks(bench: Bench) -> None:
    runs, _ = bench.running("runs")
    bench.submit("held")
    (held,) = bench.take()
    for name, lane in (("a", "high"), ("b", "normal"), ("c", "low")):
        bench.submit(name, lane=lane)
    bench.run(bench.calls.put("q", "low", b"plain"))
    bench.submit("delayed", due="+60000")
    assert [bench.run(bench.calls.purge("q", 3)) for _ in range(3)] == [3, 1, 0]
    assert {bench.state(name) for name in "abc"} == {State.REVOKED}
    assert bench.client.ttl(bench.keys.task("a")) > 0
    assert bench.events("a")[-1].data == {"reason": "purged"}
    assert [bench.state(name) for name in ("runs", "held", "delayed")] == ["STARTED", "PENDING", "SCHEDULED"]
    assert bench.start("held", held.tag).attempt == 1
    assert bench.move(Verb.SUCCEED, runs, 1).applied


def test_purge_of_a_queue_that_nobody_ever_read(bench: Bench) -> None:
    bench.submit("a")
    assert bench.run(bench.calls.purge("q", 100)) == 1
    assert bench.run(bench.calls.purge("nobody", 100)) == 0


def test_queues_are_known_and_dropped(bench: Bench) -> None:
    bench.run(bench.calls.declare("empty"))
    bench.submit("a")
    assert bench.run(bench.calls.queues()) == ["empty", "q"]
    assert bench.run(bench.calls.known("q"))
    bench.cancel("a")
    assert bench.run(bench.calls.drop_queue("q")) == 1
    assert bench.run(bench.calls.drop_queue("q")) == 0
    assert bench.run(bench.calls.queues()) == ["empty"]
    assert not bench.run(bench.calls.known("q"))


def test_queue_of_which_a_worker_holds_tasks_is_not_dropped_under_it(bench: Bench) -> None:
    task_id, _ = bench.running()
    assert bench.run(bench.calls.drop_queue("q")) == 0
    bench.lapse("c")
    assert bench.run(bench.calls.reap(10)) == 1
    assert [taken.message for taken in bench.take("d")] == [f"m:{task_id}"]


# -- what no worker can read ------------------------------------------------------------------------------------------


def test_unreadable_entry_is_set_aside_and_its_task_ends(bench: Bench) -> None:
    bench.submit("a")
    (taken,) = bench.take()
    bench.run(bench.calls.set_aside(*taken.place, 'no "JSON"', "Unreadable"))
    record = bench.record("a")
    assert record.state is State.FAILURE
    assert record.failure is not None
    assert (record.failure.type, record.failure.message) == ("Unreadable", 'no "JSON"')
    assert bench.entries() == ({}, {})
    ((_, dead),) = bench.client.xrange(f"{bench.keys.prefix}dead")
    assert dead == {"queue": "q", "lane": "normal", "reason": 'no "JSON"', "t": "a", "m": "m:a", "r": "0"}
    assert bench.count("set_aside") == 1


def test_setting_aside_ends_no_task_that_is_elsewhere(bench: Bench) -> None:
    task_id, taken = bench.running()
    bench.move(Verb.SUCCEED, task_id, 1)
    bench.run(bench.calls.set_aside(*taken.place, "late"))
    assert bench.state(task_id) is State.SUCCESS
    bench.run(bench.calls.put("q", "high", b"\xff"))
    bench.run(bench.calls.set_aside("q", "high", "1-1", "there is no such entry"))
    assert bench.run(bench.calls.depth(["q"])) == {"q": 1}


def test_the_oldest_is_the_first_that_nobody_holds(bench: Bench) -> None:
    bench.submit("a")

    def age() -> float:
        """Return the age that is said; -1 where none is."""
        oldest: float | None = bench.run(bench.calls.queue_states(["q"]))[0].oldest
        return -1.0 if oldest is None else oldest

    wait_until(lambda: age() > 0.05, "it ages")
    first, between = age(), bench.run(bench.calls.clock())
    bench.submit("next")
    bench.submit("b", lane="high")
    assert age() >= first, "a lane that is read first does not make the other younger"
    (taken,) = bench.take("c", 1)
    assert taken.lane == "high"
    assert age() >= first
    (taken,) = bench.take("c", 1)
    younger = age()
    assert 0.0 <= younger <= bench.run(bench.calls.clock()) - between + 0.01, "what is handed out waits no more"
    bench.take("c", 1)
    assert age() == -1.0
    again = bench.run(bench.calls.clock())
    bench.run(bench.calls.give_back([taken.place], "shutdown"))
    assert 0.0 <= age() <= bench.run(bench.calls.clock()) - again + 0.01, "what was given back counts from then"


def test_a_purge_takes_what_no_worker_holds(bench: Bench) -> None:
    for task in "abcd":
        bench.submit(task)
    (held,) = bench.take("c", 1)
    bench.run(bench.calls.pause("definition", "f", ""))
    (second,) = bench.take("c", 1)
    bench.start("b", second.tag)
    assert bench.run(bench.calls.purge("q", 100)) == 3

    states = {task: str(bench.record(task).state) for task in "abcd"}
    assert states == {"a": "PENDING", "b": "REVOKED", "c": "REVOKED", "d": "REVOKED"}
    assert bench.record("c").text("finished")
    (queue,) = bench.run(bench.calls.queue_states(["q"]))
    assert (queue.depth, queue.running, queue.parked, queue.oldest) == (0, 1, 0, None)
    assert held.tag

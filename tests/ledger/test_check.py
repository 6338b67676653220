"""The self-check, step by step: what a crash, a lost write or a person's hand leaves, and what is left of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backyard.core.states import State, Verb
from backyard.engine.check import SLICE, Report, Walk
from backyard.engine.message import compose, message_in
from support.bench import Bench

LEASE = 60.0


def check(bench: Bench, *, repair: bool = True) -> Report:
    """Walk once over the bench's yard."""
    return Walk(bench.run, bench.calls, LEASE, repair=repair).all()


def repairs(bench: Bench) -> dict[str, int]:
    """Walk once, and return what was put right; a second walk has nothing to do."""
    before = bench.snapshot()
    looked = check(bench, repair=False)
    assert looked.repaired.total() == 0
    assert bench.snapshot() == before
    report = check(bench)
    assert report.found == report.repaired
    if set(report.found) != {"unclaimed"}:  # its entry is without a task, and the task without an entry
        assert looked.found.total() == report.found.total()
    assert check(bench).clean
    return dict(report.repaired)


def entry_key(bench: Bench, lane: str = "normal", queue: str = "q") -> str:
    return bench.keys.queue(queue, lane)


def typed(bench: Bench, task_id: str, **options: Any) -> str:
    """Submit a task as a typed definition's submit does."""
    message = compose(task_id, "f", b'{"a":1}', queue="q", lane="normal", timelimit=(None, None))
    bench.submit(task_id, message=message, fields={"input": '{"a":1}'}, **options)
    return task_id


def test_a_sound_yard_is_left_alone(bench: Bench) -> None:
    bench.running("runs", "c2")
    done, taken = bench.running("done", "c2")
    bench.move(Verb.SUCCEED, done, 1)
    bench.submit("waits")
    bench.submit("delayed", due="+100000")
    before = bench.snapshot()
    report = check(bench)
    assert (report.found, report.looked["tasks"], report.looked["queues"]) == ({}, 4, 1)
    assert bench.snapshot() == before
    bench.run(bench.calls.acknowledge([taken.place]))


def test_a_pending_typed_task_without_its_entry_is_queued_again(bench: Bench) -> None:
    typed(bench, "t")
    bench.client.delete(entry_key(bench))
    assert repairs(bench) == {"unqueued": 1}
    (taken,) = bench.take()
    message = message_in(taken.message.encode())
    assert message["headers"]["task"] == "f"
    assert json.loads(message["body"])[1] == {"a": 1}
    assert bench.start("t", taken.tag).attempt == 1


def test_a_celery_task_whose_message_is_gone_ends_with_a_reason(bench: Bench) -> None:
    bench.submit("t", fields={"input": "{}", "door": "celery"})
    bench.client.delete(entry_key(bench))
    assert repairs(bench) == {"messageless": 1}
    record = bench.record("t")
    assert record.state is State.FAILURE
    assert record.failure is not None
    assert (record.failure.type, "Submit it again" in record.failure.message) == ("MessageLost", True)
    assert bench.states("t") == ["PENDING", "FAILURE"]
    assert bench.client.ttl(bench.keys.task("t")) > 0


def test_a_trimmed_stream_loses_nothing(bench: Bench) -> None:
    for number in range(450):
        typed(bench, f"n{number}")
    bench.client.xtrim(entry_key(bench), maxlen=50, approximate=False)
    assert repairs(bench) == {"unqueued": 400}
    assert {message_in(taken.message.encode())["headers"]["id"] for taken in bench.take(most=450)} == {
        f"n{n}" for n in range(450)
    }


def test_delayed_tasks_that_left_the_due_set_come_back(bench: Bench) -> None:
    bench.submit("late", due="+100000")
    when = bench.client.zscore(f"{bench.keys.prefix}due", "late")
    bench.running("again")
    bench.retry("again", 1, due="+5000")
    bench.client.delete(f"{bench.keys.prefix}due")
    report = check(bench)
    assert report.repaired["undue"] == 2
    assert bench.client.zscore(f"{bench.keys.prefix}due", "late") == when
    assert sorted(bench.due()) == ["again", "late"]


def test_a_delayed_task_whose_message_is_gone_is_composed_anew(bench: Bench) -> None:
    typed(bench, "t", due="+100000")
    bench.client.hdel(bench.keys.task("t"), "message")
    assert repairs(bench) == {"unqueued": 1}
    assert (bench.state("t"), bench.due()) == (State.PENDING, [])


def test_a_task_that_forgot_its_lane_gets_the_normal_one(bench: Bench) -> None:
    bench.submit("t", due="+100000", lane="low")
    bench.client.hdel(bench.keys.task("t"), "lane")
    assert repairs(bench) == {"laneless": 1}
    bench.make_due("t")
    bench.run(bench.calls.promote(10))
    assert [taken.lane for taken in bench.take()] == ["normal"]


def test_due_entries_of_other_tasks_go(bench: Bench) -> None:
    bench.submit("waits")
    bench.client.zadd(f"{bench.keys.prefix}due", {"waits": 1, "unheard-of": 2})
    assert repairs(bench) == {"overdue": 2}
    assert bench.due() == []


def test_a_running_task_that_nobody_holds_is_queued_again_as_lost(bench: Bench) -> None:
    typed(bench, "t")
    (taken,) = bench.take()
    assert bench.start("t", taken.tag).attempt == 1
    bench.run(bench.calls.acknowledge([taken.place]))
    assert repairs(bench) == {"orphaned": 1}
    assert (bench.state("t"), bench.raw("t")["lost"]) == (State.PENDING, "1")
    (again,) = bench.take()
    assert (again.lane, again.again) == ("again", True)
    assert bench.start("t", again.tag).attempt == 2
    assert not bench.move(Verb.SUCCEED, "t", 1).applied


def live_worker(bench: Bench, *running: str, name: str = "w") -> None:
    """Let a worker say that it lives, and what it runs."""
    bench.run(bench.calls.introduce(name, name, LEASE, 0, {}))
    bench.run(bench.calls.beat(name, name, LEASE, "running", (0, None), running))


def long_ago(bench: Bench, task_id: str) -> None:
    """Let a task have begun so long ago that its worker must know of it."""
    bench.client.hset(bench.keys.task(task_id), "started", 1)


@pytest.mark.parametrize("name", ["w", "w-1234"])
def test_a_running_task_that_lost_its_entry_is_left_to_its_live_worker(bench: Bench, name: str) -> None:
    _, taken = bench.running("t")
    long_ago(bench, "t")
    live_worker(bench, "t", name=name)
    assert check(bench).clean
    bench.run(bench.calls.acknowledge([taken.place]))
    report = check(bench)
    assert (report.found, report.repaired.total()) == ({"unheld": 1}, 0)
    assert bench.move(Verb.SUCCEED, "t", 1).applied


def test_a_worker_that_has_just_begun_need_not_know_it_yet(bench: Bench) -> None:
    bench.running("t")
    live_worker(bench)
    assert check(bench).clean


def test_a_worker_that_runs_many_need_not_tell_of_all(bench: Bench) -> None:
    bench.running("t")
    long_ago(bench, "t")
    live_worker(bench, *(f"n{number}" for number in range(100)))
    assert check(bench).clean


def test_a_running_task_that_its_live_worker_does_not_run_comes_back(bench: Bench) -> None:
    """The server restarted and had lost its last second: the worker was done, the ledger knows nothing of it."""
    _, taken = bench.running("t")
    long_ago(bench, "t")
    live_worker(bench, "other")
    assert repairs(bench) == {"orphaned": 1}
    (again,) = bench.take()
    assert (again.lane, again.message) == ("again", taken.message)
    assert bench.start("t", again.tag).attempt == 2
    assert "lost" not in bench.raw("t")


def test_a_running_task_in_a_group_made_anew_is_queued_again(bench: Bench) -> None:
    """Its entry would be handed out a second time, refused there, and dropped for good."""
    _, taken = bench.running("t")
    bench.client.xgroup_destroy(entry_key(bench), "workers")
    bench.client.xgroup_create(entry_key(bench), "workers", "0")
    assert repairs(bench) == {"orphaned": 1}
    (again,) = bench.take()
    assert again.lane == "again"
    assert taken.message == again.message


def test_a_running_task_that_was_told_to_stop_ends_there(bench: Bench) -> None:
    bench.running("t")
    bench.cancel("t")
    bench.client.xgroup_delconsumer(entry_key(bench), "workers", "c")
    assert repairs(bench) == {"orphaned": 1}
    assert bench.state("t") is State.REVOKED


def test_a_task_that_others_stand_for_has_no_entry(bench: Bench) -> None:
    _, taken = bench.running("t")
    bench.run(bench.calls.note("t", 1, "replaced", "null", fields={"replaced": 1}))
    bench.run(bench.calls.acknowledge([taken.place]))
    assert check(bench).clean
    bench.move(Verb.SUCCEED, "t", 1)


def test_a_task_that_a_plain_app_runs_is_left_to_it(bench: Bench) -> None:
    """Its worker acknowledges early, and says STARTED itself: the ledger has not started it, and knows no token."""
    bench.submit("t", plain=True)
    (taken,) = bench.take()
    bench.run(bench.calls.settle("t", State.STARTED, attempt=None, lifetime=60, data="null", fields={"worker": "x"}))
    bench.run(bench.calls.acknowledge([taken.place]))
    assert check(bench).clean
    bench.run(bench.calls.forget("t"))


def test_nobody_is_orphaned_while_the_living_may_still_renew(bench: Bench) -> None:
    typed(bench, "t")
    (taken,) = bench.take()
    bench.start("t", taken.tag)
    bench.run(bench.calls.acknowledge([taken.place]))
    bench.client.hset(f"{bench.keys.prefix}pulse", "grace", 10**14)
    assert check(bench).clean
    bench.end_grace()
    assert repairs(bench) == {"orphaned": 1}


def test_what_a_plain_app_acknowledged_early_is_left_to_it(bench: Bench) -> None:
    bench.submit("t", plain=True)
    (taken,) = bench.take()
    bench.run(bench.calls.acknowledge([taken.place], plain=True))
    assert check(bench).clean
    bench.run(bench.calls.forget("t"))


def test_logs_of_the_living_stay(bench: Bench) -> None:
    bench.running("t")
    bench.run(bench.calls.add_lines("t", 1, ["{}"]))
    assert check(bench).clean
    assert bench.client.llen(bench.keys.log("t")) == 1


def test_many_due_entries_of_nobody_go_in_one_walk(bench: Bench) -> None:
    bench.client.zadd(f"{bench.keys.prefix}due", {f"nobody{number}": number for number in range(3 * SLICE)})
    assert check(bench).repaired == {"overdue": 3 * SLICE}
    assert bench.due() == []


def test_records_of_other_brokers_are_left_alone(bench: Bench) -> None:
    bench.run(
        bench.calls.settle("theirs", State.STARTED, attempt=None, lifetime=60, data="null", fields={"worker": "x"})
    )
    assert check(bench).clean
    bench.run(bench.calls.forget("theirs"))


def test_entries_without_a_living_task_go(bench: Bench) -> None:
    bench.submit("forgotten")
    bench.run(bench.calls.forget("forgotten"))
    bench.submit("cancelled")
    key = entry_key(bench)
    ((_, fields),) = bench.client.xrange(key, count=1)
    bench.cancel("cancelled")
    bench.client.xadd(key, {**fields, "t": "cancelled"})
    bench.client.xadd(key, {"t": "never-heard-of", "m": "x", "r": "0"})
    bench.submit("sound")
    assert repairs(bench) == {"stray": 3}
    assert [taken.message for taken in bench.take(most=10)] == ["m:sound"]
    check(bench)


def test_an_entry_whose_task_forgot_it_is_made_known(bench: Bench) -> None:
    bench.submit("t")
    entry = bench.raw("t")["entry"]
    bench.client.hdel(bench.keys.task("t"), "entry")
    assert repairs(bench) == {"unclaimed": 1}
    assert bench.raw("t")["entry"] == entry


def test_entries_that_were_handed_out_and_that_nobody_holds_come_back(bench: Bench) -> None:
    bench.submit("t")
    bench.take()
    bench.client.xgroup_delconsumer(entry_key(bench), "workers", "c")
    assert repairs(bench) == {"stranded": 1}
    (taken,) = bench.take()
    assert bench.start("t", taken.tag).attempt == 1


def test_a_message_that_is_no_task_comes_back_as_well(bench: Bench) -> None:
    bench.run(bench.calls.put("q", "normal", b"hello"))
    bench.take()
    bench.client.xgroup_delconsumer(entry_key(bench), "workers", "c")
    assert repairs(bench) == {"stranded": 1}
    (taken,) = bench.take()
    assert taken.message == "hello"


def test_a_consumer_without_a_lease_gets_one_that_runs_out(bench: Bench) -> None:
    bench.running("t", "dead")
    bench.client.zrem(bench.keys.leases, "dead")
    assert bench.run(bench.calls.reap(100)) == 0
    assert repairs(bench) == {"leaseless": 1, "idle": 2}  # it has read the lanes before, and holds nothing there
    left = bench.client.zscore(bench.keys.leases, "dead") - bench.client.time()[0] * 1000
    assert LEASE * 500 < left <= LEASE * 1000 + 1000
    bench.lapse("dead")
    bench.end_grace()
    assert bench.run(bench.calls.reap(100)) == 1
    assert bench.state("t") is State.PENDING


def test_a_consumer_that_holds_nothing_goes(bench: Bench) -> None:
    _, taken = bench.running("t", "idle")
    bench.move(Verb.SUCCEED, "t", 1)
    bench.run(bench.calls.acknowledge([taken.place]))
    bench.client.zrem(bench.keys.leases, "idle")
    lanes = ("again", "high", "normal")
    assert repairs(bench) == {"idle": len(lanes)}
    assert not any(bench.client.xinfo_consumers(entry_key(bench, lane), "workers") for lane in lanes)


def test_a_retried_task_whose_message_is_gone_has_used_its_retries(bench: Bench) -> None:
    typed(bench, "t")
    (taken,) = bench.take()
    bench.start("t", taken.tag)
    bench.retry("t", 1, due="+100000")
    bench.client.hdel(bench.keys.task("t"), "message")
    assert repairs(bench) == {"unqueued": 1}
    assert message_in(bench.take(most=2)[-1].message.encode())["headers"]["retries"] == 1


def test_records_end_when_they_should(bench: Bench) -> None:
    bench.submit("over")
    bench.cancel("over")
    bench.client.persist(bench.keys.task("over"))
    bench.submit("alive")
    bench.client.expire(bench.keys.task("alive"), 60)
    finished = bench.raw("over")["finished"]
    assert repairs(bench) == {"endless": 1, "fading": 1}
    assert bench.client.ttl(bench.keys.task("over")) > 0
    assert bench.raw("over")["finished"] == finished
    assert bench.client.ttl(bench.keys.task("alive")) == -1


def test_lists_and_records_are_of_one_mind(bench: Bench) -> None:
    bench.submit("unlisted")
    created = bench.client.zscore(f"{bench.keys.prefix}tasks", "unlisted")
    bench.client.zrem(f"{bench.keys.prefix}tasks", "unlisted")
    bench.client.zadd(f"{bench.keys.prefix}tasks", {"gone": 1})
    bench.client.hset(bench.keys.task("part"), "label", "x")
    bench.client.rpush(bench.keys.log("gone"), "line")
    bench.client.sadd(f"{bench.keys.prefix}children:gone", "x")
    bench.client.delete(bench.keys.queues)
    report = check(bench)
    assert report.repaired == {"unlisted": 1, "fragment": 1, "leftover": 2, "unnamed": 1}
    assert bench.client.zrange(f"{bench.keys.prefix}tasks", 0, -1, withscores=True) == [("unlisted", created)]
    assert bench.run(bench.calls.queues()) == ["q"]
    assert check(bench).clean

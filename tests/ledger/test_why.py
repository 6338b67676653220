"""What is read for the question why: places, leases, who is ahead, how fast it goes."""

from __future__ import annotations

import json
from typing import Any

from backyard.core.explain import explain_task
from backyard.core.states import Verb
from backyard.core.why import Facts, Reason, Why
from backyard.ledger.why_calls import MOST
from support.bench import LEASE, Bench


def facts(bench: Bench, task_id: str) -> Facts:
    found = bench.run(bench.calls.why(task_id))
    assert isinstance(found, Facts)
    return found


def why(bench: Bench, task_id: str) -> Why:
    return explain_task(task_id, facts(bench, task_id), bench.run(bench.calls.workers()), {})


def live_worker(bench: Bench, name: str = "w", **options: Any) -> None:
    """Let a worker say that it lives and reads the bench's queue."""
    fields = {"queues": '["q"]', "definitions": '{"f":""}', "concurrency": 2, **options}
    bench.run(bench.calls.introduce(name, name, LEASE, 0, fields))


def test_an_unknown_task_has_no_facts(bench: Bench) -> None:
    assert bench.run(bench.calls.why("nobody")) is None


def test_what_is_ahead_counts_lanes_and_leaves_out_what_is_taken(bench: Bench) -> None:
    for number in range(5):
        bench.submit(f"n{number}")
    bench.submit("urgent", lane="high")
    bench.submit("mine")
    bench.submit("idle", lane="low")
    assert facts(bench, "mine").ahead == 6
    assert facts(bench, "urgent").ahead == 0
    assert facts(bench, "idle").ahead == 7
    bench.take(most=3)
    assert facts(bench, "mine").ahead == 3
    assert facts(bench, "idle").ahead == 4
    assert not facts(bench, "mine").at_least
    assert facts(bench, "urgent").place == "held"


def test_long_queues_are_counted_from_the_nearer_end(bench: Bench) -> None:
    for number in range(2 * MOST + 10):
        bench.submit(f"n{number}")
    bench.submit("behind")
    for number in range(10):
        bench.submit(f"later{number}")
    found = facts(bench, "behind")
    assert (found.ahead, found.at_least) == (2 * MOST + 10, False)
    middle = facts(bench, f"n{MOST + 5}")
    assert (middle.ahead, middle.at_least) == (MOST, True)


def test_the_rate_is_that_of_its_own_queue(bench: Bench) -> None:
    for number in range(3):
        bench.running(f"n{number}")
    bench.running("other", queue="another")
    bench.submit("mine")
    found = facts(bench, "mine")
    assert found.starts == 3
    assert 0 < found.starts_since <= found.now


def test_what_holds_it_and_for_how_long(bench: Bench) -> None:
    bench.running("t", "holder")
    found = facts(bench, "t")
    assert found.place == "held"
    assert found.lease is not None
    assert 0 < found.lease - found.now <= LEASE * 1000
    live_worker(bench)
    assert why(bench, "t").reason is Reason.RUNNING
    bench.lapse("holder")
    bench.run(bench.calls.goodbye("w", "w"))
    assert why(bench, "t").reason is Reason.WORKER_LOST


def test_from_submit_to_end(bench: Bench) -> None:
    bench.submit("t", due="+60000")
    assert why(bench, "t").reason is Reason.DUE
    bench.make_due("t")
    assert why(bench, "t").reason is Reason.NO_WORKER
    live_worker(bench, queues='["other"]')
    assert why(bench, "t").reason is Reason.DUE
    bench.run(bench.calls.promote(10))
    assert why(bench, "t").reason is Reason.NO_WORKER
    live_worker(bench, definitions='{"g":""}')
    assert why(bench, "t").reason is Reason.UNKNOWN_DEFINITION
    live_worker(bench)
    assert (why(bench, "t").reason, why(bench, "t").evidence["slots"]) == (Reason.QUEUED, 2)
    (taken,) = bench.take()
    assert why(bench, "t").reason is Reason.TAKEN
    bench.start("t", taken.tag)
    assert why(bench, "t").reason is Reason.RUNNING
    bench.cancel("t")
    assert why(bench, "t").reason is Reason.STOPPING
    bench.move(Verb.STOP, "t", 1)
    assert why(bench, "t").reason is Reason.CANCELLED


def test_a_lost_entry_is_told(bench: Bench) -> None:
    bench.submit("t")
    bench.client.delete(bench.keys.queue("q", "normal"))
    assert why(bench, "t").reason is Reason.NO_ENTRY
    bench.run(bench.calls.forget("t"))


def test_what_is_paused_and_limited_is_read(bench: Bench) -> None:
    bench.submit("t")
    prefix = bench.keys.prefix
    bench.client.hset(f"{prefix}paused", "queue:q", json.dumps({"since": 1, "reason": "lunch"}))
    assert why(bench, "t").reason is Reason.PAUSED
    bench.client.delete(f"{prefix}paused")
    bench.client.hset(bench.keys.task("t"), "parked", "one")
    bench.client.zadd(f"{prefix}slots:one", {"holder": 1})
    bench.client.zadd(f"{prefix}parked:one", {"before": 1, "t": 2})
    found = facts(bench, "t")
    assert (found.holders, list(found.holding), found.parked_before) == (1, ["holder"], 1)
    assert why(bench, "t").reason is Reason.LIMIT
    bench.client.hdel(bench.keys.task("t"), "parked")

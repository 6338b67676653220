"""Deaths under a task: what counts, what is kept of them, and where they end."""

from __future__ import annotations

from typing import Any

import pytest

from backyard.core.models import FailureKind
from backyard.core.states import State, Verb
from backyard.ledger.task_calls import ONCE, Deaths, Started
from support.bench import DEATHS, LEASE, Bench


def bury(bench: Bench, *consumers: str, reason: str = "worker_lost", most: int = 100, **evidence: Any) -> Any:
    known = evidence.pop("by_task", {})
    return bench.run(bench.calls.bury(most, consumers, reason, {"": evidence, **known}))


def crash(bench: Bench, place: tuple[str, str, str], **evidence: Any) -> None:
    bench.run(bench.calls.give_back([place], "crashed", evidence))


# -- what counts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "counts"),
    [
        ("crashed", (0, 1)), ("worker_lost", (1, 0)), ("shutdown", (0, 0)), ("asked", (0, 0)), ("rejected", (0, 0)),
        ("released", (0, 0)),
    ],
)  # fmt: skip
def test_what_counts(bench: Bench, reason: str, counts: tuple[int, int]) -> None:
    task_id, taken = bench.running()
    bench.run(bench.calls.give_back([taken.place], reason))
    record = bench.record(task_id)
    assert (record.number("lost"), record.number("crashed")) == counts
    assert ("evidence" in record.fields) is any(counts)
    assert bench.events(task_id)[-1].data == {"reason": reason}


def test_what_never_started_was_not_under_anybody(bench: Bench) -> None:
    bench.submit("a")
    (taken,) = bench.take("c")
    crash(bench, taken.place)
    assert bench.take("c")[0].message == "m:a"
    bury(bench, "c")
    record = bench.record("a")
    assert (record.state, record.number("lost"), record.number("crashed")) == (State.PENDING, 0, 0)


def test_crashes_and_losses_are_limited_apart(bench: Bench) -> None:
    """As many crashes as it may, less one, and as many losses, less one, are still no reason to end a task."""
    bench.submit("a")
    for kind in ["crashed"] * (DEATHS.crashes - 1) + ["worker_lost"] * (DEATHS.losses - 1):
        (taken,) = bench.take("c")
        assert bench.start("a", taken.tag).attempt
        bench.run(bench.calls.give_back([taken.place], kind))
    (taken,) = bench.take("c")
    assert bench.start("a", taken.tag).attempt == DEATHS.crashes + DEATHS.losses - 1
    assert bench.move(Verb.SUCCEED, "a", DEATHS.crashes + DEATHS.losses - 1).applied


def test_a_retry_ends_the_row(bench: Bench) -> None:
    task_id, taken = bench.running()
    crash(bench, taken.place)
    (taken,) = bench.take()
    bench.start(task_id, taken.tag)
    bench.retry(task_id, 2)
    assert not {"crashed", "lost", "evidence"} & set(bench.raw(task_id))


def test_a_new_run_begins_without_a_past(bench: Bench) -> None:
    task_id, taken = bench.running()
    for _ in range(DEATHS.crashes):
        crash(bench, taken.place)
        (taken,) = bench.take()
        bench.start(task_id, taken.tag)
    assert bench.state(task_id) is State.FAILURE
    bench.submit(task_id, again=True)
    (taken,) = [one for one in bench.take("c", 9) if one.lane == "normal"]
    assert bench.start(task_id, taken.tag).attempt == DEATHS.crashes + 1
    assert bench.record(task_id).failure is None


# -- suspects ---------------------------------------------------------------------------------------------------------


def lose_together(bench: Bench, *names: str, times: int) -> None:
    for _ in range(times):
        for taken in bench.take("c", len(names)):
            assert bench.start(taken.message[2:], taken.tag).attempt
        assert bury(bench, "c")[0] == len(names)


def test_only_the_culprit_gets_to_the_limit(bench: Bench) -> None:
    """Nobody can say which of two it was that killed the worker, until each has run alone."""
    for name in ("culprit", "neighbour"):
        bench.submit(name)
    lose_together(bench, "culprit", "neighbour", times=DEATHS.losses // 2)
    first, second = bench.take("c", 2)
    assert bench.start("culprit", first.tag).attempt == 3
    assert bench.start("neighbour", second.tag) == Started(None, "limited")
    for _ in range(DEATHS.losses // 2):
        bury(bench, "c")
        (taken,) = bench.take("c", 2)
        culprit = bench.start("culprit", taken.tag)
    assert culprit == Started(None, "lost")
    bench.run(bench.calls.acknowledge([taken.place]))
    (taken,) = bench.take("c", 2)
    assert bench.start("neighbour", taken.tag).attempt == 3
    assert bench.move(Verb.SUCCEED, "neighbour", 3).applied
    assert bench.record("neighbour").number("lost") == DEATHS.losses // 2
    assert bench.client.exists(f"{bench.keys.prefix}slots:suspects") == 0


def test_who_is_no_suspect_runs_beside_one(bench: Bench) -> None:
    bench.submit("a")
    lose_together(bench, "a", times=DEATHS.losses // 2)
    for name in ("b", "c"):
        bench.submit(name)
    for taken in bench.take("d", 3):
        assert bench.start(taken.message[2:], taken.tag).attempt


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deaths", "kind", "reason", "kept"),
    [
        (Deaths(9, 2), FailureKind.QUARANTINED, "crashed", 2),
        (Deaths(3, 9), FailureKind.QUARANTINED, "worker_lost", 3),
        (ONCE, FailureKind.WORKER_LOST, "crashed", 1),
        (ONCE, FailureKind.WORKER_LOST, "worker_lost", 1),
    ],
)
def test_at_the_limit_it_ends_with_the_evidence(
    bench: Bench, deaths: Deaths, kind: FailureKind, reason: str, kept: int
) -> None:
    bench.submit("a")
    for number in range(1, kept + 1):
        (taken,) = bench.take("c")
        assert bench.start("a", taken.tag, worker="w@h", deaths=deaths).attempt == number
        evidence = {"host": "h", "signal": "SIGSEGV", "peak_rss": 123_456_789_012, "lines": [f'line {number} "x" é']}
        bench.run(bench.calls.give_back([taken.place], reason, evidence))
    (taken,) = bench.take("c")
    assert bench.start("a", taken.tag, deaths=deaths) == Started(None, "lost")
    record = bench.record("a")
    failure = record.view().failure
    assert failure is not None
    assert failure.kind is kind
    assert f"{kept} time" in failure.message
    assert failure.evidence is not None
    assert [one.attempt for one in failure.evidence] == list(range(1, kept + 1))
    last = failure.evidence[-1]
    assert (last.reason, last.host, last.worker, last.signal, last.exit_code) == (reason, "h", "w@h", "SIGSEGV", None)
    assert (last.peak_rss, last.lines) == (123_456_789_012, [f'line {kept} "x" é'])
    assert abs(last.at.timestamp() - bench.client.time()[0]) < 60
    assert bench.count(str(kind)) == 1
    bench.run(bench.calls.acknowledge([taken.place]))
    assert bench.entries() == ({}, {})


def test_ten_deaths_are_kept(bench: Bench) -> None:
    bench.submit("a")
    for number in range(13):
        (taken,) = bench.take("c")
        bench.start("a", taken.tag, deaths=Deaths(13, 13))
        crash(bench, taken.place, exit_code=number)
    (taken,) = bench.take("c")
    bench.start("a", taken.tag, deaths=Deaths(13, 13))
    failure = bench.record("a").failure
    assert failure is not None
    assert [one.exit_code for one in failure.evidence or ()] == list(range(3, 13))


@pytest.mark.parametrize("text", ["{", "[]", "7", '"\\ud800"', ""])
def test_evidence_that_cannot_be_read_stops_nothing(bench: Bench, text: str) -> None:
    task_id, taken = bench.running()
    call = bench.calls.give_back([taken.place], "crashed", {})
    words = [text if word == "{}" else word for word in call.words]
    bench.run(type(call)(words, call.read, call.script))
    bench.client.hset(bench.keys.task(task_id), "evidence", "broken")
    (taken,) = bench.take()
    bench.start(task_id, taken.tag)
    crash(bench, taken.place, exit_code=1)
    record = bench.record(task_id)
    assert (record.state, record.number("crashed")) == (State.PENDING, 2)
    assert [one["exit_code"] for one in record.json("evidence")] == [1]


# -- bury -------------------------------------------------------------------------------------------------------------


def test_what_the_dead_held_is_back_at_once(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.submit(name)
    hand = bench.take("dead", 2)
    bench.start("a", hand[0].tag)
    other, _ = bench.running("d", consumer="alive", queue="r")
    back = bury(bench, "dead", "never seen", host="h", by_task={"a": {"host": "h", "lines": ["last"]}})
    assert back == (2, False)
    assert bench.states("a") == ["PENDING", "STARTED", "PENDING"]
    assert bench.record("a").json("evidence")[0]["lines"] == ["last"]
    assert bench.state(other) is State.STARTED
    assert [one.message for one in bench.take("e", 9)] == ["m:a", "m:b", "m:c"]
    assert bench.client.zscore(bench.keys.leases, "dead") is None
    assert {one["name"] for one in bench.client.xinfo_consumers(bench.keys.queue("q", "normal"), "workers")} == {"e"}
    assert bench.count("workers_lost") == 1


def test_burying_waits_for_no_grace_and_a_stopped_worker_is_no_loss(bench: Bench) -> None:
    task_id, _ = bench.running(consumer="dead")
    bench.client.hset(f"{bench.keys.prefix}pulse", "grace", 2**52)
    assert bury(bench, "dead", reason="shutdown") == (1, False)
    assert (bench.state(task_id), bench.record(task_id).number("lost")) == (State.PENDING, 0)
    assert bench.count("workers_lost") == 0


def test_burying_is_bounded_and_goes_on(bench: Bench) -> None:
    for number in range(25):
        bench.submit(f"t{number:02}", lane=("high", "normal", "low")[number % 3], queue="qr"[number % 2])
    assert len(bench.take("x", 15, ["q", "r"])) == 15
    assert len(bench.take("y", 10, ["q", "r"])) == 10
    assert [bury(bench, "x", "y", most=10) for _ in range(4)] == [(10, True), (10, True), (5, False), (0, False)]
    bench.check_nothing_lost()


# -- guard ------------------------------------------------------------------------------------------------------------


def test_a_guardian_renews_what_is_there_and_takes_nothing_anew(bench: Bench) -> None:
    task_id, _ = bench.running(consumer="held up")
    bench.lapse("held up")
    assert bench.run(bench.calls.guard(LEASE, ["held up", "given up"])) == 1
    bench.end_grace()
    assert bench.run(bench.calls.reap(10)) == 0
    assert bench.state(task_id) is State.STARTED
    assert bench.client.zrange(bench.keys.leases, 0, -1) == ["held up"]


def test_a_guardians_renewal_after_a_silence_gives_all_a_lease_to_come_back(bench: Bench) -> None:
    bench.running(consumer="one")
    bench.run(bench.calls.renew(LEASE, ["one"], []))
    bench.end_grace()
    bench.client.hset(f"{bench.keys.prefix}pulse", "last", 1)
    bench.lapse("one")
    assert bench.run(bench.calls.guard(LEASE, ["another"])) == 0
    assert bench.run(bench.calls.reap(10)) == 0

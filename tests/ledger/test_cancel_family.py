"""A cancel goes on to children, and leaves word for the canvas of whatever it ended."""

from __future__ import annotations

from typing import Any

import pytest

from backyard.core.states import State, Verb
from backyard.ledger import ledger as ledger_module
from backyard.ledger.cancel_calls import CHILDREN_AT_ONCE, Untold
from support.bench import LEASE, Bench
from support.cancelling import child, descend, hold, settle_revoked, stage, stages

# -- children ---------------------------------------------------------------------------------------------------------


def test_children_and_theirs_are_cancelled_with_the_parent(bench: Bench) -> None:
    bench.running("root")
    waiting = child(bench, "root", "waiting")
    later = child(bench, "root", "later", due="+600000")
    child(bench, "root", "runs", queue="r")
    hold(bench, "runs", "r")
    below = child(bench, "runs", "below")
    child(bench, "root", "over", queue="o")
    hold(bench, "over", "o")
    beneath = child(bench, "over", "beneath")
    bench.move(Verb.SUCCEED, "over", 1)
    other = bench.submit("other", queue="z").task_id
    assert bench.cancel("root") == ["requested"]
    for one in (waiting, later, below, beneath):
        assert (bench.state(one), stage(bench, one)) == (State.REVOKED, "stopped"), one
    assert stage(bench, "runs") == "requested"
    assert (bench.state("over"), stage(bench, "over")) == (State.SUCCESS, None)
    assert bench.state(other) is State.PENDING
    cancel = bench.record(below).view().cancel
    assert cancel is not None
    assert cancel.reason == "Its parent runs was cancelled."
    assert not bench.client.exists(f"{bench.keys.prefix}cancelling")


def test_children_may_be_left_alone_and_be_cancelled_later(bench: Bench) -> None:
    bench.running("root")
    one = child(bench, "root")
    assert bench.ledger.cancel(["root"], children=False) == ["requested"]
    two = child(bench, "root")
    descend(bench)
    assert [bench.state(task_id) for task_id in (one, two)] == [State.PENDING] * 2
    assert bench.cancel("root") == ["requested"]
    assert [bench.state(task_id) for task_id in (one, two)] == [State.REVOKED] * 2
    assert stages(bench, "root") == ["requested"]


def test_a_final_task_leaves_its_children_alone(bench: Bench) -> None:
    task_id, _ = bench.running()
    one = child(bench, task_id)
    bench.move(Verb.SUCCEED, task_id, 1)
    assert bench.cancel(task_id) == ["final"]
    descend(bench)
    assert bench.state(one) is State.PENDING


def test_what_a_cancelled_parent_still_submits_never_starts(bench: Bench) -> None:
    bench.running("root")
    bench.cancel("root")
    one = child(bench, "root", "one")
    (taken,) = bench.take("c", 1, ["of-root"])
    assert bench.start(one, taken.tag).attempt is None, "with nobody there to go on"
    assert (bench.state(one), stage(bench, one)) == (State.REVOKED, "stopped")
    two = child(bench, "root", "two")
    descend(bench)
    assert bench.state(two) is State.REVOKED


def test_a_child_that_nobody_has_come_to_yet_does_not_start(bench: Bench) -> None:
    """The API died between the cancel and the children, and no worker was there."""
    bench.running("root")
    one = child(bench, "root", "one")
    child(bench, one, "below")
    bench.client.hset(bench.keys.task("root"), mapping={"cancel": 1, "cancel_tree": 1})
    (taken,) = bench.take("c", 1, ["of-root"])
    assert bench.start(one, taken.tag).reason == "refused"
    assert bench.state(one) is State.REVOKED
    descend(bench)
    assert bench.state("one") is State.REVOKED


def test_who_is_a_child(bench: Bench) -> None:
    """What a running task has submitted, or what its finished children have set going; not what tells of an end."""
    bench.running("root")
    child(bench, "root", "part", queue="p")
    hold(bench, "part", "p")
    assert bench.client.smembers(bench.keys.children("root")) == {"part"}
    bench.move(Verb.SUCCEED, "part", 1)
    child(bench, "part", "body", queue="b")
    assert bench.client.smembers(bench.keys.children("root")) == {"part", "body"}
    assert not bench.client.exists(bench.keys.children("part"))
    child(bench, "root", "bad", queue="f")
    hold(bench, "bad", "f")
    bench.move(Verb.FAIL, "bad", 1)
    child(bench, "bad", "errback")
    child(bench, "nobody", "orphan")
    child(bench, "own", "own")
    assert bench.client.smembers(bench.keys.children("root")) == {"part", "body", "bad"}
    assert not bench.client.exists(*(bench.keys.children(one) for one in ("bad", "nobody", "own")))
    bench.cancel("root")
    states = {one: bench.state(one) for one in ("body", "errback", "orphan", "own")}
    waiting = State.PENDING
    assert states == {"body": State.REVOKED, "errback": waiting, "orphan": waiting, "own": waiting}


def test_the_set_of_children_lives_like_the_record(bench: Bench) -> None:
    task_id, _ = bench.running()
    child(bench, task_id)
    key = bench.keys.children(task_id)
    assert bench.client.ttl(key) == -1
    bench.move(Verb.SUCCEED, task_id, 1)
    left = bench.client.ttl(bench.keys.task(task_id))
    assert 0 < bench.client.ttl(key) <= left
    bench.run(bench.calls.forget(task_id))
    assert not bench.client.exists(key)


@pytest.mark.parametrize("steps", [0, 3, 1_000])
def test_ten_thousand_children_in_steps(bench: Bench, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    monkeypatch.setattr(ledger_module, "STEPS", steps)
    count = 10_000
    bench.running("root")
    bench.ledger.submit([
        bench.submission(f"c{n}", queue="many", fields={"parent_id": "root"}) for n in range(count)
    ])  # fmt: skip
    assert bench.client.scard(bench.keys.children("root")) == count
    before = len(bench.events())
    assert bench.cancel("root") == ["requested"]
    if steps != 1_000:
        assert len(bench.events()) - before <= 1 + 2 * 2 * CHILDREN_AT_ONCE * (1 + steps), "a call is bounded"
        assert bench.client.exists(f"{bench.keys.prefix}cancelling"), "a worker goes on with it"
        assert bench.cancel("root") == ["requested"], "a second cancel does not begin anew"
        assert descend(bench) >= count // (2 * CHILDREN_AT_ONCE) - 2 * steps - 2
    assert {bench.raw(f"c{n}")["state"] for n in range(0, count, 7)} == {"REVOKED"}
    assert bench.run(bench.calls.depth(["many"])) == {"many": 0}
    # Who looks at all keys of the server after this test would look at these as well.
    bench.client.unlink(*(bench.keys.task(f"c{n}") for n in range(count)))


def test_a_family_as_deep_as_it_gets(bench: Bench) -> None:
    bench.running("d0")
    for n in range(1, 1_000):
        child(bench, f"d{n - 1}", f"d{n}", queue="deep")
        hold(bench, f"d{n}", "deep")
    bench.cancel("d0")
    descend(bench)
    assert {stage(bench, f"d{n}") for n in range(0, 1_000, 9)} == {"requested"}


def test_a_family_that_goes_in_circles(bench: Bench) -> None:
    """A task that put a chain in its own place bears the id of the chain's last."""
    bench.running("root")
    child(bench, "root", "one", queue="1")
    hold(bench, "one", "1")
    child(bench, "one", "two", queue="2")
    hold(bench, "two", "2")
    bench.client.sadd(bench.keys.children("two"), "one", "two", "root")
    for one in ("one", "two"):
        bench.move(Verb.SUCCEED, one, 1)
    assert bench.cancel("root") == ["requested"]
    assert descend(bench) == 1
    bench.move(Verb.STOP, "root", 1)


# -- canvas -----------------------------------------------------------------------------------------------------------


def untold(bench: Bench, patience: float = 60.0) -> list[Untold]:
    found: list[Untold] = bench.run(bench.calls.untold(10, patience))
    return found


@pytest.mark.parametrize("how", ["queued", "taken", "scheduled", "retry", "stopped", "lost", "killed", "purged"])
def test_word_is_left_for_the_canvas_wherever_a_task_is_cancelled(bench: Bench, how: str) -> None:
    options: dict[str, Any] = {"fields": {"canvas": "1"}, "message": b"m:a"}
    if how in ("queued", "scheduled", "purged", "taken"):
        bench.submit("a", due="+600000" if how == "scheduled" else "", **options)
        if how == "taken":
            bench.take()
        if how == "purged":
            bench.run(bench.calls.purge("q", 10))
        else:
            assert bench.cancel("a") == ["cancelled"]
    else:
        _, taken = bench.running("a", **options)
        if how == "retry":
            bench.retry("a", 1, due="+600000", message=b"m:a")
        bench.cancel("a")
        if how == "stopped":
            bench.move(Verb.STOP, "a", 1)
        elif how == "lost":
            bench.run(bench.calls.give_back([taken.place], "worker_lost"))
        elif how == "killed":
            settle_revoked(bench, "a", taken.tag, killed=1)
            assert stage(bench, "a") == "killed"
        bench.run(bench.calls.acknowledge([taken.place]))
    assert bench.state("a") is State.REVOKED
    assert untold(bench) == [Untold("a", "REVOKED", b"m:a")]
    assert bench.entries() == ({}, {})
    assert bench.run(bench.calls.told(["a"])) == 1
    assert not bench.client.exists(f"{bench.keys.prefix}untold")
    assert not {"untold", "telling", "message", "entry"} & set(bench.raw("a"))


def test_word_is_left_of_a_task_that_no_worker_can_run(bench: Bench) -> None:
    bench.submit("a", fields={"canvas": "1"}, message=b"m:a")
    (taken,) = bench.take()
    assert bench.run(bench.calls.set_aside(*taken.place, "nobody knows it")) == "kept"
    assert untold(bench) == [Untold("a", "FAILURE", b"m:a")]


def test_no_word_is_left_of_tasks_that_no_canvas_knows(bench: Bench) -> None:
    bench.submit("a", fields={"canvas": ""})
    bench.submit("b")
    bench.running("c", queue="c", fields={"canvas": "1"})
    bench.cancel("a", "b", "c")
    bench.move(Verb.SUCCEED, "c", 1)
    assert untold(bench) == []


def test_who_dies_while_telling_is_taken_over_from(bench: Bench) -> None:
    bench.submit("a", fields={"canvas": "1"})
    bench.cancel("a")
    assert len(untold(bench)) == 1
    assert untold(bench) == [], "somebody is at it"
    bench.client.hset(bench.keys.task("a"), "telling", 1)
    assert len(untold(bench)) == 1
    bench.client.hset(bench.keys.task("a"), "telling", 1)
    bench.client.delete(bench.keys.task("a"))
    assert untold(bench) == [], "its record's lifetime has ended"
    assert not bench.client.exists(f"{bench.keys.prefix}untold")


def test_cancels_of_many_at_once(bench: Bench) -> None:
    ids = [bench.submit().task_id for _ in range(600)]
    task_id, _ = bench.running(queue="r")
    assert bench.ledger.cancel([*ids, task_id, "nobody", ids[0]]) == [
        *["cancelled"] * 600, "requested", "unknown", "final",
    ]  # fmt: skip
    assert bench.entries()[0] == {}


def test_nothing_is_reaped_or_renewed_back_to_life(bench: Bench) -> None:
    bench.submit("a")
    bench.take("w")
    bench.cancel("a")
    bench.lapse("w")
    bench.end_grace()
    bench.run(bench.calls.renew(LEASE, [], ["w"]))
    bench.run(bench.calls.reap(10))
    assert bench.take() == []
    assert bench.state("a") is State.REVOKED

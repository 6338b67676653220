"""Leases: renewed by the living, reaped from the dead, never from the living."""

from __future__ import annotations

import pytest

from backyard.core.states import State, Verb
from support.bench import LEASE, Bench


def renew(bench: Bench, living: list[str], retired: list[str], lease: float = LEASE) -> list[str]:
    empty: list[str] = bench.run(bench.calls.renew(lease, living, retired))
    return empty


def reap(bench: Bench, most: int = 100) -> int:
    return int(bench.run(bench.calls.reap(most)))


# -- reap -------------------------------------------------------------------------------------------------------------


def test_dead_consumers_entries_go_back_in_order(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.submit(name)
    hand = bench.take("dead", 2)
    bench.start("a", hand[0].tag)
    bench.lapse("dead")
    assert reap(bench) == 2
    assert bench.states("a") == ["PENDING", "STARTED", "PENDING"]
    assert bench.events("a")[-1].data == {"reason": "worker_lost"}
    assert bench.states("b") == ["PENDING"], "it never started, so that it stands where it stood"
    assert bench.client.zscore(bench.keys.leases, "dead") is None
    assert [one["name"] for one in bench.client.xinfo_consumers(bench.keys.queue("q", "normal"), "workers")] == []
    assert [one.message for one in bench.take("d", 9)] == ["m:a", "m:b", "m:c"]
    assert (bench.count("workers_lost"), bench.count("returned")) == (1, 2)


def test_nothing_is_taken_from_the_living(bench: Bench) -> None:
    task_id, _ = bench.running(consumer="alive")
    other, _ = bench.running(consumer="dead", queue="r")
    bench.lapse("dead")
    assert reap(bench) == 1
    assert (bench.state(task_id), bench.state(other)) == (State.STARTED, State.PENDING)
    assert reap(bench) == 0
    assert bench.move(Verb.SUCCEED, task_id, 1).applied


def test_a_renewed_lease_is_no_longer_out(bench: Bench) -> None:
    task_id, _ = bench.running(consumer="slow")
    bench.lapse("slow")
    renew(bench, ["slow"], [])
    bench.end_grace()
    assert reap(bench) == 0
    assert bench.state(task_id) is State.STARTED


def test_lease_runs_out_by_itself(bench: Bench) -> None:
    """The server's own clock: a lease of 20 ms, and a wait for the sign."""
    bench.submit("a")
    bench.run(bench.calls.take("c", 1, 0.02, ["q"]))
    while not reap(bench):
        pass
    assert bench.entries()[0] == {"q/" + bench.raw("a")["entry"]: "a"}


def test_nobody_is_declared_dead_after_a_silence_of_everybody(bench: Bench) -> None:
    """The server was away or frozen: all leases are out, and all workers live."""
    task_id, _ = bench.running(consumer="one")
    renew(bench, ["one"], [])
    bench.end_grace()
    bench.client.hset(f"{bench.keys.prefix}pulse", "last", 1)
    bench.lapse("one")
    renew(bench, ["another"], [])
    assert reap(bench) == 0
    assert bench.state(task_id) is State.STARTED
    renew(bench, ["one"], [])
    bench.end_grace()
    assert reap(bench) == 0
    assert bench.state(task_id) is State.STARTED


def test_a_reaper_that_was_on_its_way_while_the_server_was_frozen_takes_nothing(bench: Bench) -> None:
    """It had renewed before, and asked; the server answers after the thaw, before anybody else can renew."""
    task_id, _ = bench.running(consumer="other")
    renew(bench, ["one", "other"], [])
    bench.end_grace()
    bench.client.hincrby(f"{bench.keys.prefix}pulse", "last", -int(LEASE * 600))
    bench.lapse("one", "other")
    assert reap(bench) == 0
    assert bench.state(task_id) is State.STARTED


def test_grace_is_one_lease_and_regular_renewals_do_not_lengthen_it(bench: Bench) -> None:
    renew(bench, ["one"], [])
    pulse = bench.client.hgetall(f"{bench.keys.prefix}pulse")
    assert int(pulse["grace"]) == int(pulse["last"]) + LEASE * 1000
    renew(bench, ["one"], [])
    again = bench.client.hgetall(f"{bench.keys.prefix}pulse")
    assert again["grace"] == pulse["grace"]
    assert int(again["last"]) >= int(pulse["last"])


def test_reaping_is_bounded_and_goes_on(bench: Bench) -> None:
    for number in range(25):
        bench.submit(f"t{number:02}", lane=("high", "normal", "low")[number % 3], queue="qr"[number % 2])
    assert len(bench.take("dead", 25, ["q", "r"])) == 25
    bench.lapse("dead")
    assert [reap(bench, 10) for _ in range(4)] == [10, 10, 5, 0]
    bench.check_nothing_lost()
    assert bench.run(bench.calls.depth(["q", "r"])) == {"q": 13, "r": 12}


def test_many_dead_consumers(bench: Bench) -> None:
    for number in range(25):
        bench.submit()
        bench.take(f"dead{number}")
        bench.lapse(f"dead{number}")
    total = 0
    while back := reap(bench):
        total += back
    assert total == 25
    assert bench.client.zcard(bench.keys.leases) == 0


def test_entry_of_a_final_task_is_not_given_back(bench: Bench) -> None:
    task_id, _ = bench.running()
    bench.move(Verb.SUCCEED, task_id, 1)
    bench.lapse("c")
    reap(bench)
    assert bench.entries() == ({}, {})
    assert bench.state(task_id) is State.SUCCESS


def test_worker_that_comes_back_late_finds_its_tasks_gone(bench: Bench) -> None:
    task_id, taken = bench.running(consumer="frozen")
    bench.lapse("frozen")
    reap(bench)
    (again,) = bench.take("other")
    bench.start(task_id, again.tag)
    assert bench.move(Verb.SUCCEED, task_id, 1).outcome == "stale"
    bench.run(bench.calls.acknowledge([taken.place]))
    assert bench.move(Verb.SUCCEED, task_id, 2).applied
    bench.submit("more")
    assert [one.message for one in bench.take("frozen")] == ["m:more"]


# -- retired consumers ------------------------------------------------------------------------------------------------


def test_retired_consumer_keeps_what_runs_and_gives_back_the_rest(bench: Bench) -> None:
    for name in ("runs", "waits", "over", "cancelled", "reports"):
        bench.submit(name)
    hand = {one.message[2:]: one for one in bench.take("old", 5)}
    for name in ("runs", "over", "reports"):
        bench.start(name, hand[name].tag)
    bench.move(Verb.PROGRESS, "reports", 1)
    bench.move(Verb.FAIL, "over", 1)
    bench.cancel("cancelled")
    assert renew(bench, ["new"], ["old"]) == []
    ready, pending = bench.entries()
    assert (list(ready.values()), list(pending.values())) == (["waits"], ["runs", "reports"])
    assert bench.states("waits") == ["PENDING"]
    bench.end_grace()
    assert reap(bench) == 0, "its lease is renewed with the living ones'"
    assert bench.move(Verb.SUCCEED, "runs", 1).applied
    assert bench.move(Verb.SUCCEED, "reports", 1).applied
    bench.run(bench.calls.acknowledge([hand["runs"].place, hand["reports"].place]))
    assert renew(bench, ["new"], ["old"]) == ["old"]
    assert bench.client.zrange(bench.keys.leases, 0, -1) == ["new"]
    assert bench.client.xinfo_consumers(bench.keys.queue("q", "normal"), "workers") == []


def test_retired_consumer_of_several_queues(bench: Bench) -> None:
    for number in range(8):
        bench.submit(f"t{number}", lane=("high", "low")[number % 2], queue="qr"[number // 4])
    hand = bench.take("old", 8, ["q", "r"])
    bench.start(hand[3].message[2:], hand[3].tag)
    assert renew(bench, [], ["old", "never seen"]) == ["never seen"]
    assert [len(part) for part in bench.entries()] == [7, 1]
    bench.check_nothing_lost()


def test_retired_consumer_with_more_than_one_look_covers(bench: Bench) -> None:
    """What is beyond one look must not be forgotten with its consumer."""
    bench.ledger.submit([bench.submission() for _ in range(1_003)])
    assert len(bench.take("old", 2_000)) == 1_003
    assert renew(bench, [], ["old"]) == []
    assert renew(bench, [], ["old"]) == ["old"]
    assert bench.run(bench.calls.depth(["q"])) == {"q": 1_003}
    bench.check_nothing_lost()


@pytest.mark.parametrize("living", [[], ["a"], ["a", "b"]])
def test_renewal_without_retired_ones_only_renews(bench: Bench, living: list[str]) -> None:
    assert renew(bench, living, []) == []
    assert sorted(bench.client.zrange(bench.keys.leases, 0, -1)) == living

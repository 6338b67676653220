"""The self-check in any situation: it finds no fault with what is sound, and after any damage all comes to an end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, run_state_machine_as_test

from backyard.core.states import FINAL, Verb
from backyard.embedded.server import EmbeddedServer
from backyard.engine.check import Report, Walk
from backyard.engine.message import compose, message_in
from backyard.ledger.keys import GROUP, LANES
from backyard.ledger.limit_calls import Limit
from ledger.test_machine import Workers
from support.bench import LEASE, Bench, bench_of

ONE = Limit("definition:f", 1)


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own: there are a thousand walks here over all keys, and other tests leave 100,000 behind."""
    with EmbeddedServer(tmp_path_factory.mktemp("server") / "data", appendfsync="no") as server:
        yield server.url


def check(bench: Bench, *, repair: bool = True) -> Report:
    """Walk once over the bench's yard."""
    return Walk(bench.run, bench.calls, LEASE, repair=repair).all()


def test_whatever_workers_do_the_check_finds_nothing(server_url: str) -> None:
    """After each step of several workers in any order: what the check calls damage is no state of a sound yard."""

    class Checked(Workers):
        url = server_url

        @invariant()
        def check_finds_nothing(self) -> None:
            assert check(self.bench).found == {}

    run_state_machine_as_test(
        Checked,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.reuse, Phase.generate],
        ),
    )


# -- damage -----------------------------------------------------------------------------------------------------------


def lane_of(bench: Bench, chance: random.Random) -> str:
    """Return the key of a lane that is there, or of one that could be."""
    keys = [bench.keys.queue("q", lane) for lane in LANES]
    there = [key for key in keys if bench.client.exists(key)]
    return chance.choice(there or keys)


def task_of(bench: Bench, chance: random.Random) -> str:
    """Return the key of some task's record."""
    return bench.keys.task(chance.choice(sorted(bench.records()) or ["nobody"]))


def delete_lane(bench: Bench, chance: random.Random) -> None:
    bench.client.delete(lane_of(bench, chance))


def trim_lane(bench: Bench, chance: random.Random) -> None:
    bench.client.xtrim(lane_of(bench, chance), chance.randrange(3))


def delete_entry(bench: Bench, chance: random.Random) -> None:
    key = lane_of(bench, chance)
    for entry, _ in bench.client.xrange(key)[:1]:
        bench.client.xdel(key, entry)


def acknowledge_entry(bench: Bench, chance: random.Random) -> None:
    key = lane_of(bench, chance)
    for entry, _ in bench.client.xrange(key)[:1]:
        bench.client.xack(key, GROUP, entry)


def delete_consumer(bench: Bench, chance: random.Random) -> None:
    key = lane_of(bench, chance)
    if bench.client.exists(key) and bench.client.xinfo_groups(key):
        bench.client.xgroup_delconsumer(key, GROUP, chance.choice(["c", "d"]))


def delete_group(bench: Bench, chance: random.Random) -> None:
    key = lane_of(bench, chance)
    if bench.client.exists(key):
        bench.client.xgroup_destroy(key, GROUP)


def double_entry(bench: Bench, chance: random.Random) -> None:
    key = lane_of(bench, chance)
    for _, fields in bench.client.xrange(key)[:1]:
        bench.client.xadd(key, fields)


def delete_key(bench: Bench, chance: random.Random) -> None:
    names = ("due", "leases", "tasks", "queues", "pulse", "limits", "workers")
    bench.client.delete(f"{bench.keys.prefix}{chance.choice(names)}")


def delete_limit(bench: Bench, chance: random.Random) -> None:
    kind = chance.choice(("slots:definition:f", "parked:definition:f", "parked_of:q"))
    bench.client.delete(f"{bench.keys.prefix}{kind}")


def delete_field(bench: Bench, chance: random.Random) -> None:
    field = chance.choice(("entry", "message", "due", "held", "parked", "lane", "finished"))
    bench.client.hdel(task_of(bench, chance), field)


def delete_record(bench: Bench, chance: random.Random) -> None:
    bench.client.delete(task_of(bench, chance))


def change_expiry(bench: Bench, chance: random.Random) -> None:
    key = task_of(bench, chance)
    bench.client.persist(key) if chance.random() < 0.5 else bench.client.expire(key, 600)


def give_slot_to_nobody(bench: Bench, chance: random.Random) -> None:
    bench.client.zadd(f"{bench.keys.prefix}slots:definition:f", {f"nobody{chance.randrange(3)}": 1})


DAMAGES: list[Callable[[Bench, random.Random], None]] = [
    delete_lane, trim_lane, delete_entry, acknowledge_entry, delete_consumer, delete_group, double_entry, delete_key,
    delete_limit, delete_field, delete_record, change_expiry, give_slot_to_nobody,
]  # fmt: skip


# -- life -------------------------------------------------------------------------------------------------------------


def submit(bench: Bench, chance: random.Random) -> None:
    task_id = f"t{chance.randrange(1_000_000)}"
    message = compose(task_id, "f", b"{}", queue="q", lane="normal", timelimit=(None, None))
    options: dict[str, Any] = {
        "due": chance.choice(["", "", "+600000"]),
        "lane": chance.choice(["high", "normal", "low"]),
    }
    door = {} if chance.random() < 0.8 else {"door": "celery"}
    bench.submit(task_id, message=message, fields={"input": "{}", **door}, **options)


def begin(bench: Bench, chance: random.Random) -> None:
    limits = [ONE] if chance.random() < 0.5 else []
    for taken in bench.take(chance.choice("cd"), 2):
        bench.start(message_in(taken.message.encode())["headers"]["id"], taken.tag, limits=limits)


def take(bench: Bench, chance: random.Random) -> None:
    bench.take(chance.choice("cd"), 2)


def finish_one(bench: Bench, chance: random.Random) -> None:
    for task_id, record in sorted(bench.records().items()):
        if record.get("state") == "STARTED" and chance.random() < 0.5:
            verb = chance.choice([Verb.SUCCEED, Verb.FAIL])
            bench.move(verb, task_id, int(record["attempt"]))


def retry_one(bench: Bench, chance: random.Random) -> None:
    for task_id, record in sorted(bench.records().items()):
        if record.get("state") == "STARTED" and chance.random() < 0.5:
            message = compose(task_id, "f", b"{}", queue="q", lane="normal", timelimit=(None, None))
            bench.retry(task_id, int(record["attempt"]), due="+600000", message=message)


def cancel_one(bench: Bench, chance: random.Random) -> None:
    bench.cancel(task_of(bench, chance).rpartition(":")[2])


LIFE: list[Callable[[Bench, random.Random], None]] = [
    submit,
    submit,
    submit,
    begin,
    begin,
    take,
    finish_one,
    retry_one,
    cancel_one,
]
STEPS = {step.__name__: step for step in [*LIFE, *DAMAGES]}


def run_to_the_end(bench: Bench) -> None:
    """Let a sound worker, and time, finish all that is there."""
    over = 0
    for _ in range(40):
        check(bench)
        bench.make_due(*bench.due())
        bench.run(bench.calls.promote(1_000))
        bench.lapse(*bench.client.zrange(bench.keys.leases, 0, -1)) if bench.client.zcard(bench.keys.leases) else None
        bench.end_grace()
        bench.run(bench.calls.reap(1_000))
        for taken in bench.take("sound", 100):
            started = bench.start(message_in(taken.message.encode())["headers"]["id"], taken.tag, limits=[ONE])
            if started.attempt is not None:
                task_id = message_in(taken.message.encode())["headers"]["id"]
                assert bench.move(Verb.SUCCEED, task_id, started.attempt).applied
            bench.run(bench.calls.acknowledge([taken.place]))
        final = all(not record or record.get("state") in FINAL for record in bench.records().values())
        over = over + 1 if final and not bench.due() else 0
        # A lane that one walk names is looked at by the next, and what its dead consumers hold is reaped after that.
        if over == 3:
            break


@settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate]
)
@given(
    steps=st.lists(st.sampled_from(sorted(STEPS)), min_size=5, max_size=30),
    seed=st.integers(0, 2**32),
)
@example(steps=["change_expiry", "submit", "delete_field", "delete_consumer", "give_slot_to_nobody"], seed=3294)
@example(steps=["submit", "begin", "delete_lane", "submit", "take", "delete_group"], seed=1)
@example(steps=["submit", "begin", "delete_record", "delete_entry", "delete_key", "delete_key"], seed=17)
def test_after_any_damage_everything_ends(server_url: str, steps: list[str], seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a plan that can be run again
    with bench_of(server_url) as bench:
        for step in steps:
            STEPS[step](bench, chance)
        run_to_the_end(bench)
        check(bench)
        left = {task_id: row for task_id, row in bench.records().items() if row and row.get("state") not in FINAL}
        assert left == {}
        assert bench.due() == []
        assert check(bench).clean, "a second walk finds what the first has left"
        endless = [
            task_id
            for task_id, row in bench.records().items()
            if row and bench.client.ttl(bench.keys.task(task_id)) < 0
        ]
        assert endless == []
        bench.check_limits({"definition:f": 1})
        ready, pending = bench.entries()
        assert (ready, pending) == ({}, {})

"""The self-check beside real workers: it never touches what is sound, and what was damaged comes to its end."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord

from backyard.core.states import FINAL, State
from backyard.engine.check import Report, Walk
from backyard.ledger.keys import LANES
from backyard.ledger.ledger import Ledger
from support.clean import assert_clean, wait_final, wait_for_state, wait_until
from support.processes import Process
from support.stage import Stage
from support.trials import starts

LEASE = 2.0


@contextmanager
def checking(stage: Stage) -> Iterator[list[Report]]:
    """Walk over the yard again and again beside whatever goes on; gives a report for each walk."""
    reports: list[Report] = []
    over = threading.Event()
    ledger = Ledger(stage.ledger.url, stage.ledger.keys.yard, timeout=10)

    def walk() -> None:
        while not over.is_set():
            reports.append(Walk(ledger.run, ledger.calls, LEASE).all())

    thread = threading.Thread(target=walk)
    thread.start()
    try:
        yield reports
    finally:
        over.set()
        thread.join()
        ledger.close()


def traffic(stage: Stage, seed: int, rounds: int) -> list[str]:
    """Submit tasks of all kinds, cancel some; returns their ids."""
    chance = random.Random(seed)  # noqa: S311 - a plan that can be run again
    typed, plain = stage.typed, stage.plain
    ids: list[str] = []
    for number in range(rounds):
        handles = [
            typed.add.submit_sync(number),
            typed.flaky.submit_sync(chance.randrange(3)),
            typed.add.with_options(delay=chance.random() / 2).submit_sync(number),
            typed.add.with_options(priority=chance.choice(["high", "low"])).submit_sync(number),
        ]
        ids += [handle.task_id for handle in handles]
        sent = [
            plain.multiply.apply_async((number, 2), countdown=chance.random() / 2),
            plain.retrying.delay(chance.randrange(3)),
            plain.replacing.delay("chain"),
            plain.coming_back.delay(1),
            chain(plain.multiply.s(2, 3), plain.multiply.s(4)).apply_async(),
            chord([plain.multiply.s(n, n) for n in range(2)])(plain.total.s()),
        ]
        ids += [result.id for result in sent]
        for task_id in chance.sample(ids[-10:], 2):
            stage.ledger.run(stage.ledger.calls.cancel([task_id]))
    return ids


def test_nothing_sound_is_touched_however_busy_the_yard_is(
    environment: dict[str, str], stage: Stage, workers: Callable[..., Process]
) -> None:
    environment["BACKYARD_LEASE"] = "10"  # no worker here loses its lease, however busy the machine is
    for _ in range(2):
        workers("--concurrency=2", "--hostname=w%%h")
    with checking(stage) as reports:
        ids = traffic(stage, 7, 25)
        for task_id in ids:
            wait_final(stage.ledger, task_id)
        wait_until(lambda: len(reports) > 20, "twenty walks")
    found = sum((report.found for report in reports), Counter[str]())
    assert found == {}, {
        kind: [report.examples.get(kind) for report in reports if report.found[kind]] for kind in found
    }
    assert sum(report.looked["tasks"] for report in reports) > len(ids)
    assert_clean(stage.ledger, leases=2)


def test_a_worker_that_dies_leaves_nothing_to_the_check(
    environment: dict[str, str], stage: Stage, workers: Callable[..., Process], gate: Path
) -> None:
    """Leases see to it alone: a check that came first would start a task twice, or count it wrongly."""
    environment["BACKYARD_LEASE"] = "10"
    dead = workers("--concurrency=2")
    handles = [stage.typed.hold.submit_sync(str(gate)) for _ in range(2)]
    wait_until(lambda: len(starts(gate)) == 2, "two that run")
    with checking(stage) as reports:
        dead.kill()
        workers("--concurrency=2")
        wait_until(lambda: len(starts(gate)) == 4, "two that run again")
        gate.touch()
        assert [handle.result_sync(30) for handle in handles] == [2, 2]
    assert sum((report.found for report in reports), Counter[str]()) == {}


def prefix(stage: Stage) -> str:
    return stage.ledger.keys.prefix


def forget_the_queues(stage: Stage, client: Any) -> None:
    """Delete all lanes, as a person does who takes them for a cache."""
    for lane in LANES:
        client.delete(stage.ledger.keys.queue("default", lane))


def trim_the_queues(stage: Stage, client: Any) -> None:
    for lane in LANES:
        client.xtrim(stage.ledger.keys.queue("default", lane), 0)


def forget_what_is_due(stage: Stage, client: Any) -> None:
    client.delete(f"{prefix(stage)}due")


def forget_the_groups(stage: Stage, client: Any) -> None:
    for lane in LANES:
        if client.exists(stage.ledger.keys.queue("default", lane)):
            client.xgroup_destroy(stage.ledger.keys.queue("default", lane), "workers")


def forget_leases_and_lists(stage: Stage, client: Any) -> None:
    for name in ("leases", "tasks", "queues", "pulse", "check"):
        client.delete(f"{prefix(stage)}{name}")


DAMAGES = [forget_the_queues, trim_the_queues, forget_what_is_due, forget_the_groups, forget_leases_and_lists]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
def test_damage_is_mended_by_the_workers_themselves(
    stage: Stage, workers: Callable[..., Process], gate: Path, damage: Callable[[Stage, Any], None]
) -> None:
    """Some tasks wait, some are delayed, one runs, when a person breaks something; nobody runs ``backyard check``."""
    workers("--concurrency=1")
    client: Any = stage.ledger.client
    held = stage.typed.hold.submit_sync(str(gate))
    wait_until(lambda: len(starts(gate)) == 1, "one that runs")
    waiting = [stage.typed.add.submit_sync(number) for number in range(10)]
    delayed = [stage.typed.add.with_options(delay=0.5).submit_sync(number) for number in range(5)]
    damage(stage, client)
    gate.touch()
    assert [handle.result_sync(60) for handle in [*waiting, *delayed]] == [2 + n for n in [*range(10), *range(5)]]
    assert held.result_sync(60) >= 1
    assert wait_for_state(stage.ledger, held.task_id, *FINAL).state is State.SUCCESS
    assert_clean(stage.ledger)

"""Workers, their children, connections and the server are killed while tasks run; each task still ends once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backyard.core.models import FailureKind
from backyard.core.states import State
from backyard.ledger.ledger import Ledger
from backyard.ledger.task_calls import CRASHES
from support.clean import assert_clean, counted, news_of, wait_final, wait_for_state, wait_until
from support.processes import Process
from support.stage import Stage
from support.trials import starts

Start = Callable[..., Process]


def final_news(ledger: Ledger, task_id: str) -> list[str]:
    return [state for state, _ in news_of(ledger, task_id) if state in ("SUCCESS", "FAILURE", "REVOKED")]


def test_a_killed_workers_task_runs_again_and_has_one_outcome(stage: Stage, workers: Start, gate: Path) -> None:
    first = workers("--concurrency=1", "-n", "first")
    handle = stage.typed.hold.submit_sync(str(gate))
    queued = [stage.typed.add.submit_sync(n) for n in range(3)]
    wait_until(lambda: starts(gate), "it starts")
    first.kill()
    workers("--concurrency=1", "-n", "second")
    wait_until(lambda: len(starts(gate)) == 2, "it starts again")
    gate.touch()
    assert handle.result_sync(30) == 2
    assert [one.result_sync(30) for one in queued] == [2, 3, 4]
    assert [row[1] for row in starts(gate)] == ["1", "2"]
    assert final_news(stage.ledger, handle.task_id) == ["SUCCESS"]
    view = handle.status_sync()
    assert (view.attempt, view.worker) == (2, "celery@second")
    assert_clean(stage.ledger)


def test_a_frozen_workers_late_outcome_is_refused(stage: Stage, workers: Start, gate: Path) -> None:
    first = workers("--concurrency=1", "-n", "first")
    handle = stage.typed.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    os.killpg(first.child.pid, signal.SIGSTOP)
    workers("--concurrency=1", "-n", "second")
    wait_until(lambda: len(starts(gate)) == 2, "it starts again")
    gate.touch()
    assert handle.result_sync(30) == 2
    os.killpg(first.child.pid, signal.SIGCONT)
    wait_until(lambda: counted(stage.ledger).get("stale", 0) >= 1, "the late outcome arrives")
    assert handle.status_sync().result == 2
    assert final_news(stage.ledger, handle.task_id) == ["SUCCESS"]
    assert stage.typed.add.submit_sync(1).result_sync(30) == 3
    assert_clean(stage.ledger, leases=2)
    assert first.child.poll() is None


@pytest.mark.parametrize("how", ["kill", "exit"])
def test_a_task_that_kills_its_child_ends_after_a_few_attempts(
    stage: Stage, workers: Start, gate: Path, how: str
) -> None:
    worker = workers("--concurrency=2")
    neighbour = stage.typed.hold.submit_sync(f"{gate}.neighbour")
    handle = stage.typed.die.submit_sync(str(gate), how)
    record = wait_final(stage.ledger, handle.task_id)
    assert record.failure is not None
    assert (record.state, record.failure.kind) == (State.FAILURE, FailureKind.QUARANTINED)
    assert len(starts(gate)) == CRASHES == record.number("attempt")
    ending = ("SIGKILL", None) if how == "kill" else (None, 3)
    evidence = record.failure.evidence or []
    assert [(one.reason, one.signal, one.exit_code) for one in evidence] == [("crashed", *ending)] * CRASHES
    assert [one.attempt for one in evidence] == [1, 2, 3]
    assert final_news(stage.ledger, handle.task_id) == ["FAILURE"]
    assert stage.typed.add.submit_sync(1).result_sync(30) == 3
    Path(f"{gate}.neighbour").touch()
    assert neighbour.result_sync(30) == 1
    assert_clean(stage.ledger)
    assert worker.child.poll() is None


def test_a_chord_hears_of_a_part_that_is_lost_for_good(stage: Stage, workers: Start, gate: Path) -> None:
    from celery import chord  # noqa: PLC0415 - one test's own

    workers("--concurrency=2")
    body = stage.plain.total.s()
    body.link_error(stage.plain.remember.si(f"{gate}.chord", "failed"))
    result = chord([stage.plain.multiply.s(1, 1), stage.typed.die.s(str(gate))])(body)
    record = wait_final(stage.ledger, result.id)
    assert record.failure is not None
    assert record.failure.type == "ChordError"
    wait_until(lambda: starts(f"{gate}.chord") == [["failed"]], "the errback runs")
    assert_clean(stage.ledger)


def test_acks_early_means_at_most_once(stage: Stage, workers: Start, gate: Path) -> None:
    workers()
    result = stage.plain.once_only.delay(str(gate))
    record = wait_final(stage.ledger, result.id)
    assert record.failure is not None
    assert record.failure.kind is FailureKind.WORKER_LOST
    assert len(starts(gate)) == 1
    assert_clean(stage.ledger)


def test_a_stopping_worker_finishes_what_runs_and_gives_back_the_rest(stage: Stage, workers: Start, gate: Path) -> None:
    first = workers("--concurrency=1", "--prefetch-multiplier=4")
    running = stage.typed.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    queued = [stage.typed.add.submit_sync(n) for n in range(6)]
    first.child.terminate()
    first.wait_for_line("Warm shutdown")
    gate.touch()
    assert running.result_sync(30) == 1
    assert first.child.wait(30) == 0
    # Nothing waits for a lease to run out.
    states = [handle.status_sync().state for handle in queued]
    assert set(states) <= {State.PENDING, State.SUCCESS}
    assert stage.ledger.client.zcard(stage.ledger.keys.leases) == 0
    workers("--concurrency=2")
    assert [handle.result_sync(30) for handle in queued] == [2, 3, 4, 5, 6, 7]
    assert all(len(final_news(stage.ledger, handle.task_id)) == 1 for handle in (running, *queued))
    assert_clean(stage.ledger)


def test_cut_connections_start_nothing_twice(stage: Stage, workers: Start, gate: Path) -> None:
    worker = workers("--concurrency=2")
    client: Any = stage.ledger.client
    handle = stage.typed.report.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    done = []
    for number in range(6):
        client.client_kill_filter(_type="normal", skipme=True)
        client.client_kill_filter(_type="pubsub", skipme=True)
        done.append(stage.typed.add.submit_sync(number).result_sync(30))
    gate.touch()
    assert handle.result_sync(30) > 0
    assert done == [2, 3, 4, 5, 6, 7]
    assert len(starts(gate)) == 1
    assert final_news(stage.ledger, handle.task_id) == ["SUCCESS"]
    assert_clean(stage.ledger)
    assert worker.child.poll() is None


def test_an_acknowledgement_survives_the_channel_it_came_on(stage: Stage, workers: Start, gate: Path) -> None:
    worker = workers("--concurrency=1")
    client: Any = stage.ledger.client
    handle = stage.plain.long.delay(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    client.client_kill_filter(_type="normal", skipme=True)
    client.client_kill_filter(_type="pubsub", skipme=True)  # a worker that is full looks at this one only
    worker.wait_for_line("Connection to broker lost")
    wait_until(lambda: client.zcard(stage.ledger.keys.leases) == 2, "the worker reads under a new name")
    gate.touch()
    assert handle.get(timeout=30) == "long"
    assert_clean(stage.ledger)
    assert len(starts(gate)) == 1
    assert stage.typed.add.submit_sync(1).result_sync(30) == 3
    assert worker.child.poll() is None, worker.output
    assert "Traceback" not in worker.output, worker.output


def test_a_flush_does_not_end_a_worker(stage: Stage, workers: Start) -> None:
    worker = workers("--concurrency=2")
    client: Any = stage.ledger.client
    assert stage.typed.add.submit_sync(1).result_sync(30) == 3
    assert stage.plain.multiply.delay(2, 2).get(timeout=30) == 4
    for _ in range(2):
        # What FLUSHDB does to this yard; others in this server go on.
        client.delete(*client.keys(f"{stage.ledger.keys.prefix}*"))
        assert stage.typed.add.submit_sync(1).result_sync(30) == 3
        # The program's table of bindings is gone as well: a message must not vanish for that.
        assert stage.plain.multiply.delay(2, 3).get(timeout=30) == 6
    assert_clean(stage.ledger)
    assert worker.child.poll() is None, worker.output


def test_two_workers_share_a_queue(environment: dict[str, str], stage: Stage, workers: Start, gate: Path) -> None:
    environment["BACKYARD_LEASE"] = "10"  # neither loses it, however busy the machine is
    workers("--concurrency=1", "-n", "one")
    workers("--concurrency=1", "-n", "two")
    handles = [stage.typed.hold.submit_sync(str(gate), str(n)) for n in range(4)]
    wait_until(lambda: len(starts(gate)) == 2, "both start one")
    assert len({row[0] for row in starts(gate)}) == 2
    depth = stage.ledger.run(stage.ledger.calls.depth(["default"]))
    assert depth == {"default": 2}, "neither takes more than it can run"
    gate.touch()
    assert [handle.result_sync(30) for handle in handles] == [1] * 4
    assert_clean(stage.ledger, leases=2)


def test_a_task_longer_than_the_lease_starts_once(stage: Stage, workers: Start, gate: Path) -> None:
    workers("--concurrency=1", "-n", "one")
    workers("--concurrency=1", "-n", "two")
    client: Any = stage.ledger.client
    handle = stage.plain.long.delay(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    begun = client.time()[0]
    wait_until(lambda: client.time()[0] - begun > 2 * float(stage.environment["BACKYARD_LEASE"]), "two leases pass")
    assert stage.ledger.record(handle.id).state is State.STARTED
    gate.touch()
    assert handle.get(timeout=30) == "long"
    assert len(starts(gate)) == 1
    assert_clean(stage.ledger, leases=2)


def test_cancelled_before_any_worker_never_starts(stage: Stage, workers: Start, gate: Path) -> None:
    kept = stage.typed.hold.submit_sync(str(gate), "kept")
    dropped = stage.typed.hold.submit_sync(str(gate), "dropped")
    later = stage.typed.hold.with_options(delay=0.2).submit_sync(str(gate), "later")
    assert dropped.cancel_sync()
    assert later.cancel_sync()
    gate.touch()
    workers()
    assert kept.result_sync(30) == 1
    assert stage.typed.add.submit_sync(1).result_sync(30) == 3
    assert [row[2] for row in starts(gate)] == ["kept"]
    assert wait_for_state(stage.ledger, dropped.task_id, State.REVOKED).number("attempt") == 0
    assert_clean(stage.ledger)


def test_a_cancelled_task_that_was_lost_does_not_run_again(stage: Stage, workers: Start, gate: Path) -> None:
    first = workers("--concurrency=1", "-n", "first")
    result = stage.plain.long.delay(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    stage.yard.handle(result.id).cancel_sync()
    first.kill()
    workers("--concurrency=1", "-n", "second")
    assert wait_final(stage.ledger, result.id).state is State.REVOKED
    assert len(starts(gate)) == 1
    assert_clean(stage.ledger)

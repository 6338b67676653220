"""What a submit may say beside its input: when, how urgent, until when, under which words."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from backyard.core.errors import TaskFailedError
from backyard.core.models import FailureKind
from backyard.core.states import State
from support.clean import news_of, wait_final, wait_until
from support.stage import Stage
from support.trials import starts


def server_time(stage: Stage) -> float:
    client: Any = stage.ledger.client
    seconds, micro = client.time()
    return float(seconds) + float(micro) / 1e6


def test_a_delay_is_waited_for_in_the_ledger(served: Stage) -> None:
    begun = server_time(served)
    handle = served.typed.add.with_options(delay=2).submit_sync(1)
    view = handle.status_sync()
    assert view.state is State.SCHEDULED
    assert view.date_due is not None
    assert handle.result_sync(30) == 3
    started = handle.status_sync().date_started
    assert started is not None
    assert started.timestamp() >= begun + 1.99
    assert [state for state, _ in news_of(served.ledger, handle.task_id)] == [
        "SCHEDULED", "PENDING", "STARTED", "SUCCESS",
    ]  # fmt: skip


def test_a_time_in_any_zone(served: Stage) -> None:
    zone = dt.timezone(dt.timedelta(hours=-9, minutes=-30))
    at = dt.datetime.fromtimestamp(server_time(served) + 2, zone)
    handle = served.typed.add.with_options(at=at).submit_sync(1)
    due = handle.status_sync().date_due
    assert due is not None
    assert abs((due - at).total_seconds()) < 0.002
    assert handle.result_sync(30) == 3


def test_a_time_in_the_past_is_now(served: Stage) -> None:
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    assert served.typed.add.with_options(at=past).submit_sync(1).result_sync(30) == 3


def test_what_expires_ends_in_failure_and_never_starts(served: Stage) -> None:
    handle = served.typed.perishable.with_options(delay=0.2).submit_sync()
    with pytest.raises(TaskFailedError):
        handle.result_sync(30)
    record = wait_final(served.ledger, handle.task_id)
    assert record.failure is not None
    assert record.failure.kind is FailureKind.EXPIRED
    assert record.number("attempt") == 0
    kept = served.typed.perishable.with_options(expires=60, delay=0.2).submit_sync()
    failed = wait_final(served.ledger, kept.task_id).failure
    assert failed is not None
    assert failed.type == "AssertionError", "an option of the submit goes before the definition's"


def test_cancelled_while_scheduled_never_starts(served: Stage, gate: Path) -> None:
    handle = served.typed.hold.with_options(delay=2).submit_sync(str(gate))
    after = served.typed.add.with_options(delay=2.3).submit_sync(1)
    assert handle.cancel_sync()
    assert after.result_sync(30) == 3
    assert handle.status_sync().state is State.REVOKED
    assert starts(gate) == []


def test_tags_are_kept(served: Stage) -> None:
    handle = served.typed.add.with_options(tags=["blue", "large"]).submit_sync(1)
    handle.result_sync(30)
    assert handle.status_sync().tags == ["blue", "large"]


def test_lanes_are_read_in_their_order(stage: Stage, workers: Any, gate: Path) -> None:
    handles = [
        stage.typed.lane.with_options(priority=priority, queue=queue).submit_sync(str(gate), f"{priority}{number}")
        for number in range(2)
        for priority, queue in (("low", "lanes"), ("normal", "default"), ("high", "lanes"))
    ]
    workers("--concurrency=1")
    for handle in handles:
        handle.result_sync(30)
    assert [row[0] for row in starts(gate)] == ["high0", "high1", "normal0", "normal1", "low0", "low1"]


def test_one_queue_does_not_starve_another(stage: Stage, workers: Any, gate: Path) -> None:
    full = [stage.typed.lane.with_options(queue="default").submit_sync(str(gate), "default") for _ in range(20)]
    other = stage.typed.lane.with_options(queue="lanes").submit_sync(str(gate), "lanes")
    workers("--concurrency=1")
    for handle in (*full, other):
        handle.result_sync(30)
    words = [row[0] for row in starts(gate)]
    assert words.index("lanes") <= 2, words


def test_a_retry_that_was_cancelled_is_over(served: Stage, gate: Path) -> None:
    result = served.plain.slow_retry.delay(str(gate))
    wait_until(lambda: served.ledger.record(result.id).state is State.RETRY, "it waits for its retry")
    assert served.yard.handle(result.id).cancel_sync()
    assert result.state == "REVOKED"
    with pytest.raises(Exception, match="cancelled"):
        result.get(timeout=30)
    assert len(starts(gate)) == 1


def test_a_task_cancelled_while_it_fails_is_not_retried(served: Stage, gate: Path) -> None:
    result = served.plain.slow_retry.delay(str(gate), wait=True)
    wait_until(lambda: starts(gate), "it starts")
    assert served.yard.handle(result.id).cancel_sync()
    gate.touch()
    assert wait_final(served.ledger, result.id).state is State.REVOKED

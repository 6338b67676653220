"""Delays, retries and expiry with real workers: by the server's clock alone, and whatever happens to the server."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import chord

from backyard.core.models import FailureKind
from backyard.core.states import State
from backyard.embedded.server import EmbeddedServer
from support.clean import assert_clean, counted, news_of, wait_final, wait_for_state, wait_until
from support.patient import TARGET, define
from support.processes import Process, make_environment, start_worker
from support.stage import Stage
from support.trials import make_yard, starts


@contextmanager
def patient(environment: dict[str, str]) -> Iterator[Any]:
    """The yard of the patient tasks, as a program that submits sees it."""
    yard = make_yard(environment)
    yield yard, define(yard)
    yard.ledger.close()
    yard.celery.backend.result_consumer.stop()
    yard.celery.backend.client.connection_pool.disconnect()
    yard.celery.close()
    gc.collect()


# -- expiry -----------------------------------------------------------------------------------------------------------


def test_what_no_worker_reads_expires(served: Stage) -> None:
    """There is a worker, though it reads another queue."""
    handle = served.typed.add.with_options(queue="nobody", expires=0.2).submit_sync(1)
    later = served.typed.add.with_options(delay=600).submit_sync(1)
    record = wait_final(served.ledger, handle.task_id)
    assert record.failure is not None
    assert (record.state, record.failure.kind) == (State.FAILURE, FailureKind.EXPIRED)
    assert [state for state, _ in news_of(served.ledger, handle.task_id)] == ["PENDING", "FAILURE"]
    result = served.plain.multiply.apply_async((2, 3), countdown=600, expires=0.2)
    wait_final(served.ledger, result.id)
    assert result.state == "REVOKED", "as it is called in Celery"
    assert served.ledger.record(later.task_id).state is State.SCHEDULED
    later.cancel_sync()


def test_a_chord_hears_of_a_part_that_expired_where_nobody_looked(served: Stage) -> None:
    multiply, total = served.plain.multiply, served.plain.total
    result = chord([multiply.s(1, 2), multiply.s(3, 4).set(queue="nobody", expires=0.2)])(total.s())
    record = wait_final(served.ledger, result.id)
    assert record.state is State.FAILURE
    (part,) = [one for one in result.parent.results if served.ledger.record(one.id).state is State.FAILURE]
    failure = served.ledger.record(part.id).failure
    assert failure is not None
    assert failure.kind is FailureKind.EXPIRED, "telling others does not change what happened"


# -- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [-3600, 3600])
def test_a_worker_whose_clock_is_wrong_retries_on_time(environment: dict[str, str], off: int) -> None:
    worker = start_worker({**environment, "TEST_CLOCK_OFF": str(off)}, "--concurrency=1", target=TARGET)
    try:
        with patient(environment) as (yard, tasks):
            for handle in (tasks.slow_and_fast.submit_sync("busy"), tasks.ask_for.submit_sync(600)):
                record = wait_for_state(yard.ledger, handle.task_id, State.RETRY)
                assert 599_000 < record.number("due") - record.number("started") < 660_000
                handle.cancel_sync()
            result = tasks.plain_ask.delay("own")
            record = wait_for_state(yard.ledger, result.id, State.RETRY)
            assert 599_000 < record.number("due") - record.number("started") < 660_000
            yard.ledger.cancel([result.id])
            assert tasks.slow_and_fast.submit_sync("value").result_sync(30) == 2
            assert_clean(yard.ledger)
    finally:
        worker.end()


@pytest.mark.parametrize("off", [-3600, 3600])
def test_a_program_whose_clock_is_wrong_delays_rightly(stage: Stage, monkeypatch: pytest.MonkeyPatch, off: int) -> None:
    import datetime as dt  # noqa: PLC0415 - for this one

    app = stage.yard.celery
    now = app.now
    monkeypatch.setattr(app, "now", lambda: now() + dt.timedelta(seconds=off))
    result = stage.plain.multiply.apply_async((2, 3), countdown=60, expires=90)
    record = stage.ledger.record(result.id)
    assert record.number("due") - record.number("created") == 60_000
    assert record.number("expires") - record.number("created") == 90_000
    by_signature = stage.plain.multiply.s(2, 3).set(countdown=60).delay()
    record = stage.ledger.record(by_signature.id)
    assert record.number("due") - record.number("created") == 60_000


# -- the server comes and goes ----------------------------------------------------------------------------------------


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Any]:
    """A server of the test's own, a worker, and the yard."""
    with EmbeddedServer(tmp_path / "own", appendfsync="always") as server:
        environment = make_environment(server.url, tmp_path)
        worker: Process = start_worker(environment, "--concurrency=1", "-Q", "default,timed", target=TARGET)
        try:
            with patient(environment) as (yard, tasks):
                yield server, worker, yard, tasks
        finally:
            worker.end()


def test_a_time_limit_does_not_reach_what_is_done(away: Any, tmp_path: Path) -> None:
    """The task has returned, and its outcome waits for the server, when the time is over."""
    server, worker, yard, tasks = away
    gate = tmp_path / "gate"
    handle = tasks.nearly_late.submit_sync(str(gate))
    ((pid,),) = wait_until(lambda: starts(gate), "it runs")
    server.kill()
    server.exited.result(10)
    gate.touch()
    worker.wait_for_line("The server is away, trying again until it answers")
    for _ in range(20):  # wherever it is on its way: a signal that meets a log handler is lost there
        os.kill(int(pid), signal.SIGUSR1)
        time.sleep(0.02)
    server.start()
    assert handle.result_sync(60) == "in time"
    assert starts(gate) == [[pid]]
    assert_clean(yard.ledger)
    gate.unlink()
    again = tasks.nearly_late.submit_sync(str(gate))
    wait_until(lambda: len(starts(gate)) > 1, "it runs")
    os.kill(int(pid), signal.SIGUSR1)
    failure = wait_final(yard.ledger, again.task_id).failure
    assert failure is not None
    assert failure.kind is FailureKind.TIMEOUT, "it does reach what runs"


def test_a_retry_asked_for_while_the_server_is_away_happens_once(away: Any, tmp_path: Path) -> None:
    server, worker, yard, tasks = away
    gate = tmp_path / "gate"
    handle = tasks.ask_after.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it runs")
    server.kill()
    server.exited.result(10)
    gate.touch()
    worker.wait_for_line("Connection refused")
    server.start()
    assert handle.result_sync(60) == 2
    assert starts(gate) == [["1"], ["2"]]
    states = [row for row in news_of(yard.ledger, handle.task_id) if row[0] in ("STARTED", "RETRY", "SUCCESS")]
    assert states == [("STARTED", 1), ("RETRY", 1), ("STARTED", 2), ("SUCCESS", 2)]
    assert counted(yard.ledger).get("stale", 0) == 0
    assert_clean(yard.ledger)

"""The server is killed and comes back while tasks run, wait, end and retry: nothing is lost, nothing ends twice."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kombu import Consumer, Queue

from backyard.core.states import State
from backyard.embedded.server import EmbeddedServer
from support.clean import assert_clean, news_of, wait_final, wait_until
from support.processes import make_environment, start_worker
from support.stage import TARGET, Stage, staged
from support.trials import starts


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of the test's own, which keeps what it acknowledges."""
    with EmbeddedServer(tmp_path / "own", appendfsync="always") as server:
        yield server


@pytest.fixture
def own(server: EmbeddedServer, tmp_path: Path) -> Iterator[Stage]:
    """A yard on that server."""
    with staged(make_environment(server.url, tmp_path)) as made:
        yield made


def restart(server: EmbeddedServer) -> None:
    """Kill the server as a power cut would, and start it again on the same data."""
    server.kill()
    server.exited.result(10)
    server.start()


def test_nothing_is_lost_and_nothing_ends_twice(server: EmbeddedServer, own: Stage, tmp_path: Path) -> None:
    worker = start_worker(own.environment, "--concurrency=2", target=TARGET)
    gate = tmp_path / "gate"
    try:
        reporting = own.typed.report.submit_sync(str(gate))
        wait_until(lambda: starts(gate), "it starts")
        handles = []
        for number in range(3):
            handles += [own.typed.add.submit_sync(number) for _ in range(20)]
            handles.append(own.typed.flaky.submit_sync(2))
            handles.append(own.typed.add.with_options(delay=0.5).submit_sync(number))
            restart(server)
        gate.touch()
        assert reporting.result_sync(60) > 0
        for handle in handles:
            assert wait_final(own.ledger, handle.task_id).state is State.SUCCESS
        for handle in (reporting, *handles):
            states = [state for state, _ in news_of(own.ledger, handle.task_id)]
            assert [state for state in states if state in ("SUCCESS", "FAILURE", "REVOKED")] == ["SUCCESS"]
        assert len(starts(gate)) == 1, "a task on a living worker is started once, whatever the server does"
        assert own.ledger.record(reporting.task_id).artifacts[0].name == "note.txt"
        assert_clean(own.ledger)
        assert worker.child.poll() is None, worker.output
        assert "Traceback" not in worker.output, "an outage is no error of anybody's here"
    finally:
        worker.end()


def test_a_worker_that_starts_before_its_server_waits_for_it(server: EmbeddedServer, own: Stage) -> None:
    handle = own.typed.add.submit_sync(1)
    server.kill()
    server.exited.result(10)
    worker = start_worker(own.environment, "--concurrency=1", target=TARGET, ready="Trying again")
    try:
        server.start()
        assert handle.result_sync(60) == 3
        assert_clean(own.ledger)
    finally:
        worker.end()


def test_an_outcome_waits_for_a_server_that_does_not_write(own: Stage, tmp_path: Path) -> None:
    client: Any = own.ledger.client
    worker = start_worker(own.environment, "--concurrency=1", target=TARGET)
    gate = tmp_path / "gate"
    try:
        result = own.plain.long.delay(str(gate))
        wait_until(lambda: starts(gate), "it starts")
        client.config_set("min-replicas-to-write", "1")
        gate.touch()
        worker.wait_for_line("NOREPLICAS")
        client.config_set("min-replicas-to-write", "0")
        assert result.get(timeout=60) == "long"
        assert len(starts(gate)) == 1
        assert_clean(own.ledger)
    finally:
        worker.end()


def test_a_reader_waits_for_a_server_that_hands_nothing_out(own: Stage) -> None:
    client: Any = own.ledger.client
    taken: list[str] = []
    with own.yard.celery.connection_for_read() as connection:
        channel = connection.default_channel
        with Consumer(channel, [Queue("default")], callbacks=[lambda _, one: taken.append(one.headers["id"])]):
            client.config_set("min-replicas-to-write", "1")
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=1)  # an error here would end a worker
            client.config_set("min-replicas-to-write", "0")
            handle = own.typed.add.submit_sync(1)
            channel._more = True
            while not taken:
                connection.drain_events(timeout=10)
    assert taken == [handle.task_id]


def test_letting_go_of_a_result_needs_no_server(server: EmbeddedServer, own: Stage) -> None:
    results = [own.plain.multiply.delay(1, 2) for _ in range(3)]
    server.kill()
    server.exited.result(10)
    while results:
        results.pop()
        gc.collect()  # Celery's own waits here for 20 s, and then raises where nobody can catch it
    server.start()
    assert own.plain.multiply.delay(1, 2).state == "PENDING"


def test_who_waits_goes_on_waiting_when_others_let_go(server: EmbeddedServer, own: Stage, tmp_path: Path) -> None:
    client: Any = own.ledger.client
    gate = tmp_path / "gate"
    before = client.pubsub_channels()
    waited, *others = [own.plain.long.delay(str(gate)), *(own.plain.multiply.delay(1, 2) for _ in range(3))]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(waited.get, timeout=60)
        wait_until(lambda: len(client.pubsub_channels()) == len(before) + 4, "all are subscribed to")
        server.kill()
        server.exited.result(10)
        while others:
            others.pop()
            gc.collect()
        server.start()
        worker = start_worker(own.environment, "--concurrency=1", target=TARGET)
        try:
            wait_until(lambda: starts(gate), "it starts")
            gate.touch()
            assert answer.result(60) == "long"
            own.plain.multiply.delay(1, 2).get(timeout=30)
            wait_until(lambda: client.pubsub_channels() == before, "all are let go of")
        finally:
            worker.end()
    assert not own.yard.celery.backend.result_consumer.subscribed_to

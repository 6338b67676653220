"""A running task and its server: news waits while the server is away, and the task does not fail for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backyard import Context
from backyard.core.errors import TaskCancelledError
from backyard.embedded.server import EmbeddedServer
from backyard.engine.attempt import start
from support.clean import wait_until
from support.processes import make_environment
from support.stage import Stage, staged


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


def begin(stage: Stage) -> Context:
    """Begin an attempt as a worker does, and return its context."""
    calls = stage.ledger.calls
    task_id = stage.typed.add.submit_sync(1).task_id
    entry = stage.ledger.record(task_id).text("entry") or ""
    assert stage.ledger.run(calls.start(task_id, entry, "token", "me")).attempt == 1
    return Context(task_id, "add", 1, stage.ledger, stage.yard.files)


def test_progress_and_log_wait_for_the_server(server: EmbeddedServer, own: Stage) -> None:
    context = begin(own)
    context.progress(1, 4)
    server.kill()
    server.exited.result(60)
    for number in range(2, 5):
        context._sent_at = 0.0  # the report is not held back, but tried at once
        context.progress(number, 4, f"step {number}")
        context.log("line", number=number)
        assert not context.cancelled
    server.start()
    context.close()
    record = own.ledger.record(context.task_id)
    assert record.progress is not None
    assert (record.progress.percent, record.progress.message) == (100.0, "step 4")
    lines = own.ledger.run(own.ledger.calls.log(context.task_id))
    assert [line["number"] for line in lines] == [2, 3, 4]


def test_an_artifact_is_noted_however_long_the_server_is_away(server: EmbeddedServer, own: Stage) -> None:
    context = begin(own)
    server.kill()
    server.exited.result(60)
    saving = threading.Thread(target=context.save, args=("a.txt", "text"))
    saving.start()
    wait_until(lambda: list((Path(own.environment["BACKYARD_DATA_DIR"])).rglob("a.txt")), "the file is there")
    server.start()
    saving.join(30)
    assert [one.name for one in own.ledger.record(context.task_id).artifacts] == ["a.txt"]


def test_an_attempt_waits_to_start(server: EmbeddedServer, own: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "backyard")
    handle = own.typed.add.submit_sync(1)
    task: Any = own.yard.celery.tasks["add"]
    entry = own.ledger.record(handle.task_id).text("entry")
    server.kill()
    server.exited.result(60)
    started: list[Any] = []

    def work() -> None:
        task.push_request(id=handle.task_id, hostname="me", entry=entry)
        started.append(start(task, (), {"a": 1}))

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: "waits to start" in caplog.text, "it found no server")
    server.start()
    thread.join(30)
    assert started[0].number == 1


def test_an_attempt_that_is_no_longer_the_one_is_told_to_stop(own: Stage) -> None:
    context = begin(own)
    calls = own.ledger.calls
    lane, _, entry = (own.ledger.record(context.task_id).text("entry") or "").partition("/")
    own.ledger.run(calls.give_back([("default", lane, entry)], "worker_lost"))
    with pytest.raises(TaskCancelledError):
        context.progress(1)
    assert context.stopping

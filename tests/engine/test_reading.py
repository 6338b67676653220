"""What a reader is handed, and what it answers when it is asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kombu import Connection, Consumer, Queue

from backyard.ledger.keys import GROUP
from support.clean import wait_until
from support.processes import Process
from support.stage import Stage


@pytest.fixture
def connection(stage: Stage) -> Iterator[Connection]:
    """A connection of kombu's to the stage's yard."""
    with stage.yard.celery.connection_for_read() as made:
        made.connect()
        yield made


def test_a_blocking_read_brings_no_more_than_there_is_room_for(stage: Stage, connection: Connection) -> None:
    taken: list[Any] = []
    channel = connection.default_channel
    channel.basic_qos(0, 1, False)  # noqa: FBT003 - kombu's signature
    assert stage.ledger.run(stage.ledger.calls.take("another", 1, 60, ["default"])) == []
    lanes = ("low", "normal", "high")
    with Consumer(channel, [Queue("default")], callbacks=[lambda _, message: taken.append(message)]):
        # Here they come, between the look that found nothing and the read that waits.
        ids = [stage.typed.add.with_options(priority=lane).submit_sync(1).task_id for lane in lanes]
        channel._more = False
        wait_until(lambda: _drained(connection) and taken, "it is woken")
        assert [message.headers["id"] for message in taken] == [ids[2]], "the most urgent, and no other"
        client: Any = stage.ledger.client
        keys = [stage.ledger.keys.queue("default", lane) for lane in ("again", *lanes)]
        held = [client.xpending(key, GROUP)["pending"] for key in keys]
        assert held == [0, 0, 0, 1]
        acknowledged = 0
        while len(taken) < len(lanes):
            if len(taken) > acknowledged:
                taken[-1].ack()
                acknowledged = len(taken)
            _drained(connection)
        assert {message.headers["id"] for message in taken} == set(ids)
        taken[-1].ack()


def _drained(connection: Connection) -> bool:
    """Read once; nothing being there is an answer as well."""
    try:
        connection.drain_events(timeout=2)
    except TimeoutError:
        return True
    return True


def test_a_queue_may_be_called_like_a_mailbox(stage: Stage, workers: Callable[..., Process]) -> None:
    result = stage.plain.multiply.apply_async((2, 3), queue="letters.pidbox")
    depth = stage.ledger.calls.depth(["letters.pidbox"])
    assert stage.ledger.run(depth) == {"letters.pidbox": 1}
    worker = workers("--concurrency=1", "--queues=letters.pidbox")
    assert result.get(timeout=30) == 6
    # Celery's own mailboxes go on to work beside it.
    (answer,) = stage.yard.celery.control.ping(timeout=10, limit=1)
    assert list(answer.values()) == [{"ok": "pong"}]
    client: Any = stage.ledger.client
    assert [key for key in client.scan_iter("*reply*pidbox*") if client.type(key) == b"stream"] == []
    assert worker.child.poll() is None


def test_a_worker_tells_what_waits_for_its_time(stage: Stage, workers: Callable[..., Process]) -> None:
    workers("--concurrency=1")
    at = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    later = stage.plain.multiply.apply_async((2,), {"y": 3}, eta=at)
    typed = stage.typed.add.with_options(delay=3_600).submit_sync(1)
    elsewhere = stage.plain.multiply.apply_async((2, 3), queue="elsewhere", countdown=3_600)
    inspect = stage.yard.celery.control.inspect(timeout=2, limit=1)
    (rows,) = wait_until(inspect.scheduled, "the worker answers").values()
    found = {row["request"]["id"]: row for row in rows}
    assert set(found) == {later.id, typed.task_id}, f"and not {elsewhere.id}, which others run"
    row = found[later.id]
    assert (row["eta"], row["request"]["args"], row["request"]["kwargs"]) == (at.isoformat(), [2], {"y": 3})
    assert found[typed.task_id]["request"]["name"] == "add"
    for one in (later.id, typed.task_id, elsewhere.id):
        assert stage.yard.handle(one).cancel_sync()

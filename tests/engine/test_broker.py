"""The transport by itself, spoken to as kombu's users do, with no Celery worker."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import threading
import warnings
from collections.abc import Iterator
from queue import Empty
from typing import Any

import pytest
from kombu import Connection, Consumer, Producer, Queue

from backyard.core.states import State
from backyard.engine.pulse import pulses
from backyard.ledger.calls import Calls
from backyard.ledger.submission import Submission
from support.clean import PATIENCE, assert_clean, counted, wait_final, wait_until
from support.stage import Stage


@pytest.fixture
def connection(stage: Stage) -> Iterator[Connection]:
    """A connection of kombu's to the stage's yard."""
    with stage.yard.celery.connection_for_read() as made:
        made.connect()
        yield made


def submit(stage: Stage, count: int, lane: str = "normal") -> list[str]:
    """Submit tasks whose messages are the test's own."""
    return [stage.typed.add.with_options(priority=lane).submit_sync(n).task_id for n in range(count)]


def drain(connection: Connection) -> None:
    """Read once; nothing being there is an answer as well."""
    with contextlib.suppress(TimeoutError):
        connection.drain_events(timeout=2)


def drain_until(connection: Connection, taken: list[str]) -> str:
    """Read until a task is there, and return its id."""

    def look() -> list[str]:
        drain(connection)
        return taken

    wait_until(look, "it arrives")
    return taken.pop()


def test_a_channel_that_was_closed_while_it_is_used_is_an_error_to_try_again_after(connection: Connection) -> None:
    channel = connection.channel()
    channel.close()
    assert channel.connection is None
    with pytest.raises(connection.recoverable_connection_errors):
        channel.send(channel.calls.depth(["default"]))


def test_messages_that_are_no_tasks_travel_too(stage: Stage, connection: Connection) -> None:
    queue = connection.SimpleQueue("plain")
    queue.put({"any": "thing"})
    queue.put(b"\x00\xff", serializer=None, content_type="application/data", content_encoding="binary")
    assert queue.qsize() == 2
    first = queue.get(timeout=PATIENCE)
    assert first.payload == {"any": "thing"}
    first.ack()
    second = queue.get(timeout=PATIENCE)
    assert second.body == b"\x00\xff"
    second.requeue()
    again = queue.get(timeout=PATIENCE)
    assert (again.body, again.delivery_info["redelivered"]) == (b"\x00\xff", True)
    again.ack()
    with pytest.raises(Empty):
        queue.get(block=False)
    queue.close()
    connection.close()
    assert_clean(stage.ledger, leases=0)


def test_a_message_that_says_nothing_of_its_priority_has_the_normal_one(stage: Stage, connection: Connection) -> None:
    client: Any = stage.ledger.client
    producer = Producer(connection.default_channel)
    for priority in (None, 0, 9):
        producer.publish({"a": 1}, routing_key="plain", priority=priority)
    lanes = {lane: client.xlen(stage.ledger.keys.queue("plain", lane)) for lane in ("high", "normal", "low")}
    assert lanes == {"high": 1, "normal": 1, "low": 1}


def test_basic_get_and_ack(stage: Stage, connection: Connection) -> None:
    (task_id,) = submit(stage, 1)
    channel = connection.default_channel
    message = channel.basic_get("default")
    assert message.headers["id"] == task_id
    assert channel.basic_get("default") is None
    assert stage.ledger.run(stage.ledger.calls.depth(["default"])) == {"default": 0}
    channel.close()  # never started: it is given back at once
    assert stage.ledger.run(stage.ledger.calls.depth(["default"])) == {"default": 1}
    assert stage.ledger.record(task_id).state is State.PENDING
    assert stage.ledger.client.zcard(stage.ledger.keys.leases) == 0


def test_an_entry_that_was_given_back_starts_nothing(stage: Stage, connection: Connection) -> None:
    """Celery may have handed the message to a child already when its channel closes."""
    (task_id,) = submit(stage, 1)
    channel = connection.default_channel
    old = channel.basic_get("default").headers["entry"]
    channel.close()
    calls = stage.ledger.calls
    refused = stage.ledger.run(calls.start(task_id, old, "first", "me"))
    assert (refused.attempt, refused.reason) == (None, "doubled")
    new = stage.ledger.record(task_id).text("entry") or ""
    assert stage.ledger.run(calls.start(task_id, new, "second", "me")).attempt == 1
    assert stage.ledger.run(calls.start(task_id, new, "second", "me")).attempt == 1, "the same start, sent again"
    assert stage.ledger.run(calls.start(task_id, new, "third", "me")).attempt is None


def test_a_worker_that_lost_an_entry_settles_nothing(stage: Stage) -> None:
    """A hard time limit, say, is reported by the worker's main process, which knows no attempt but its entry."""
    ledger, calls = stage.ledger, stage.ledger.calls
    (task_id,) = submit(stage, 1)
    old = ledger.record(task_id).text("entry") or ""
    lane, _, entry = old.partition("/")

    def report(state: State, held: str) -> str:
        return ledger.run(calls.settle(task_id, state, attempt=None, lifetime=60, data="null", fields={}, entry=held))

    assert ledger.run(calls.start(task_id, old, "first", "me")).attempt == 1
    ledger.run(calls.give_back([("default", lane, entry)], "worker_lost"))
    assert report(State.FAILURE, old) == "stale"
    new = ledger.record(task_id).text("entry") or ""
    assert ledger.run(calls.start(task_id, new, "second", "me")).attempt == 2
    assert report(State.FAILURE, old) == "stale"
    assert report(State.FAILURE, new) == "moved"
    assert report(State.FAILURE, new) == "repeated"
    assert report(State.REVOKED, old) == "refused"
    assert ledger.record(task_id).state is State.FAILURE


def test_prefetch_bounds_what_is_taken(stage: Stage, connection: Connection) -> None:
    submit(stage, 10)
    channel = connection.default_channel
    channel.basic_qos(0, 3, False)  # noqa: FBT003 - kombu's signature
    taken: list[Any] = []
    with Consumer(channel, [Queue("default")], callbacks=[lambda _, message: taken.append(message)], accept=["json"]):
        drain(connection)
        assert len(taken) == 3
        assert not channel.qos.can_consume()
        taken[0].ack()
        drain(connection)
        assert len(taken) == 4
    assert stage.ledger.run(stage.ledger.calls.depth(["default"])) == {"default": 6}


def test_a_waiting_reader_is_woken_and_survives_a_flush(stage: Stage, connection: Connection) -> None:
    client: Any = stage.ledger.client
    taken: list[str] = []

    def take(_: Any, message: Any) -> None:
        taken.append(message.headers["id"])
        message.ack()

    with Consumer(connection.default_channel, [Queue("default")], callbacks=[take], accept=["json"]):
        for lane in ("normal", "high", "low"):
            drain(connection)  # nothing there: the next read waits
            (task_id,) = submit(stage, 1, lane)
            assert drain_until(connection, taken) == task_id
            client.delete(*client.keys(f"{stage.ledger.keys.prefix}*"))


def test_a_reader_whose_connection_breaks_gives_back_what_was_on_the_way(stage: Stage, connection: Connection) -> None:
    channel = connection.default_channel
    consumer = Consumer(channel, [Queue("default")], callbacks=[lambda *_: None], accept=["json"])
    consumer.consume()
    drain(connection)
    transport = connection.transport
    usual, channel.brpop_timeout = channel.brpop_timeout, PATIENCE  # until the task comes, however late
    transport.cycle.on_poll_start()  # a read is under way, and its answer will be lost
    channel.brpop_timeout = usual
    (task_id,) = submit(stage, 1)
    held = stage.ledger.keys.queue("default", "normal")
    client: Any = stage.ledger.client
    wait_until(lambda: client.xpending(held, "workers")["pending"], "the server has handed it out")
    answer = channel.client.connection._sock
    assert task_id.encode() in answer.recv(65_536)
    answer.shutdown(socket.SHUT_RDWR)
    with pytest.raises(connection.connection_errors):
        channel._brpop_read()
    assert stage.ledger.run(stage.ledger.calls.depth(["default"])) == {"default": 1}
    assert stage.ledger.record(task_id).state is State.PENDING
    taken: list[str] = []
    consumer.register_callback(lambda _, message: taken.append(message.headers["id"]))
    assert drain_until(connection, taken) == task_id, "on the same channel, under a new lease"
    assert stage.ledger.client.zcard(stage.ledger.keys.leases) == 1


def test_purge_leaves_what_is_handed_out(stage: Stage, connection: Connection) -> None:
    ids = submit(stage, 5)
    channel = connection.default_channel
    message = channel.basic_get("default")
    assert channel.queue_purge("default") == 4
    assert channel.queue_purge("default") == 0
    assert stage.ledger.record(message.headers["id"]).state is State.PENDING
    assert sorted(stage.ledger.record(one).state for one in ids) == ["PENDING", *["REVOKED"] * 4]
    message.reject()
    failure = wait_final(stage.ledger, message.headers["id"]).failure
    assert failure is not None
    assert failure.type == "Rejected"
    assert counted(stage.ledger)["set_aside"] == 1


def test_declare_and_delete_queues(stage: Stage, connection: Connection) -> None:
    channel = connection.default_channel
    queue = Queue("mine", channel=channel)
    with pytest.raises(connection.channel_errors):
        queue.queue_declare(passive=True)
    queue.declare()
    assert queue.queue_declare(passive=True).message_count == 0
    Producer(channel).publish({"a": 1}, routing_key="mine")
    assert queue.queue_declare(passive=True).message_count == 1
    queue.delete()
    assert "mine" not in stage.ledger.run(stage.ledger.calls.queues())


def test_an_error_in_taking_an_entry_does_not_keep_it(stage: Stage, connection: Connection) -> None:
    (task_id,) = submit(stage, 1)

    def stumble(_: Any, __: Any) -> None:
        raise KeyError("kombu takes this for a broken connection")

    channel = connection.default_channel
    channel.basic_qos(0, 1, False)  # noqa: FBT003 - kombu's signature
    with Consumer(channel, [Queue("default")], callbacks=[stumble], accept=["json"]):
        drain(connection)
        assert wait_final(stage.ledger, task_id).state is State.FAILURE
        assert channel.qos.can_consume(), "it counts against the prefetch no more"


def test_readers_that_need_no_acknowledgement(stage: Stage, connection: Connection) -> None:
    Producer(connection.default_channel).publish({"a": 1}, routing_key="news")
    seen: list[Any] = []
    consumer = Consumer(
        connection.default_channel, [Queue("news")], no_ack=True, callbacks=[lambda b, _: seen.append(b)]
    )
    with consumer:
        drain(connection)
    assert seen == [{"a": 1}]
    connection.close()
    assert_clean(stage.ledger, leases=0)


def test_a_renewal_that_was_under_way_takes_no_lease_anew_for_a_channel_that_was_closed(
    stage: Stage, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = connection.default_channel
    channel.basic_consume("default", False, lambda _: None, "tag")  # noqa: FBT003 - kombu's signature
    pulse, renew = channel.pulse, Calls.renew
    under_way, go_on = threading.Event(), threading.Event()

    def slowly(calls: Calls, *args: Any) -> Any:
        """Compose a renewal; the first one has its consumers, and is not sent before it is told to."""
        if not under_way.is_set():
            under_way.set()
            assert go_on.wait(PATIENCE)
        return renew(calls, *args)

    monkeypatch.setattr(Calls, "renew", slowly)
    assert under_way.wait(PATIENCE), "the process renews by itself"
    closing = threading.Thread(target=channel.close)
    closing.start()
    closing.join(0.3)  # the fault: it is over by then, and the renewal comes after it
    go_on.set()
    closing.join()
    wait_until(lambda: not pulse.consumers, "it is retired")
    last = pulse.renewed
    wait_until(lambda: pulse.renewed > last, "the renewal has been sent")
    assert_clean(stage.ledger, leases=0)


def test_a_fork_that_reads_a_queue_speaks_for_itself_alone(stage: Stage, connection: Connection) -> None:
    """As a task may that reads a queue of its own; its process was forked while the worker renewed, say."""
    channel = connection.default_channel
    channel.basic_consume("default", False, lambda _: None, "tag")  # noqa: FBT003 - kombu's signature
    spoken_for: Any = multiprocessing.SimpleQueue()

    def read() -> None:
        with stage.yard.celery.connection_for_read() as own:
            own.default_channel.basic_consume("default", False, lambda _: None, "tag")  # noqa: FBT003 - kombu's signature
            spoken_for.put((own.default_channel.consumer, own.default_channel.pulse.consumers, len(pulses())))

    with channel.pulse._renewing, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of any fork beside threads
        child = multiprocessing.get_context("fork").Process(target=read)
        child.start()
    child.join(PATIENCE)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0
    consumer, consumers, known = spoken_for.get()
    assert (consumers, known) == ([consumer], 1)
    channel.close()
    assert_clean(stage.ledger, leases=0)


def test_a_submission_by_the_running_attempt_alone_makes_a_retry(stage: Stage) -> None:
    ledger = stage.ledger
    (task_id,) = submit(stage, 1)
    entry = ledger.record(task_id).text("entry") or ""
    assert ledger.run(ledger.calls.start(task_id, entry, "token", "me")).attempt == 1
    again = Submission(task_id, "add", "other", "low", b"{}", 60, again=True)
    assert ledger.submit([again])[0].outcome == "exists", "a stranger puts nothing back"
    stale = Submission(task_id, "add", "other", "low", b"{}", 60, again=True, attempt=7)
    assert ledger.submit([stale])[0].outcome == "exists", "neither does an attempt that is not the running one"
    mine = Submission(task_id, "add", "other", "low", b"{}", 60, due="+60000", again=True, attempt=1)
    assert ledger.submit([mine])[0].outcome == "retried"
    record = ledger.record(task_id)
    assert (record.state, record.text("queue"), record.text("lane")) == (State.RETRY, "other", "low")

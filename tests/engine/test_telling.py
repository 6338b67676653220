"""Celery's events: all of them where somebody listens, and none where nobody does."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, Self

import redis

from support.clean import wait_final, wait_until
from support.stage import Stage

#: What no script has in its text.
END = b"f9c2e5d1: enough was heard"
STEPS = ["task-received", "task-started", "task-succeeded"]


class Listener:
    """A program like Flower, which hears all events of a yard."""

    def __init__(self, stage: Stage) -> None:
        self.events: list[dict[str, Any]] = []
        self.heard = threading.Event()
        self._app = stage.yard.celery
        self._receiver: Any = None
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def _listen(self) -> None:
        with self._app.connection_for_read() as connection:
            self._receiver = self._app.events.Receiver(connection, handlers={"*": self.events.append})
            with contextlib.suppress(StopIteration):
                self._receiver.capture(limit=None, wakeup=False)

    def types(self, task_id: str) -> list[str]:
        return [event["type"] for event in list(self.events) if event.get("uuid") == task_id]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._receiver.should_stop = True
        self._thread.join(30)


@contextlib.contextmanager
def published(stage: Stage) -> Iterator[list[tuple[str, bytes]]]:
    """Collect the words that go out as Celery's events, each with its channel."""
    found: list[tuple[str, bytes]] = []
    client: Any = redis.Redis.from_url(stage.ledger.url)
    line = client.connection_pool.make_connection()
    line.send_command("MONITOR")
    assert line.read_response() == b"OK"

    def look() -> None:
        while END not in (said := line.read_response()):
            words = said.split(b'"', 4)
            if words[1].upper() == b"PUBLISH" and stage.yard.name.encode() in words[3] and b"celeryev" in words[3]:
                found.append((words[3].decode(), words[4]))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield found
    client.execute_command("ECHO", END)
    thread.join(30)
    line.disconnect()
    client.close()


def test_a_listener_is_told_of_each_step_of_each_task(served: Stage) -> None:
    with Listener(served) as listener:
        wait_until(lambda: [one for one in list(listener.events) if one["type"] == "worker-heartbeat"], "a heartbeat")
        known: list[str] = []
        every = {"task-sent", *STEPS}

        def heard() -> bool:
            known.append(served.plain.multiply.delay(2, 3).id)
            # Both have to know that somebody listens: this program, and the worker.
            return any(every <= set(listener.types(task_id)) for task_id in known)

        wait_until(heard, "the first event of a task")
        handles = [served.plain.multiply.delay(1, n) for n in range(300)]
        ids = [handle.id for handle in handles]
        wait_until(lambda: all(every <= set(listener.types(task_id)) for task_id in ids), "all their events")
        for task_id in ids:
            assert Counter(listener.types(task_id)) == Counter(["task-sent", *STEPS])
        ended = [event for event in listener.events if event["type"] == "task-succeeded"]
        assert all(event["runtime"] >= 0 and event["hostname"] for event in ended)
        received = {event["uuid"]: event for event in listener.events if event["type"] == "task-received"}
        assert {event["name"] for event in received.values()} == {"multiply"}
        assert [received[task_id]["args"] for task_id in ids] == [f"(1, {number})" for number in range(300)]


def test_nothing_is_said_of_tasks_where_nobody_listens(served: Stage) -> None:
    def said(channel: str) -> list[bytes]:
        return [word for name, word in words if name.endswith(channel)]

    def asked() -> bool:
        wait_final(served.ledger, served.plain.multiply.delay(2, 3).id)
        return bool(said("task.multi"))

    with published(served) as words:
        wait_until(asked, "a word that finds out that nobody is there any more")
        words.clear()
        for _ in range(3):
            ids = [served.plain.multiply.delay(2, 3).id for _ in range(50)]
            for task_id in ids:
                wait_final(served.ledger, task_id)
        wait_until(asked, "a word that finds out whether anybody has come")
        wait_until(lambda: said("worker.heartbeat"), "a heartbeat")
    assert len(said("task.sent")) < 75
    assert not [word for word in said("task.multi") if b"task-" in word]

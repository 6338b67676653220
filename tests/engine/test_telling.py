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
def published(stage: Stage) -> Iterator[list[list[str]]]:
    """Collect what is published on the channels of Celery's events."""
    found: list[list[str]] = []
    client: Any = redis.Redis.from_url(stage.ledger.url)
    end = "the end"

    def look() -> None:
        with client.monitor() as monitor:
            ready.set()
            for one in monitor.listen():
                words = one["command"].split(" ", 2)
                if end in one["command"]:
                    return
                if words[0].upper() == "PUBLISH" and "celeryev" in words[1] and stage.yard.name in words[1]:
                    found.append(words)

    ready = threading.Event()
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    ready.wait(30)
    yield found
    client.execute_command("ECHO", end)
    thread.join(30)
    client.close()


def is_about_tasks(words: list[str]) -> bool:
    return "celeryev/task." in words[1]


def test_a_listener_is_told_of_each_step_of_each_task(served: Stage) -> None:
    with Listener(served) as listener:
        wait_until(lambda: [one for one in list(listener.events) if one["type"] == "worker-heartbeat"], "a heartbeat")
        known: list[str] = []

        def heard() -> bool:
            known.append(served.plain.multiply.delay(2, 3).id)
            return any(listener.types(task_id) for task_id in known)

        wait_until(heard, "the first event of a task")
        handles = [served.plain.multiply.delay(1, n) for n in range(300)]
        ids = [handle.id for handle in handles]
        wait_until(lambda: all(set(STEPS) <= set(listener.types(task_id)) for task_id in ids), "all their events")
        for task_id in ids:
            assert Counter(listener.types(task_id)) == Counter(["task-sent", *STEPS])
        ended = [event for event in listener.events if event["type"] == "task-succeeded"]
        assert all(event["runtime"] >= 0 and event["hostname"] for event in ended)
        names = {event["name"] for event in listener.events if event["type"] == "task-received"}
        assert names == {"multiply"}


def test_nothing_is_said_of_tasks_where_nobody_listens(served: Stage) -> None:
    with published(served) as words:
        for _ in range(3):
            ids = [served.plain.multiply.delay(2, 3).id for _ in range(50)]
            for task_id in ids:
                wait_final(served.ledger, task_id)
        wait_until(lambda: any("worker.heartbeat" in one[1] for one in words), "a heartbeat")
    said = [one for one in words if is_about_tasks(one)]
    sent = [one for one in said if one[1].strip('"').endswith("task.sent")]
    # One word a second and process, that finds out whether anybody has come.
    assert len(sent) < 10
    assert len(said) - len(sent) < 10

"""Celery's events, for Flower and its like: sent many at once, and those of tasks only while somebody listens.

Events go over the server's channels, which say with each word how many have heard it. While nobody does, one word a
second at most finds out whether anybody has come.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery import bootsteps, states
from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher
from celery.utils.time import utcoffset

from backyard.engine.message import message_in

logger = logging.getLogger("backyard.telling")

#: Seconds between two words that find out whether anybody listens, while nobody does.
LOOK = 1.0
#: Events of tasks that are sent together, and seconds that they wait for others.
TOGETHER = 1_000
WAITS = 0.25
#: Tasks that have run in batches, told of in a second. Flower takes no more for long: the server cuts off a listener
#: that falls behind, and one that keeps up would take a core from the workers.
A_SECOND = 1_000
#: Tasks that wait to be told of; of more, the oldest are left out.
MOST = 20_000
_MANY = "task.multi"
#: A batch of none: whoever hears it makes nothing of it.
_NONE: list[Any] = []
#: A task that has run: its id, name, state, and the seconds it took.
Told = tuple[str, str, str, float]
_ENDS = {
    states.SUCCESS: "task-succeeded",
    states.FAILURE: "task-failed",
    states.RETRY: "task-retried",
    states.REVOKED: "task-revoked",
}


class Dispatcher(EventDispatcher):
    """Sends events of workers always, and events of tasks to those who listen."""

    def __init__(self, *args: Any, **options: Any) -> None:
        # Celery would send what its buffer has with each turn of the worker's loop, one or two at a time.
        super().__init__(*args, **{**options, "buffer_limit": TOGETHER, "on_send_buffered": None})
        self._heard = False
        self._look_at = 0.0
        self._waiting: deque[tuple[Told, float, bytes | None]] = deque()
        self._left_out = 0

    def send(self, type: str, *args: Any, **fields: Any) -> Any:  # noqa: A002 - Celery's signature
        """Send an event, or buffer it; not one of a task that nobody would hear."""
        if type.startswith("task-") and not self.wants_tasks():
            return None
        return super().send(type, *args, **fields)

    def publish(self, type: str, fields: Any, producer: Any, *args: Any, **options: Any) -> Any:  # noqa: A002 - Celery's
        """Send an event with a given producer; not one of a task that nobody would hear."""
        if type.startswith("task-") and not self._heard and not self._may_look():
            return None
        return super().publish(type, fields, producer, *args, **options)

    def wants_tasks(self) -> bool:
        """Whether events of tasks are to be sent: the worker was told to, and somebody listens."""
        if not self.enabled or (self.groups and "task" not in self.groups):
            return False
        if not self._heard and self._may_look():
            with self.mutex:
                self._publish(_NONE, self.producer, _MANY)
                if self._outbound_buffer and self._outbound_buffer[-1][0] is _NONE:
                    self._outbound_buffer.pop()  # it could not be sent
        return self._heard

    def extend(self, events: Sequence[dict[str, Any]]) -> None:
        """Buffer events of tasks: they have their types, their tasks and their times, and get the rest here.

        Args:
            events: The events, oldest first.
        """
        own = {"hostname": self.hostname, "pid": self.pid, "utcoffset": utcoffset()}
        buffer = self._group_buffer["task"]
        for event in events:
            buffer.append({**own, "clock": self.clock.forward(), **event})
        if len(buffer) >= self.buffer_limit or "task" not in self.buffer_group:
            self.flush()

    def put(self, told: Told, at: float, text: bytes | None) -> None:
        """Tell of a task that has run, when it is its turn.

        Args:
            told: Its id, name, state, and the seconds it took.
            at: When it had run, in seconds since 1970.
            text: Its message; None where it was told that it began.
        """
        if len(self._waiting) >= MOST:
            self._waiting.popleft()
            if not self._left_out:
                logger.warning("More tasks run than can be told to Flower: some are left out, there alone")
            self._left_out += 1
        self._waiting.append((told, at, text))

    def tell_some(self, most: int) -> None:
        """Tell of tasks that have waited for it.

        Args:
            most: How many at most.
        """
        events: list[dict[str, Any]] = []
        for _ in range(min(most, len(self._waiting))):
            (task_id, name, state, seconds), at, text = self._waiting.popleft()
            events += () if text is None else _begin(task_id, name, at - seconds, text)
            events.append({"type": _ENDS[state], "uuid": task_id, "timestamp": at, "runtime": seconds})
        if events and self.wants_tasks():
            self.extend(events)
        if not self._waiting and self._left_out:
            logger.warning("%d tasks were left out of what Flower was told", self._left_out)
            self._left_out = 0

    def _may_look(self) -> bool:
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + LOOK
        return True

    def _publish(self, event: Any, producer: Any, routing_key: str, **options: Any) -> Any:
        answer = super()._publish(event, producer, routing_key, **options)
        if producer is not None and routing_key.startswith("task."):
            with contextlib.suppress(Exception):  # the server is away, which was dealt with above
                self._heard = getattr(producer.channel, "heard", 1) > 0
        return answer


class YardEvents(Events):
    """Celery's events, with our dispatcher."""

    dispatcher_cls = Dispatcher


class Telling(bootsteps.StartStopStep):
    """Sends the events that have waited for others."""

    requires = ("celery.worker.consumer.events:Events",)

    def stop(self, parent: Any) -> None:
        """Tell the rest, while the connection is there."""
        if parent.event_dispatcher:
            for _ in range(-(-MOST // TOGETHER)):
                parent.event_dispatcher.tell_some(TOGETHER)

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Begin; Celery ends it with the connection, and calls again for the next one."""

        def flush() -> None:
            if consumer.event_dispatcher:
                consumer.event_dispatcher.tell_some(int(A_SECOND * WAITS))
                consumer.event_dispatcher.flush()

        hub.call_repeatedly(WAITS, flush)


def tell_begun(dispatcher: Any, begun: Sequence[tuple[str, str, bytes]]) -> None:
    """Tell those who listen of tasks that begin, and may take long.

    Args:
        dispatcher: The worker's dispatcher; None where it has none.
        begun: Of each its id, name and message.
    """
    if dispatcher is not None and dispatcher.wants_tasks():
        now = time.time()
        dispatcher.extend([event for task_id, name, text in begun for event in _begin(task_id, name, now, text)])


def tell(
    dispatcher: Any,
    ended: Sequence[Told],
    messages: Callable[[], Mapping[str, bytes]] | None = None,
) -> None:
    """Tell those who listen of tasks that have run, all that Celery's worker would have told one by one.

    Args:
        dispatcher: The worker's dispatcher; None where it has none.
        ended: Of each its id, name, state, and the seconds it took.
        messages: Returns the message of each, by id; None where it was told that they began.
    """
    if dispatcher is None or not dispatcher.wants_tasks():
        return
    now, texts = time.time(), messages() if messages is not None else {}
    for told in ended:
        if told[2] in _ENDS:
            dispatcher.put(told, now, texts.get(told[0]))


def _begin(task_id: str, name: str, at: float, text: bytes) -> tuple[dict[str, Any], ...]:
    headers = message_in(text)["headers"]
    shown = {
        "args": headers.get("argsrepr"), "kwargs": headers.get("kwargsrepr"), "retries": headers.get("retries") or 0,
        "root_id": headers.get("root_id"), "parent_id": headers.get("parent_id"),
    }  # fmt: skip
    return (
        {"type": "task-received", "uuid": task_id, "name": name, "timestamp": at, **shown},
        {"type": "task-started", "uuid": task_id, "timestamp": at},
    )

"""What a worker of ours does otherwise than Celery's: with messages it cannot run, and with tasks that do not start."""

from __future__ import annotations

import logging
from typing import Any

from celery import bootsteps, signals
from celery.exceptions import Ignore
from celery.worker.request import Request as CeleryRequest

logger = logging.getLogger("backyard.worker")

#: Seconds between two looks for dead children. Celery looks when a child's pipe closes, which is often too early to see
#: it dead, and then only every five seconds.
ROLL_CALL = 0.5


class Request(CeleryRequest):
    """A delivered task, seen from the worker's main process."""

    def on_failure(self, exc_info: Any, *args: Any, **options: Any) -> None:
        """Settle a task that ended without a result; one that never started is news for Flower as well."""
        super().on_failure(exc_info, *args, **options)
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, Ignore) and error.args in (("cancelled",), ("expired",)):
            self.send_event("task-revoked", terminated=False, signum=None, expired=error.args == ("expired",))


class SetAside(bootsteps.Step):
    """Keeps what the worker cannot run where people can look at it, and ends its task; Celery would drop it."""

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        consumer.on_unknown_task = self.on_unknown_task
        consumer.on_decode_error = self.on_decode_error
        self.consumer = consumer

    def on_unknown_task(self, body: Any, message: Any, error: Exception) -> None:  # noqa: ARG002 - Celery's signature
        """End a task that no definition of this worker has the name of."""
        name, task_id = message.headers["task"], message.headers["id"]
        logger.error("Set aside task %s: nothing is registered as %r", task_id, name)
        reason = (
            f"This worker knows no task named '{name}'. Register it, or let only workers that do read its queue; "
            "then submit it again."
        )
        message.channel.qos.set_aside(message.delivery_tag, reason, "NotRegistered")
        if self.consumer.event_dispatcher:
            self.consumer.event_dispatcher.send("task-failed", uuid=task_id, exception=f"NotRegistered({name!r})")
        signals.task_unknown.send(sender=self.consumer, message=message, exc=error, name=name, id=task_id)

    def on_decode_error(self, message: Any, error: Exception) -> None:
        """End a task whose body cannot be read."""
        logger.error("Set aside a message that cannot be read: %s", error)
        message.channel.qos.set_aside(message.delivery_tag, f"Its body cannot be read: {error}", "MalformedMessage")


class RollCall(bootsteps.StartStopStep):
    """Finds dead children of the pool soon, so that what they ran is given back."""

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Begin to look; Celery ends it with the connection, and calls again for the next one."""
        look = getattr(consumer.pool, "maintain_pool", None)
        if look is not None:
            hub.call_repeatedly(ROLL_CALL, look)

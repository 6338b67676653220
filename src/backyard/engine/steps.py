"""What a worker of ours does otherwise than Celery's: with messages it cannot run, and with tasks that do not start."""

from __future__ import annotations

import logging
import time
from typing import Any

import redis
from celery import bootsteps, signals
from celery.exceptions import Ignore, TimeLimitExceeded
from celery.worker.request import Request as CeleryRequest
from celery.worker.state import task_ready

from backyard.core.secrets import masked
from backyard.engine.deaths import death_of
from backyard.engine.hard_limit import tried_again
from backyard.engine.pace import pace

logger = logging.getLogger("backyard.worker")

#: Seconds between two looks for dead children. Celery looks when a child's pipe closes, which is often too early to see
#: it dead, and then only every five seconds.
ROLL_CALL = 0.5


class Request(CeleryRequest):
    """A delivered task, seen from the worker's main process."""

    #: Whether the task was sent anew after its hard time limit.
    sent_anew = False

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - Celery's signature
        """Describe the request for inspection, which Flower shows, without its secrets."""
        told = super().info(safe)
        return {**told, "args": masked(told["args"]), "kwargs": masked(told["kwargs"])}

    def on_failure(self, exc_info: Any, *args: Any, **options: Any) -> None:
        """Settle a task that ended without a result; one that never started is news for Flower as well."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, TimeLimitExceeded) and tried_again(self, error):
            self.sent_anew = True
            task_ready(self)
            self.acknowledge()
            self.send_event("task-retried", exception=repr(error), traceback=None)
            return
        death = death_of(error, self.worker_pid, self.id, self.hostname)
        if death is not None:
            self.message.channel.deaths[self.message.delivery_tag] = death
        super().on_failure(exc_info, *args, **options)
        if isinstance(error, Ignore) and error.args in (("cancelled",), ("expired",)):
            self.send_event("task-revoked", terminated=False, signum=None, expired=error.args == ("expired",))

    def _success_was_stored(self) -> Any:
        """Look whether the child died after its success; a chord's part goes back then, for it may not be joined."""
        stored = super()._success_was_stored()
        if stored and self._context.chord:
            self.reject(requeue=True)
        return stored

    def acknowledge(self) -> None:
        """Drop the entry, and note how long the task took."""
        if self.time_start is not None:
            pace.note(self.type, [time.time() - self.time_start])
        super().acknowledge()

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001 - Celery's signature
        """Leave a hard limit alone after which the task was sent anew: the pool tells of its failure first."""
        if soft or not self.sent_anew:
            super().on_timeout(soft, timeout)


class SetAside(bootsteps.Step):
    """Keeps what the worker cannot run where people can look at it, and ends its task; Celery would drop it."""

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        consumer.on_unknown_task = self.on_unknown_task
        consumer.on_decode_error = self.on_decode_error
        self.consumer = consumer

    def on_unknown_task(self, body: Any, message: Any, error: Exception) -> None:  # noqa: ARG002 - Celery's signature
        """Leave a task whose name this worker does not know to others; end it where no other knows it either."""
        name, task_id = message.headers["task"], message.headers["id"]
        try:
            outcome = message.channel.qos.put_off(message.delivery_tag, name, str(self.consumer.hostname))
        except redis.RedisError as error_of_server:
            logger.warning("Task %s (%s) goes back to its queue: %s", task_id, name, error_of_server)
            message.channel.qos.reject(message.delivery_tag, requeue=True)
            return
        if outcome == "put_off":
            logger.warning("Put off task %s for other workers: nothing is registered here as %r", task_id, name)
            return
        logger.error("Set aside task %s: nothing is registered as %r", task_id, name)
        others = "no other worker that reads its queue does" if outcome != "often" else "those that do never took it"
        reason = (
            f"This worker knows no task named '{name}', and {others}. Register it, or let only workers that know it "
            "read its queue; then submit it again."
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

"""The queues that workers of a yard read."""

from __future__ import annotations

from celery import Celery
from kombu import Exchange, Queue

DEFAULT_QUEUE = "default"


def make_queue(name: str) -> Queue:
    """Return a queue that is bound to the yard's one exchange by its own name."""
    return Queue(name, Exchange(DEFAULT_QUEUE, type="direct"), routing_key=name)


def add_queue(app: Celery, name: str) -> None:
    """Make workers read a queue as well.

    Args:
        app: The yard's Celery app.
        name: The queue's name.
    """
    known = app.conf.task_queues
    if all(queue.name != name for queue in known):
        known.append(make_queue(name))
        queues = app.amqp.queues
        # Celery notes what workers read when it first looks; a worker that was told its queues keeps to those.
        told = queues._consume_from is not None  # noqa: SLF001 - there is no other word for it
        (queues.add if told else queues.select_add)(make_queue(name))


def queue_names(app: Celery) -> list[str]:
    """Return the names of the queues that workers read."""
    return [queue.name for queue in app.conf.task_queues]

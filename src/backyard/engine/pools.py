"""Which pools can keep a time limit, and the refusal of a worker whose pool cannot."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from backyard.core.errors import PoolError

#: The pool that can end a task from outside: a process can be killed, a thread or a greenlet cannot.
KEEPS_TIME = "prefork"


def require_time_limits(app: Any, pool: str, queues: Collection[str], *, given: float | None = None) -> None:
    """Refuse a worker whose pool cannot keep the time limits of what it would run.

    Args:
        app: The yard's Celery app.
        pool: Celery's name of the pool.
        queues: The queues it is to read; definitions whose queue is another one do not matter.
        given: A limit for all tasks from the command line.

    Raises:
        PoolError: There is a limit that it cannot keep.
    """
    if pool == KEEPS_TIME:
        return
    if given or app.conf.task_time_limit or app.conf.task_soft_time_limit:
        raise PoolError(_sentence("The setting task_time_limit or task_soft_time_limit", pool))
    for name, task in sorted(app.tasks.items()):
        limit = task.soft_time_limit or task.time_limit
        definition = getattr(task, "yard_definition", None)
        queue = definition.policy.queue if definition else getattr(task, "queue", None) or app.conf.task_default_queue
        if limit and queue in queues:
            raise PoolError(_sentence(f"'{name}' has a time limit of {limit:g} s, which", pool))


def _sentence(what: str, pool: str) -> str:
    if what.startswith("The setting"):
        what += " is set, and time limits are what"
    return (
        f"{what} the pool '{pool}' cannot keep, for only a process can be ended from outside: "
        f"start this worker with --pool={KEEPS_TIME}, or let it read only queues (-Q, --queues) without such tasks."
    )

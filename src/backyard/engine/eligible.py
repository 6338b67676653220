"""Which way queue entries go: plain tasks that nothing but their function has a say in need not go Celery's own.

There a worker's main process sees to time limits, limits of number and the canvas.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic_core import from_json

from backyard.engine.delivery import Row
from backyard.engine.message import brief_in
from backyard.ledger.task_calls import CRASHES, LOSSES

#: What a message's body ends with that has no part in a canvas.
_ALONE = ', {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
_NONE = ("eta", "expires", "group", "shadow", "stamped_headers", "compression")
#: What Celery's worker puts in the place of a class of our own is not known here.
_REQUEST = "backyard.engine.steps:Request"
#: Bytes of a message that many of are held at once.
LARGEST = 65_536


class Way(Enum):
    """How a task may run otherwise than Celery's way.

    Attributes:
        BATCH: One after the other, in a process of the pool.
        HOST: Beside many others, on the event loop of one process.
    """

    BATCH = "batch"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Found:
    """What an entry holds: the task's name, its id, and which way it may go."""

    name: str
    task_id: str
    way: Way


def _plain(message: Any) -> tuple[Any, Any, Any] | None:
    """Return name, id and time limits of a message that Celery composed, if nothing is special about it."""
    headers, properties = message["headers"], message["properties"]
    plain = (
        isinstance(headers.get("retries"), int)
        and all(headers.get(header) is None for header in _NONE)
        and message["content-type"] == "application/json"
        and properties["body_encoding"] == "utf-8"
        and isinstance(properties.get("delivery_info"), dict)
        and message["body"].endswith(_ALONE)
    )
    return (headers["task"], headers["id"], headers.get("timelimit")) if plain else None


class Eligible:
    """Looks at queue entries for one worker.

    Args:
        app: The yard's Celery app.
        hosts: Whether the worker can run many coroutines in one process.
    """

    def __init__(self, app: Any, *, hosts: bool = False) -> None:
        self.app = app
        self._hosts = hosts
        self._known: dict[str, Way | None] = {}

    def task_in(self, row: Row) -> Found | None:
        """Return what an entry holds; None where it goes Celery's way.

        Args:
            row: The entry, as it was taken.
        """
        *_, text, again = row
        if again:
            return None  # what has met a death, or may have, runs where that is seen best
        try:
            said = brief_in(text)
            found = _plain(from_json(text)) if said is None else (said["task"], said["id"], said["timelimit"])
            if found is None:
                return None
            name, task_id, limits = found
            plain = limits in ([None, None], None) and isinstance(task_id, str)
            way = self._way_of(name) if plain else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        if way is None or (way is Way.HOST and len(text) > LARGEST):
            return None
        return Found(name, task_id, way)

    def _way_of(self, name: str) -> Way | None:
        if name not in self._known:
            task = self.app.tasks.get(name)
            way = Way.HOST if _is_async(task) else Way.BATCH
            fit = task is not None and self._is_plain(task) and (self._hosts or way is not Way.HOST)
            self._known[name] = way if fit else None
        return self._known[name]

    def _is_plain(self, task: Any) -> bool:
        """Whether the tasks of a definition have no limit, and may be begun some milliseconds before they run."""
        if getattr(task, "Request", None) != _REQUEST or task.yard_once or task.rate_limit:
            return False
        deaths = task.yard_deaths
        if deaths.losses < LOSSES or deaths.crashes < CRASHES:
            return False  # a neighbour's death is not to be the last straw
        if task.time_limit or task.soft_time_limit or self.app.services.max_running is not None:
            return False
        definition = task.yard_definition
        if definition is None:
            return True
        policy = definition.policy
        limits = (policy.concurrency, policy.concurrency_key, policy.rate, policy.timeout)
        return all(limit is None for limit in limits)


def _is_async(task: Any) -> bool:
    definition = getattr(task, "yard_definition", None)
    return definition is not None and definition.shape.is_async

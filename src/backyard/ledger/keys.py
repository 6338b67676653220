"""Every key of a yard, with its type and its life.

All keys of a yard share one hash tag, so that on a cluster they live on one node and one script may touch them.
Scripts get the prefix as their only key and append the same words as here (see ``scripts/prelude.lua``).

==================================  ======  ==================================================================
key                                 type    what it holds, and how long
==================================  ======  ==================================================================
``{yard}:task:<id>``                hash    the record; without end while the task lives, then ``result_expires``
``{yard}:log:<id>``                 list    the task's own log lines, newest last, capped; lives like the record
``{yard}:queue:<queue>:<lane>``     stream  queue entries (``t`` task id, ``m`` message, ``r`` delivered before), with
                                            the consumer group ``workers``; an entry goes when it is acknowledged
``{yard}:queues``                   set     names of queues that have held an entry or a consumer
``{yard}:dead``                     stream  entries that no worker could read, with the reason; kept until looked at
``{yard}:due``                      zset    task ids by the millisecond they are due; gone when promoted
``{yard}:tasks``                    zset    task ids by the millisecond of submission; swept after their records
``{yard}:events``                   stream  the news of all tasks, capped at about ``events_kept``
``{yard}:once:<key>``               string  an Idempotency-Key: ``<task id> <fingerprint>``; ``idempotency_expires``
``{yard}:leases``                   zset    consumer names by the millisecond their lease runs out
``{yard}:pulse``                    hash    ``last`` renewal by anybody, and ``grace``: no reaping before
``{yard}:counts``                   hash    what was refused, repeated, lost: numbers that tests and people read
``{yard}:binding:<exchange>`` etc.  set     kombu's table of bindings
``{yard}:group:<id>`` and suffixes  mixed   Celery's own groups and chords; ``result_expires``
==================================  ======  ==================================================================

News is also published on the channel named like the record's key, for those who wait for one task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GROUP: Final = "workers"

#: The lanes of a queue, in the order they are read. ``again`` holds what was given back: it has waited already.
LANES: Final = ("again", "high", "normal", "low")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one yard.

    Args:
        yard: The yard's name.
    """

    yard: str

    @property
    def prefix(self) -> str:
        """What every key of the yard begins with."""
        return f"{{{self.yard}}}:"

    def task(self, task_id: str) -> str:
        """Record of a task, and the channel of its news."""
        return f"{self.prefix}task:{task_id}"

    def log(self, task_id: str) -> str:
        """Log lines of a task."""
        return f"{self.prefix}log:{task_id}"

    def queue(self, queue: str, lane: str) -> str:
        """One lane of a queue."""
        return f"{self.prefix}queue:{queue}:{lane}"

    @property
    def events(self) -> str:
        """The stream of news."""
        return f"{self.prefix}events"

    @property
    def counts(self) -> str:
        """The counters."""
        return f"{self.prefix}counts"

    @property
    def queues(self) -> str:
        """The names of the queues."""
        return f"{self.prefix}queues"

    @property
    def leases(self) -> str:
        """The workers' leases."""
        return f"{self.prefix}leases"


def split_queue_key(key: str) -> tuple[str, str]:
    """Return queue and lane of a lane's key."""
    queue, _, lane = key.partition(":queue:")[2].rpartition(":")
    return queue, lane


def lane_of(priority: int | None) -> str:
    """Return the lane of a Celery priority. As on kombu's Redis transport, 0 is the most urgent.

    Args:
        priority: 0 to 9; None is a message without one.
    """
    if priority is None or priority < PRIORITY["normal"]:
        return "high"
    return "normal" if priority < PRIORITY["low"] else "low"


#: The Celery priority that stands for each of ours.
PRIORITY: Final = {"high": 0, "normal": 3, "low": 6}

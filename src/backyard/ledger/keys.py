"""Every key of a yard, with its type and its life.

All keys of a yard share one hash tag, so that on a cluster they live on one node and one script may touch them.
Scripts get the prefix as their only key and append the same words as here (see ``scripts/parts/basics.lua``).

==================================  ======  ==================================================================
key                                 type    what it holds, and how long
==================================  ======  ==================================================================
``{yard}:task:<id>``                hash    the record; without end while the task lives, then ``result_expires``; in it
                                            ``lost`` and ``crashed``, deaths of its worker and of its process in a row,
                                            and ``evidence`` of the last ten (JSON); ``cancel``, ``cancel_seen``:
                                            milliseconds, ``cancel_by``: how that ended; ``under``, the task that
                                            submitted it; ``has_log``, ``has_children``: that there is such a key
``{yard}:log:<id>``                 list    the task's own log lines, newest last, capped; lives like the record
``{yard}:children:<id>``            set     ids of what was submitted from inside the task; lives like the record
``{yard}:cancelling``               list    what is left to be cancelled: ``<cursor> <id>``, the children of a task from
                                            there on, and ``self <id>``, a task; gone when it is done
``{yard}:untold``                   list    ids of tasks that ended where no worker spoke for them, and whose chord,
                                            chain or errbacks have to hear of it (``untold`` in the record is the
                                            message); gone when they were told
``{yard}:queue:<queue>:<lane>``     stream  queue entries (``t`` task id, ``m`` message, ``r`` delivered before), with
                                            the consumer group ``workers``; an entry goes when it is acknowledged
``{yard}:queues``                   set     names of queues that have held an entry or a consumer
``{yard}:dead``                     stream  dead letters: entries that no worker could read or run, with ``queue``,
                                            ``lane`` and ``reason``; kept until they are put back or deleted
``{yard}:due``                      zset    task ids by the millisecond they are due; gone when promoted
``{yard}:slots:<limit>``            zset    ids of the tasks that hold a slot of a limit, by when they got it
                                            (milliseconds); of a rate, who was woken for a token; gone with the last one
``{yard}:parked:<limit>``           zset    ids of the tasks that wait for a limit, by lane and time of submission
``{yard}:parked_of:<queue>``        set     ids of the parked tasks of a queue
``{yard}:limits``                   hash    limits that tasks are parked at, and how many each lets run
``{yard}:gates``                    hash    rates (``<ms between two> <burst>``) and pauses that tasks are parked at
``{yard}:rates``                    hash    theoretical arrival time of each rate, in milliseconds
``{yard}:unique:<name>:<digest>``   string  id of the task that is in the way of others like it, for as long as it is
``{yard}:paused``                   hash    ``queue:<name>`` and ``definition:<name>``, with since when and why (JSON)
``{yard}:expiry``                   zset    ids of tasks that may expire, by the millisecond from which they start no
                                            more; gone when they are over, or run at that time
``{yard}:tasks``                    zset    task ids by the millisecond of submission; swept after their records
``{yard}:events``                   stream  the news of all tasks, with what the record held of it; capped at about
                                            ``events_kept``, and where a keeper records it, trimmed by the keeper alone
``{yard}:recorder``                 hash    how far the history is: ``position``, the last event it holds, ``keeper``,
                                            ``at``, and ``most``, events that may wait for it
``{yard}:lead:<duty>``              string  the keeper that leads a duty; some seconds
``{yard}:once:<key>``               string  an Idempotency-Key: ``<task id> <fingerprint>``; ``idempotency_expires``
``{yard}:leases``                   zset    consumer names by the millisecond their lease runs out
``{yard}:pulse``                    hash    ``last`` renewal by anybody, its ``lease``, and ``grace``: no reaping before
                                            ``turn_of`` and ``turn_until``, who goes on with much that is due
``{yard}:workers``                  zset    worker names by the millisecond of their last beat; three leases
``{yard}:worker:<name>``            hash    what a worker says of itself, and ``drain``, what it is told; expires three
                                            leases after its last beat
``{yard}:check``                    hash    where the self-check that all workers share goes on (``place``), and when it
                                            did last (``turn``)
``{yard}:schedules``                zset    ids of schedules by the millisecond of the next look, ``+inf`` for none;
                                            until they are deleted
``{yard}:schedule:<id>``            hash    a schedule: ``spec``, what it is to do, ``state``, what is known of it, both
                                            JSON, ``last_task``, and ``version``, which each change raises
``{yard}:link_key``                 string  random bytes that public links are signed with; until somebody deletes it,
                                            which makes all links void that were given away
``{yard}:counts``                   hash    what was refused, repeated, lost: numbers that tests and people read
``{yard}:binding:<exchange>`` etc.  set     kombu's table of bindings
``{yard}:meta:<id>``                string  result of a plain Celery app's task that has no record; ``result_expires``
``{yard}:group:<id>`` and suffixes  mixed   Celery's own groups and chords; ``result_expires``
==================================  ======  ==================================================================

All news but that of a task's acceptance, for which nobody can wait, is also published: on the channel named like the
record's key, for those who wait for one task, and on the channel ``celery-task-meta-<id>``, for those who wait in a
plain Celery app.
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

    def children(self, task_id: str) -> str:
        """Ids of the tasks that a task has submitted."""
        return f"{self.prefix}children:{task_id}"

    def queue(self, queue: str, lane: str) -> str:
        """One lane of a queue."""
        return f"{self.prefix}queue:{queue}:{lane}"

    @property
    def events(self) -> str:
        """The stream of news."""
        return f"{self.prefix}events"

    @property
    def recorder(self) -> str:
        """How far the history is."""
        return f"{self.prefix}recorder"

    @property
    def link_key(self) -> str:
        """What public links are signed with."""
        return f"{self.prefix}link_key"

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

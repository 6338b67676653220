"""What a worker's main process does with short tasks: it takes many at once, and gives each process a batch of them.

How many are taken follows the tasks' own length, so that a worker never holds what another could run meanwhile.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from celery import bootsteps, signals
from celery.concurrency.prefork import TaskPool
from celery.worker import state as worker_state

from backyard.engine import flight
from backyard.engine.batch import run_batch
from backyard.engine.deaths import death_of
from backyard.engine.delivery import Row
from backyard.engine.eligible import Eligible, Found, Way
from backyard.engine.hosting import Hosting
from backyard.engine.pace import BATCH, MOST, STRETCH, begun_together, pace
from backyard.engine.telling import Told, tell
from backyard.ledger.call import Call
from backyard.ledger.calls import Calls

logger = logging.getLogger("backyard.batch")

#: Entries that a process of the pool is to get at first.
FEW = 1


@dataclass(eq=False, slots=True)
class Lot:
    """A batch under way.

    Args:
        rows: Its queue entries.
        found: What they hold.
        pid: The process that runs it, once that is known.
    """

    rows: Sequence[Row]
    found: Sequence[Found]
    pid: int | None = None

    def running(self) -> int:
        """Return the place of the task that runs now; the first one's where that is not known."""
        task_id = None if self.pid is None else flight.last_task(self.pid)
        return next((place for place, one in enumerate(self.found) if one.task_id == task_id), 0)

    def messages(self) -> dict[str, bytes]:
        """Return the message of each task, by id."""
        return {one.task_id: row[3] for one, row in zip(self.found, self.rows, strict=True)}

    @property
    def places(self) -> list[tuple[str, str, str]]:
        """Queue, lane and entry id of each."""
        return [row[:3] for row in self.rows]


@dataclass(frozen=True, slots=True)
class Running:
    """A task that goes not Celery's way: its id and name, its queue entry (``<lane>/<entry id>``) and its process."""

    task_id: str
    name: str
    entry: str
    pid: int | None


class Batches:
    """The batches of one worker.

    Args:
        consumer: Celery's consumer.
    """

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer
        self.lots: set[Lot] = set()
        #: The process for ``async def`` tasks, in a worker that can have one.
        self.hosting = Hosting(consumer, consumer.app.yard_settings.async_concurrency) if can_host(consumer) else None
        self._eligible = Eligible(consumer.app, hosts=self.hosting is not None)
        #: Entries that each free process may get, as far as the last reads have shown.
        self._each = FEW

    def room(self, room: int) -> int:
        """Return how many processes have nothing to do, as far as anything is to be taken for them.

        Args:
            room: Those that have nothing to do of what went Celery's way.
        """
        if self.hosting is not None and self.hosting.is_full():
            return 0
        return max(room - len(self.lots), 0)

    def wanted(self, room: int) -> int:
        """Return how many entries are to be taken.

        Args:
            room: Processes that have nothing to do.
        """
        return room * self._each

    def place(self, rows: Sequence[Row], room: int) -> tuple[list[Row], list[Row]]:
        """Give what is short to the free processes, and coroutines to theirs.

        Args:
            rows: What was taken.
            room: Processes that have nothing to do.

        Returns:
            What goes Celery's way, one for each of the other processes; and what nobody here has room for.
        """
        alone: list[Row] = []
        short: list[tuple[Row, Found]] = []
        hosted: list[tuple[Row, Found]] = []
        places = 0 if self.hosting is None else max(self.hosting.room, 0)
        load, usual = 0.0, 0.0
        fitting = len(rows)
        for number, row in enumerate(rows):
            found = self._eligible.task_in(row)
            if found is not None and found.way is Way.HOST:
                if len(hosted) == places:
                    fitting = number
                    break
                hosted.append((row, found))
                continue
            expected = None if found is None else pace.expected(found.name)
            more = 0.0 if expected is None else expected
            taken = len(alone) + (1 if expected is None else 0)
            if taken + -(-(load + more) // (BATCH * STRETCH)) > room:
                fitting = number
                break
            if found is None or expected is None:
                alone.append(row)
            else:
                short.append((row, found))
                load, usual = load + expected, max(usual, pace.usual(found.name))
        most = int(BATCH * len(short) / load) if load else MOST
        self._learn(asked=self.wanted(room), came=len(rows), fitting=fitting, room=room, most=most)
        if self.hosting is not None:
            self.hosting.send(hosted)
            self.hosting.refused = fitting < len(rows) and len(hosted) == places
        free = min(room - len(alone), len(short))
        for number in range(free):
            part = short[number::free]
            self._send(Lot([row for row, _ in part], [found for _, found in part]), begun_together(usual))
        return alone, list(rows[fitting:])

    def _learn(self, *, asked: int, came: int, fitting: int, room: int, most: int) -> None:
        """Take more the next time where all that came has found its place, and less where it has not.

        Never more than a batch of such tasks would have (``most``): what does not fit has to go back.
        """
        if fitting < came:
            self._each = max(FEW, fitting // max(room, 1))
        elif came >= asked:
            self._each = self._each * 2
        self._each = max(FEW, min(self._each, most, MOST))

    def _send(self, lot: Lot, at_once: int) -> None:
        self.lots.add(lot)
        pool, hostname = self.consumer.pool, self.consumer.hostname
        give = partial(
            pool.apply_async,
            run_batch,
            (lot.rows, hostname, at_once),
            accept_callback=partial(_accepted, lot),
            callback=partial(self._done, lot),
            error_callback=partial(self._failed, lot),
        )
        self.consumer.controller.semaphore.acquire(give)
        self._write()

    def _write(self) -> None:
        """Write into the pipes of free processes at once.

        Celery's loop would do so in its next turn, after it has asked the server for more entries.
        """
        pool = self.consumer.pool._pool  # noqa: SLF001 - Celery has no public word for a pool's pipes
        free = pool._all_inqueues - pool._active_writes - pool._busy_workers  # noqa: SLF001
        if pool.outbound_buffer and free:
            self.consumer.hub.consolidate_callback(list(free))

    # -- what comes back ------------------------------------------------------------------------------------------

    def _done(self, lot: Lot, told: Sequence[Told]) -> None:
        """Take in what a batch tells of its tasks."""
        self.lots.discard(lot)
        took = defaultdict[str, list[float]](list)
        for _, name, _, seconds in told:
            took[name].append(seconds)
            worker_state.total_count[name] += 1
        worker_state.all_total_count[0] += len(told)
        for name, all_seconds in took.items():
            pace.note(name, all_seconds)
        tell(self.consumer.event_dispatcher, told, lot.messages)

    def _failed(self, lot: Lot, exc_info: Any) -> None:
        """Give back what a batch has left: its process died, or the batch itself could not be run."""
        self.lots.discard(lot)
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        culprit = lot.running()
        death = death_of(error, lot.pid, lot.found[culprit].task_id, self.consumer.hostname)
        places = lot.places
        if death is not None:
            reason, evidence = death
            self._settle(self._calls.give_back([places.pop(culprit)], reason, evidence))
        else:
            logger.error("A batch could not be run, and its tasks run alone: %s", error)
        if places:
            # What was given back untouched may go in a batch again, and one of these may be to blame.
            self._settle(self._calls.give_back(places, "released" if death else "rejected"))

    def _settle(self, call: Call[Any]) -> None:
        self.consumer.task_consumer.channel.pulse.settle(call)

    @property
    def _calls(self) -> Calls:
        calls: Calls = self.consumer.app.services.ledger.calls
        return calls

    # -- what others ask ------------------------------------------------------------------------------------------

    def running(self) -> list[Running]:
        """Return the tasks that run in batches, one of each."""
        found = []
        for lot in self.lots.copy():
            place = lot.running()
            _, lane, entry = lot.places[place]
            found.append(Running(lot.found[place].task_id, lot.found[place].name, f"{lane}/{entry}", lot.pid))
        return found

    def forget_unsent(self) -> None:
        """Forget what no process has taken on: with its connection, Celery drops what waits for the pool."""
        self.lots = {lot for lot in self.lots if lot.pid is not None}


def _accepted(lot: Lot, pid: int, _: float) -> None:
    lot.pid = pid


class Batching(bootsteps.StartStopStep):
    """Lets a worker with processes run short tasks in batches."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        global _here  # noqa: PLW0603 - one a process is the point
        consumer.batches = _here = Batches(consumer) if is_fit(consumer) else None

    def start(self, parent: Any) -> None:
        """Read the queues in this way from now on; called for each new connection."""
        if parent.batches is not None:
            parent.batches.forget_unsent()
            parent.task_consumer.channel.batches = parent.batches

    def shutdown(self, parent: Any) -> None:
        """Wait for the coroutines that still run; called at the end, when the pool has finished."""
        if parent.batches is not None and parent.batches.hosting is not None:
            parent.batches.hosting.join()


def is_fit(consumer: Any) -> bool:
    """Whether a worker's pool can run batches: processes, an event loop, and nobody who counts or limits each task."""
    worker = consumer.controller
    counted = worker.max_tasks_per_child or worker.time_limit or worker.soft_time_limit
    return (
        isinstance(consumer.pool, TaskPool)
        and getattr(worker, "semaphore", None) is not None
        and not counted
        and not signals.task_received.receivers
    )


def can_host(consumer: Any) -> bool:
    """Whether a worker that can run batches can have a process for coroutines: one that is made like its pool's."""
    return bool(consumer.controller.pool_start_method == "fork")


_here: Batches | None = None


def host_pid() -> int | None:
    """Return the process in which this worker runs coroutines, if there is one; from any thread."""
    hosting = None if _here is None else _here.hosting
    return None if hosting is None else hosting.pid()


def hosted() -> list[Running]:
    """Return the tasks that this worker's process for coroutines has, begun or about to; from any thread."""
    hosting = None if _here is None else _here.hosting
    if hosting is None:
        return []
    pid = hosting.pid()
    return [Running(found.task_id, found.name, f"{lane}/{entry}", pid) for (_, lane, entry), found in hosting.held()]


def running_in_batches() -> list[Running]:
    """Return the tasks that run in batches of this worker, one of each; from any thread."""
    while True:
        try:
            return [] if _here is None else _here.running()
        except RuntimeError:  # the main thread put one in meanwhile
            continue

"""The host: one process of a worker that runs many ``async def`` tasks at once, all on one event loop.

Each task has a thread, which waits while its coroutine is on the loop: what Celery and the attempt keep for each thread
is right there. What begins goes to the ledger together, and so does what ends while an answer is on its way.
"""

from __future__ import annotations

import _thread
import logging
import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import redis
from celery import states
from celery.concurrency.prefork import process_destructor, process_initializer
from pydantic_core import from_json, to_json

from backyard.engine import soft_limit
from backyard.engine.batch import Item, let_go, note_refused, read_item, starts_of
from backyard.engine.current import Turn, set_turn
from backyard.engine.lean import quiet_tracer
from backyard.ledger.ahead import insist
from backyard.ledger.call import Call
from backyard.ledger.ledger import Ledger
from backyard.ledger.task_calls import Moved, Started
from backyard.ledger.together import together

logger = logging.getLogger("backyard.host")

#: Tasks that are begun, or said to be over, with one call.
TOGETHER = 100
#: Connections that tasks share, to the ledger and to the result backend.
CONNECTIONS = 16
#: Messages cross the line as text, whatever bytes they are.
BYTES = "latin-1"
#: Bytes read at once.
PIECE = 1 << 18
LENGTH = struct.Struct(">I")
#: What the main process is told of a task: queue, lane and entry id, its state, and the seconds that it took.
Over = tuple[str, str, str, str, float]
#: The exit code of a host that cannot go on; what it ran goes back.
LOST = 70


def run_host(app: Any, hostname: str, line: socket.socket) -> None:
    """Be the host of a worker: the main function of its process.

    Args:
        app: The yard's Celery app.
        hostname: The worker's name.
        line: Brings queue entries from the worker's main process, and its end means to finish. Takes what is over.
    """
    process_initializer(app, hostname)
    share_connections(app)
    host = Host(app, hostname, line)
    set_turn(host)
    with soft_limit.absent():
        host.run()
    process_destructor(os.getpid(), 0)


def share_connections(app: Any) -> None:
    """Let all threads share a few connections: a thousand would be more files than a process may have open.

    Args:
        app: The yard's Celery app.
    """
    app.services.ledger.share(CONNECTIONS)
    # Celery makes a backend for each thread, with connections of its own, unless one says that it may be shared.
    backend = app._get_backend()  # noqa: SLF001 - its setting for that was read before this process was made
    backend._ConnectionPool = redis.BlockingConnectionPool  # noqa: SLF001 - its own way is by a URL's option
    backend.connparams["max_connections"] = CONNECTIONS
    app._backend_cache = backend  # noqa: SLF001 - as above


def packed(value: Any) -> bytes:
    """Return a value as it goes over a line between two processes."""
    text = to_json(value)
    return LENGTH.pack(len(text)) + text


def unpacked(receive: Callable[[], bytes]) -> Iterator[Any]:
    """Return what comes over a line, value by value, until its end.

    Args:
        receive: Returns the next bytes that come; none at the end.
    """
    data = bytearray()
    while more := receive():
        data += more
        while len(data) >= LENGTH.size and len(data) >= (end := LENGTH.size + LENGTH.unpack_from(data)[0]):
            yield from_json(data[LENGTH.size : end])
            del data[:end]


@dataclass(slots=True)
class Run:
    """A task that runs here.

    Args:
        item: The task.
        trace: How Celery runs it.
        said: What the ledger is to hear of its end.
        state: What Celery says of it, when it is over.
        seconds: How long it took.
    """

    item: Item
    trace: Any
    said: list[Call[Any]] = field(default_factory=list)
    state: str = states.IGNORED
    seconds: float = 0.0

    @property
    def told(self) -> Over:
        """What the main process is to know of its end."""
        return (*self.item.place, self.state, self.seconds)


class Threads:
    """Threads that run one task each at a time, as many as there are tasks.

    :class:`threading.Thread` waits until each has begun, and a thousand of them begin slowly.

    Args:
        perform: Runs a task.
    """

    def __init__(self, perform: Callable[[Run], None]) -> None:
        self._perform = perform
        self._given: queue.SimpleQueue[Run] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._idle = 0
        self._busy = 0

    def give(self, run: Run) -> None:
        """Run a task in a thread that has nothing to do, or in a new one."""
        with self._changed:
            self._busy += 1
            new = self._idle == 0
            if not new:
                self._idle -= 1
        self._given.put(run)
        if new:
            try:
                _thread.start_new_thread(self._run, ())
            except RuntimeError as error:  # it runs when another is over
                logger.warning("Task %s waits for a thread: %s", run.item.task_id, error)

    def finish(self) -> None:
        """Wait until all is over."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)

    def _run(self) -> None:
        while True:
            run = self._given.get()
            try:
                self._perform(run)
            finally:
                with self._changed:
                    self._idle += 1
                    self._busy -= 1
                    if not self._busy:
                        self._changed.notify_all()


class Host(Turn):
    """Runs tasks at the same time.

    Args:
        app: The yard's Celery app.
        hostname: The worker's name.
        line: Brings what is to run, and takes what is over, once the ledger knows.
    """

    def __init__(self, app: Any, hostname: str, line: socket.socket) -> None:
        self.app = app
        self.hostname = hostname
        self.ledger: Ledger = app.services.ledger
        self._line = line
        self._threads = Threads(self._perform)
        self._here: ContextVar[Run | None] = ContextVar("backyard_run", default=None)
        self._over: list[Run] = []
        self._sends = False
        self._lock = threading.Lock()
        self._telling = threading.Lock()

    def run(self) -> None:
        """Run all that comes; at the end of the line, finish it."""
        for rows in unpacked(lambda: self._line.recv(PIECE)):
            items = [item for row in rows if (item := self._read(row)) is not None]
            for first in range(0, len(items), TOGETHER):
                self._begin(items[first : first + TOGETHER], quiet=len(rows) > 1)
        self._threads.finish()

    # -- as the attempt and the backend see it --------------------------------------------------------------------

    def started(self, task_id: str) -> Started | None:
        """Return the ledger's answer to the start of the task that runs in this thread or coroutine."""
        run = self._here.get()
        return run.item.started if run is not None and run.item.task_id == task_id else None

    def settle(self, task_id: str, call: Call[Moved]) -> bool:
        """Keep the outcome of the task that runs here until its thread is done with it."""
        run = self._here.get()
        if run is None or run.item.task_id != task_id:
            return False
        run.said = [call, self.ledger.calls.acknowledge([run.item.place])]
        return True

    # -- begin ----------------------------------------------------------------------------------------------------

    def _read(self, row: Sequence[str]) -> Item | None:
        queue, lane, entry, text = row
        try:
            return read_item(self.app, (queue, lane, entry, text.encode(BYTES), False), self.hostname)
        except Exception:
            logger.exception("Entry %s of queue %s goes back, to be looked at alone", entry, queue)
            self._give_back((queue, lane, entry))
            return None

    def _begin(self, items: Sequence[Item], *, quiet: bool) -> None:
        """Begin tasks, however long the server is away."""
        calls = self.ledger.calls
        answers = insist(self.ledger, together(starts_of(calls, items)))
        for item, started in zip(items, answers, strict=True):
            item.started = started
            trace = quiet_tracer(self.app, item.task, self.hostname) if quiet else item.task.__trace__
            self._threads.give(Run(item, trace))

    def _perform(self, run: Run) -> None:
        """Run one task as Celery runs it."""
        self._here.set(run)
        item, request = run.item, run.item.request
        begun = time.monotonic()
        try:
            _, information, *_ = run.trace(item.task_id, request["args"], request["kwargs"], request)
            run.state = states.SUCCESS if information is None else information.state
            if not run.said:
                said = let_go(self.ledger, item, run.state, information and information.retval)
                run.said += said  # beside an outcome that came by meanwhile
        except BaseException:
            logger.exception("Task %s could not be run, and goes back", item.task_id)
            self._give_back(item.place)
        else:
            run.seconds = time.monotonic() - begun
            self._end(run)
        finally:
            self._here.set(None)

    def _give_back(self, place: tuple[str, str, str]) -> None:
        insist(self.ledger, self.ledger.calls.give_back([place], "rejected"))
        self._tell([(*place, states.REJECTED, 0.0)])

    def _tell(self, over: Sequence[Over]) -> None:
        """Tell the main process of what is here no more."""
        with self._telling:
            self._line.sendall(packed(over))

    # -- end ------------------------------------------------------------------------------------------------------

    def _end(self, run: Run) -> None:
        """Say that a task is over; what another thread is about to send, it sends as well."""
        with self._lock:
            self._over.append(run)
            if self._sends:
                return
            self._sends = True
        try:
            while some := self._next():
                calls = [call for run in some for call in run.said]
                if calls:
                    note_refused(insist(self.ledger, together(calls)))
                # Only now: the main process gives back what it was not told of, should this one die.
                self._tell([run.told for run in some])
        except BaseException:
            logger.exception("The host cannot say what is over, and ends: what it runs goes back")
            os._exit(LOST)

    def _next(self) -> list[Run]:
        with self._lock:
            some, self._over = self._over[:TOGETHER], self._over[TOGETHER:]
            self._sends = bool(some)
            return some

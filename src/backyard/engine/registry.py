"""The worker's place in the ledger: who it is, that it lives, what it is told."""

from __future__ import annotations

import atexit
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from celery.worker import state as celery_state

from backyard.core.errors import LedgerUnavailableError
from backyard.core.worker import WorkerState
from backyard.engine.batches import host_pid, hosted, running_in_batches
from backyard.engine.usage import Usage
from backyard.ledger.call import Word
from backyard.ledger.ledger import Ledger

logger = logging.getLogger("backyard.registry")

#: Longest time between two beats: what a worker is told, it hears within two.
BEAT = 1.0
#: Ids of running tasks that a worker tells of.
RUNNING_SHOWN = 100
#: Seconds that the end waits for a beat under way.
RESTING = 0.5


class Presence:
    """Says that a worker lives, from a thread of its own: a solo pool's task holds the main one.

    Args:
        worker: Celery's worker.
        ledger: A ledger of its own, so that no task can hold it up.
        lease: Seconds after which a silent worker counts as dead.
        on_drain: Called with ``stay`` when the worker is told to drain, once.
    """

    def __init__(self, worker: Any, ledger: Ledger, lease: float, on_drain: Callable[..., None]) -> None:
        self.worker = worker
        self.ledger = ledger
        self.lease = lease
        self.name = str(worker.hostname)
        self.instance = uuid.uuid4().hex
        self.state = WorkerState.RUNNING
        #: When the server last heard the worker, by the monotonic clock.
        self.heard_at = time.monotonic()
        #: Called after each beat, heard or not, and at the end.
        self.after_beat: list[Callable[[], None]] = []
        self.at_end: list[Callable[[], None]] = []
        self._usage = Usage(lambda: [os.getpid(), *children_of(worker)])
        self._on_drain = on_drain
        self._drained = False
        self._introduced = False
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._soon = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to beat, once before anything is taken. A server that is away hears of the worker when it is back."""
        self._try()
        self._thread = threading.Thread(target=self._run, name="backyard-presence", daemon=True)
        self._thread.start()
        atexit.register(self.leave, os.getpid())

    def become(self, state: WorkerState) -> None:
        """Change what others see; they see it at once."""
        self.state = state
        self._soon.set()

    def rest(self) -> None:
        """Beat no more."""
        self._ended.set()
        self._soon.set()
        if self._thread is not None:
            self._thread.join(RESTING)
        for end in self.at_end:
            end()

    def leave(self, pid: int) -> None:
        """Take the worker out of the registry, once; a pool's child does not speak for it.

        Args:
            pid: The worker's main process.
        """
        if os.getpid() != pid or self._ended.is_set():
            return
        self.rest()
        try:
            self.ledger.run(self.ledger.calls.goodbye(self.name, self.instance))
        except LedgerUnavailableError as error:
            logger.debug("The ledger is away at the end: %s", error)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._soon.wait(min(self.lease / 4, BEAT))
            self._soon.clear()
            if not self._ended.is_set():
                self._try()

    def _try(self) -> None:
        try:
            self.beat()
            self.heard_at = time.monotonic()
        except LedgerUnavailableError as error:
            logger.debug("The ledger is away, trying again: %s", error)
        except Exception:
            logger.exception("The registry met an error, and goes on")
        for look in self.after_beat:
            look()

    def beat(self) -> None:
        """Say once that the worker lives.

        Raises:
            LedgerUnavailableError: The server is away.
        """
        if not self._introduced:
            self._introduce()
            return
        used, running = (self._usage.memory(), self._usage.cores()), running_ids()
        heard, wish = self.ledger.run(
            self.ledger.calls.beat(self.name, self.instance, self.lease, self.state, used, running)
        )
        if heard == "taken":
            # Two workers of one name, as stock Celery makes them on one machine: the first is shown by another.
            self.name = f"{self.worker.hostname}-{os.getpid()}"
        if heard != "known":
            if not self._ended.is_set():  # it has said goodbye meanwhile
                self._introduce()
        elif wish and not self._drained:
            self._drained = True
            self._on_drain(stay=bool(wish.get("stay")))

    def _introduce(self) -> None:
        age = time.monotonic() - self._began
        self.ledger.run(self.ledger.calls.introduce(self.name, self.instance, self.lease, age, self.description()))
        self._introduced = True

    def description(self) -> dict[str, Word]:
        """Say who this worker is."""
        app = self.worker.app
        definitions = {name: fingerprint_of(task) for name, task in app.tasks.items() if not name.startswith("celery.")}
        return {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "pool": pool_name(self.worker.pool_cls),
            "concurrency": self.worker.concurrency,
            "queues": json.dumps(sorted(app.amqp.queues.consume_from)),
            "definitions": json.dumps(definitions),
            "state": self.state,
            "version": version("backyard"),
            "rss": self._usage.memory(),
            "running": json.dumps(running_ids()),
        }


def running_ids() -> list[str]:
    """Return ids of tasks that this worker runs, as its main process knows."""
    others = [one.task_id for one in (*running_in_batches(), *hosted())]
    while True:
        try:
            return [*(request.id for request in list(celery_state.active_requests)), *others][:RUNNING_SHOWN]
        except RuntimeError:  # the main thread put one in meanwhile
            continue


def pool_name(pool: Any) -> str:
    """Return Celery's name of a pool's class.

    Args:
        pool: The class.
    """
    module = str(pool.__module__).rpartition(".")[2]
    return {"thread": "threads"}.get(module, module)


def children_of(worker: Any) -> list[int]:
    """Return the process ids of the pool's children and of the host's; other pools than prefork have none."""
    pool = getattr(getattr(worker.pool, "_pool", None), "_pool", None)
    host = host_pid()
    return [*([child.pid for child in list(pool)] if isinstance(pool, list) else ()), *((host,) if host else ())]


def fingerprint_of(task: Any) -> str:
    """Return the fingerprint of a task's definition; empty for a plain Celery task."""
    definition = getattr(task, "yard_definition", None)
    return "" if definition is None else str(definition.fingerprint)

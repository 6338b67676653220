"""Kills the process of a task that was told to stop and has not, once its grace is over."""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from typing import Any

from celery.concurrency.prefork import TaskPool
from celery.worker import state as worker_state

from backyard.engine.batches import hosted, running_in_batches
from backyard.ledger.ledger import Ledger

logger = logging.getLogger("backyard.force")

#: Why a coroutine that runs beside others is not killed.
SHARED = "It shares its process with other async tasks: it is killed when it is alone there, unless it stops by itself."


class Force:
    """Looks for tasks that overstay, from any thread, and kills them from the worker's main one.

    Only the main thread knows for certain which child runs which task: it hands them out, and it reads that they ended.

    Args:
        consumer: Celery's consumer.
        ledger: The yard's ledger.
        grace: Seconds a task gets to stop by itself.
    """

    def __init__(self, consumer: Any, ledger: Ledger, grace: float) -> None:
        self.consumer = consumer
        self.ledger = ledger
        self.grace = grace
        self._overdue: deque[str] = deque()

    @property
    def held(self) -> str:
        """Why this worker cannot kill a task; empty where it can."""
        pool = self.consumer.pool
        if isinstance(pool, TaskPool):
            return ""
        kind = type(pool).__module__.rpartition(".")[2]
        return f"A worker with the pool '{kind}' cannot kill a task: it ends when it stops by itself."

    def look(self) -> None:
        """Ask which of the tasks that run here are overdue, in one call.

        Raises:
            LedgerUnavailableError: The server is away.
        """
        try:
            running = [(str(one.id), str(one.request_dict.get("entry") or "")) for one in worker_state.active_requests]
        except RuntimeError:  # one began or ended meanwhile: the next look is soon
            return
        running += [(one.task_id, one.entry) for one in running_in_batches()]
        beside = [(one.task_id, one.entry) for one in hosted()]
        if len(beside) > 1:
            self.ledger.run(self.ledger.calls.overdue(self.grace, SHARED, beside))
        else:
            running += beside
        if running:
            self._overdue.extend(self.ledger.run(self.ledger.calls.overdue(self.grace, self.held, running)))

    def strike(self) -> None:
        """Kill what is overdue and still runs; Celery then ends the task as revoked."""
        overdue: set[str] = set()
        while self._overdue:
            overdue.add(self._overdue.popleft())
        if not overdue:
            return
        alone = [(request.id, request.worker_pid) for request in list(worker_state.active_requests)]
        for task_id, pid in (*alone, *((one.task_id, one.pid) for one in running_in_batches())):
            if task_id in overdue and pid:
                self._note(task_id)
                self.consumer.pool.terminate_job(pid, signal.SIGKILL)
        beside = hosted()
        if len(beside) == 1 and beside[0].task_id in overdue and beside[0].pid:
            self._note(beside[0].task_id)
            os.kill(beside[0].pid, signal.SIGKILL)

    def _note(self, task_id: str) -> None:
        logger.warning("Task %s did not stop within %g s: its process is killed", task_id, self.grace)

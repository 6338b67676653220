"""The log of one attempt on its way to the ledger: lines wait for a moment, and go together.

Whoever logs only puts a line where it waits. A thread of the process sends what waits, many lines with one call; the
end of the attempt sends the rest. While the server is away, the lines go on waiting.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from backyard.core.errors import LedgerUnavailableError
from backyard.core.log_line import Scrub, interrupts, number_of, same, write_line
from backyard.ledger.ledger import Ledger

logger = logging.getLogger("backyard.task_log")

#: Seconds that a line waits for others, and lines that go with one call.
INTERVAL = 0.1
BATCH = 100
#: Bytes of lines that an attempt may log, unless a setting says otherwise.
ROOM = 262_144
#: Seconds between two tries while the server is away.
AWAY = 0.5


class TaskLog:
    """The log of one attempt.

    Args:
        ledger: Where its lines go.
        task_id: The task.
        attempt: The attempt's number.
        name: The task's name.
        room: Bytes of lines that it may log.
        level: The least serious level that is taken from the logging module.
        scrub: Takes out of a text what nobody may read.
    """

    def __init__(
        self,
        ledger: Ledger,
        task_id: str,
        attempt: int,
        *,
        name: str = "",
        room: int = ROOM,
        level: str = "info",
        scrub: Scrub = same,
    ) -> None:
        self.task_id = task_id
        self.attempt = attempt
        self.name = name
        self.least = number_of(level)
        self.scrub = scrub
        self._ledger = ledger
        self._most = self._room = room
        self._omitted = 0
        self._waiting: deque[bytes] = deque()
        self._ended = False
        self._pid = os.getpid()
        # A signal's handler and a finalizer may log in the middle of a line, in the same thread.
        self._counting = threading.RLock()
        self._sending = threading.Lock()
        self._sender = sender()

    @property
    def ended(self) -> bool:
        """Whether it takes no more lines."""
        return self._ended

    def full(self) -> bool:
        """Whether there is no room for another line; who asks is about to log one, so that it counts as left out."""
        if self._room > 0:
            return False
        with self._counting:
            self._omitted += 1
        return True

    def write(
        self,
        message: str,
        level: str,
        at: float,
        *,
        logger: str = "backyard.task",
        fields: Mapping[str, Any] | None = None,
        exception: str = "",
    ) -> None:
        """Add a line; nothing of it waits for the server.

        Args:
            message: What it says.
            level: How serious it is.
            at: When it was logged, in seconds since 1970.
            logger: The logger's name.
            fields: What else belongs to it.
            exception: A traceback.
        """
        alone = os.getpid() != self._pid
        if self._ended or (not alone and self.full()):
            return
        line = write_line(
            message, level, at=at, attempt=self.attempt, logger=logger, fields=fields, exception=exception,
            scrub=self.scrub,
        )  # fmt: skip
        if alone:
            self._send_alone(line)
            return
        with self._counting:
            if len(line) <= self._room:
                self._room -= len(line)
                self._add(line)
            else:
                self._leave_out()

    def send(self) -> bool:
        """Send what waits; False where the server is away, and it goes on waiting."""
        with self._sending:
            while self._waiting:
                # Others only add at the end meanwhile.
                lines = [self._waiting[place] for place in range(min(len(self._waiting), BATCH))]
                try:
                    heard = self._ledger.run(self._ledger.calls.add_lines(self.task_id, self.attempt, lines))
                except LedgerUnavailableError:
                    return False
                except Exception as error:
                    if interrupts(error):
                        raise
                    logger.exception("Lines of task %s are lost", self.task_id)
                    heard = False
                if not heard:  # it is no longer the running attempt
                    self._ended = True
                    self._waiting.clear()
                    return True
                for _ in lines:
                    self._waiting.popleft()
            return True

    def close(self, *, patient: bool = True) -> None:
        """Send the rest, and say how much was left out; then take no more lines.

        Args:
            patient: Whether to wait for a server that is away.
        """
        if os.getpid() != self._pid:
            return  # a process that the task made has no part in its end
        with self._counting:
            if self._omitted and not self._ended:
                self._add(self._own(f"{self._omitted} lines were left out."))
                self._omitted = 0
        self.flush(patient=patient)
        self._ended = True

    def flush(self, *, patient: bool = True) -> None:
        """Send what waits.

        Args:
            patient: Whether to wait for a server that is away.
        """
        while self._waiting and os.getpid() == self._pid and not self.send() and patient:
            time.sleep(AWAY)  # what comes after has to wait for the server as well

    def _leave_out(self) -> None:
        """Leave a line out, and say so where it is the first."""
        first, self._room = self._room > 0, 0
        self._omitted += 1
        if first:
            what = f"This attempt has logged as much as it may ({self._most} bytes): what follows is left out."
            self._add(self._own(f"{what} BACKYARD_TASK_LOG_MAX sets how much that is."))

    def _own(self, message: str) -> bytes:
        return write_line(message, "warning", at=time.time(), attempt=self.attempt, logger=logger.name)

    def _add(self, line: bytes) -> None:
        self._waiting.append(line)
        if len(self._waiting) in (1, BATCH):
            self._sender.tell(self)

    def _send_alone(self, line: bytes) -> None:
        """Send a line from a process that the task made: it has none of this one's threads."""
        try:
            self._ledger.run(self._ledger.calls.add_lines(self.task_id, self.attempt, [line]))
        except LedgerUnavailableError as error:
            logger.debug("A line of task %s is lost: %s", self.task_id, error)


class Sender:
    """Sends the lines of a process's attempts, from a thread of its own."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        # Its ``put`` may meet itself in a signal's handler, which those of other queues must not.
        self._told: queue.SimpleQueue[TaskLog] = queue.SimpleQueue()
        # Without a thread, the end of each attempt sends its lines.
        with suppress(RuntimeError):
            threading.Thread(target=self._run, name="backyard-task-log", daemon=True).start()

    def tell(self, log: TaskLog) -> None:
        """Say that a log has its first line that waits, or as many as go at once."""
        self._told.put(log)

    def _run(self) -> None:
        while True:
            logs = self._gather(self._told.get())
            while logs and logs[0].send():
                del logs[0]
            if logs:  # the server is away, and would be for the others as well
                time.sleep(AWAY)
                for log in logs:
                    self._told.put(log)

    def _gather(self, first: TaskLog) -> list[TaskLog]:
        """Wait a moment for more, unless one has as many lines as go at once."""
        logs = [first]
        end = time.monotonic() + INTERVAL
        while (seconds := end - time.monotonic()) > 0:
            try:
                log = self._told.get(timeout=seconds)
            except queue.Empty:
                break
            if log in logs:
                break
            logs.append(log)
        return logs


_lock = threading.RLock()
_sender: Sender | None = None


def sender() -> Sender:
    """Return the sender of this process, made on first use."""
    global _sender  # noqa: PLW0603 - one a process is the point
    if _sender is not None and _sender.pid == os.getpid():
        return _sender
    with _lock:
        if _sender is None or _sender.pid != os.getpid():
            _sender = Sender()
        return _sender

"""What a worker's main process does with ``async def`` tasks: it hands them to one process that runs many at once.

The process is made when the first one comes, beside those of the pool, so that it takes none away from ``def`` tasks.
Two threads talk to it: the main loop waits for nobody, and what ended is heard of while the worker stops as well.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import select
import signal
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from billiard import get_context
from celery import signals
from celery.worker import state as worker_state

from backyard.engine import flight
from backyard.engine.deaths import death_with
from backyard.engine.delivery import Row
from backyard.engine.eligible import Found
from backyard.engine.host import BYTES, PIECE, Over, packed, run_host, unpacked
from backyard.engine.pulse import Pulse
from backyard.engine.telling import Told, tell, tell_begun

logger = logging.getLogger("backyard.hosting")

#: Seconds between two looks at whether the process lives, where its line does not tell.
LOOK = 0.5
#: Seconds that a process may take to be gone when it has closed its line.
ENDING = 2.0

#: Queue, lane and entry id.
Place = tuple[str, str, str]


@dataclass(eq=False, slots=True)
class HostProcess:
    """The process that runs them.

    Args:
        process: The process.
        line: Leads to it.
        sent: What it is to be sent; None ends that.
        held: What it was given and has not said to be over.
    """

    process: Any
    line: socket.socket
    sent: queue.SimpleQueue[bytes | None] = field(default_factory=queue.SimpleQueue)
    held: dict[Place, Found] = field(default_factory=dict)


class Hosting:
    """The host of one worker.

    Args:
        consumer: Celery's consumer.
        most: Tasks at once.
    """

    def __init__(self, consumer: Any, most: int) -> None:
        self.consumer = consumer
        self.most = most
        #: Whether what was taken last found no room here.
        self.refused = False
        self._host: HostProcess | None = None
        self._lock = threading.Lock()

    @property
    def room(self) -> int:
        """For how many tasks there is room."""
        host = self._host
        return self.most - (0 if host is None else len(host.held))

    def is_full(self) -> bool:
        """Whether the next in line waits for room here; then it and those behind it stay where others find them."""
        return self.refused and self.room <= 0

    def held(self) -> list[tuple[Place, Found]]:
        """Return what the host was given and has not said to be over; from any thread."""
        host = self._host
        with self._lock:
            return [] if host is None else list(host.held.items())

    def pid(self) -> int | None:
        """Return the host's process, if there is one."""
        host = self._host
        return None if host is None else int(host.process.pid)

    def send(self, rows: Sequence[tuple[Row, Found]]) -> None:
        """Hand tasks to the host.

        Args:
            rows: Their queue entries, and what they hold.
        """
        if not rows:
            return
        with self._lock:
            if self._host is None:
                self._host = self._start()
            self._host.held.update({row[:3]: found for row, found in rows})
            self._host.sent.put(packed([(*row[:3], row[3].decode(BYTES)) for row, _ in rows]))
        tell_begun(self.consumer.event_dispatcher, [(found.task_id, found.name, row[3]) for row, found in rows])

    def _start(self) -> HostProcess:
        consumer, context = self.consumer, get_context("fork")
        signals.worker_before_create_process.send(sender=consumer.pool)
        here, there = socket.socketpair()

        def work() -> None:
            here.close()
            run_host(consumer.app, consumer.hostname, there)

        process = context.Process(target=work, name="Host")
        process.daemon = True
        process.start()
        there.close()
        host = HostProcess(process, here)
        pulse = consumer.task_consumer.channel.pulse
        for name, target, words in (("out", _write, (host,)), ("in", self._listen, (host, pulse))):
            threading.Thread(target=target, args=words, name=f"backyard-host-{name}", daemon=True).start()
        return host

    # -- what comes back ------------------------------------------------------------------------------------------

    def _listen(self, host: HostProcess, pulse: Pulse) -> None:
        """Take in what is over, until the host ends."""
        poll = select.poll()
        poll.register(host.line, select.POLLIN)

        def receive() -> bytes:
            # A process that a task made has the line as well, and would keep it open beyond the host's death.
            while not poll.poll(LOOK * 1000):
                if not host.process.is_alive():
                    return b""
            return host.line.recv(PIECE)

        try:
            for over in unpacked(receive):
                self._take_in(host, over)
        except OSError as error:
            logger.debug("The line to the host broke: %s", error)
        self._bury(host, pulse)

    def _take_in(self, host: HostProcess, over: Sequence[Over]) -> None:
        told = []
        with self._lock:
            for *place, state, seconds in over:
                found = host.held.pop((place[0], place[1], place[2]), None)
                if found is not None:
                    told.append((found.task_id, found.name, state, seconds))
        # The main loop looks for more when it is woken.
        self.consumer.hub.call_soon(self._tell, told)

    def _tell(self, told: Sequence[Told]) -> None:
        """Let Celery count what is over, and tell of it."""
        for _, name, _, _ in told:
            worker_state.total_count[name] += 1
        worker_state.all_total_count[0] += len(told)
        tell(self.consumer.event_dispatcher, told)

    def _bury(self, host: HostProcess, pulse: Pulse) -> None:
        """See the host gone, and give back what it has left."""
        process = host.process
        process.join(ENDING)
        if process.is_alive():  # it has lost its line, and is of no use
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        host.sent.put(None)
        with contextlib.suppress(OSError):
            host.line.shutdown(socket.SHUT_RDWR)
        host.line.close()
        with self._lock:
            left = dict(host.held)
            host.held.clear()
            self._host = None
        words = flight.last_words(process.pid)
        if left:
            reason, evidence = death_with(process.exitcode, self.consumer.hostname)
            logger.error("The host of async tasks ended (%s): %d tasks go back", evidence, len(left))
            evidence |= (
                {"peak_rss": max(peaks)} if (peaks := [one.get("peak_rss", 0) for one in words.values()]) else {}
            )
            for place, found in left.items():
                pulse.settle(pulse.calls.give_back([place], reason, evidence | words.get(found.task_id, {})))
        self.consumer.hub.call_soon(self._tell, [])

    # -- the end --------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Let the host finish what it has, and end."""
        host = self._host
        if host is not None:
            host.sent.put(None)

    def join(self) -> None:
        """Wait until the host has ended."""
        host = self._host
        if host is not None:
            logger.info("Waiting for %d async tasks to end", len(host.held))
            host.process.join()


def _write(host: HostProcess) -> None:
    """Send what is to be sent, until there is no more."""
    try:
        while (data := host.sent.get()) is not None:
            host.line.sendall(data)
        host.line.shutdown(socket.SHUT_WR)
    except OSError as error:
        logger.debug("The line to the host broke: %s", error)

"""How a worker ends: it takes nothing more, finishes within its grace, hands back the rest at once."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from billiard import active_children
from celery import signals
from celery.platforms import EX_OK
from celery.worker import state as celery_state

from backyard.core.worker import WorkerState
from backyard.engine.intake import intake
from backyard.engine.pulse import pulses
from backyard.engine.registry import Presence, children_of, running_ids
from backyard.ledger.scripts import script

logger = logging.getLogger("backyard.shutdown")

ROOT = Path(__file__).parents[2]
#: Isolated and without site-packages, so that it starts at once.
COMMAND = "import sys; sys.path.insert(0, sys.argv[1]); from backyard.engine.farewell import main; main()"
#: Seconds in which the main loop of a worker without tasks hears that it is to end. It may wait for a server.
HEARING = 2.0
#: Seconds between two looks at an end under way.
LOOK = 0.2
GRACEFUL = (signal.SIGTERM, signal.SIGINT)
STOPPING = (*GRACEFUL, signal.SIGQUIT)
#: Seconds of the grace that are kept for handing back what has not ended.
RESERVE = 1.5


class Departure:
    """Sees to a worker's end, from a thread: a solo pool's task holds the main one, and so may a server that is away.

    Args:
        worker: Celery's worker.
        presence: Its place in the registry.
        grace: Seconds from a signal to the end; handing back takes the last second of it, or a little more.
    """

    def __init__(self, worker: Any, presence: Presence, grace: float) -> None:
        self.worker = worker
        self.presence = presence
        self.grace = grace - min(RESERVE, grace / 4)
        self._pid = os.getpid()
        self._signals = 0
        self._begun: float | None = None
        self._deadline = float("inf")
        self._heard = False
        self._wakened, self._waken = os.pipe()
        self._direct = False

    def start(self) -> None:
        """Listen for signals."""
        os.set_blocking(self._waken, False)
        threading.Thread(target=self._run, name="backyard-departure", daemon=True).start()
        if threading.current_thread() is not threading.main_thread():
            return  # a worker within another program, which keeps its own signals
        # Written by the system itself: a task in a long call of C keeps Python's own handlers from their turn.
        before = signal.set_wakeup_fd(self._waken, warn_on_full_buffer=False)
        self._direct = before == -1
        if self._direct:
            os.register_at_fork(after_in_child=_deaf)
        else:
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)
        for number in STOPPING:
            signal.signal(number, self._on_signal)

    def begin(self, state: WorkerState, seconds: float | None) -> None:
        """Take nothing more, and end when all is finished or the time is up. A shorter time goes before a longer one.

        Args:
            state: What the registry is to show.
            seconds: How long running tasks get; None is as long as they need.
        """
        intake.closed = True
        if self._begun is None:
            self._begun = time.monotonic()
        if seconds is not None:
            self._deadline = min(self._deadline, time.monotonic() + seconds)
        if celery_state.should_stop is None:
            celery_state.should_stop = EX_OK
        self.presence.become(state)
        with contextlib.suppress(BlockingIOError):
            os.write(self._waken, b"\0")  # the thread waits for signals, without end until now

    @property
    def begun(self) -> bool:
        """Whether the worker is to end."""
        return self._begun is not None

    def heard(self) -> None:
        """Note that the main thread has begun to end: it waits for its pool now, and for nothing else."""
        self._heard = True
        if self._begun is None:  # by Celery's remote control, say
            self.begin(WorkerState.STOPPING, self.grace)

    def _on_signal(self, number: int, _: Any) -> None:
        """Let Celery's main loop end at its next turn. The thread hears of the signal as well."""
        if os.getpid() != self._pid:
            return
        if celery_state.should_stop is None:
            celery_state.should_stop = EX_OK
            name = signal.Signals(number).name
            signals.worker_shutting_down.send(sender=self.worker.hostname, sig=name, how="Warm", exitcode=EX_OK)
        if not self._direct:
            os.write(self._waken, bytes([number]))

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._wakened], [], [], LOOK if self._begun is not None else None)
            for number in os.read(self._wakened, 64) if ready else b"":
                if number in STOPPING:
                    self._obey(signal.Signals(number))
            if self._begun is not None and self._is_over(time.monotonic()):
                self.leave()

    def _obey(self, number: signal.Signals) -> None:
        self._signals += 1
        if self._signals > 1 or number not in GRACEFUL:
            logger.warning("%s: handing back at once what runs", number.name)
            self.begin(WorkerState.STOPPING, 0)
        else:
            logger.warning(
                "%s: Warm shutdown, running tasks get %g s; once more hands them back at once", number.name, self.grace
            )
            self.begin(WorkerState.STOPPING, self.grace)

    def _is_over(self, now: float) -> bool:
        """Whether it is time to go. A main thread that waits for a server has nothing to finish without tasks."""
        deaf = not self._heard and now - (self._begun or now) > HEARING and not running_ids()
        return now >= self._deadline or deaf

    def leave(self) -> None:
        """End now: become the program that ends the pool, hands back what this one held, and exits with 0."""
        running = running_ids()
        if running:
            logger.warning("The time is up: handing back %d running tasks", len(running))
        fd = _written(self._will())
        self.presence.rest()
        signal.pthread_sigmask(signal.SIG_BLOCK, (*STOPPING, signal.SIGHUP))  # one more must not end the last act
        os.execv(  # noqa: S606 - our own module
            sys.executable, [sys.executable, "-I", "-S", "-c", COMMAND, str(ROOT), str(fd)]
        )

    def _will(self) -> dict[str, Any]:
        """Say what is to be done in place of this program; see :func:`~backyard.engine.farewell.last_act`."""
        yards = []
        for pulse in pulses():
            # Its guardian speaks for this process from now on, if the server does not answer in time.
            pulse.part()
            yards.append(
                {
                    "address": pulse.link.address,
                    "prefix": pulse.keys.prefix,
                    "events_kept": pulse.calls.events_kept,
                    "consumers": pulse.consumers,
                    "bury": _shown("bury"),
                    "goodbye": _shown("goodbye"),
                    "name": self.presence.name,
                    "instance": self.presence.instance,
                }
            )
        # Celery's embedded beat is a child as well.
        children = {*children_of(self.worker), *(child.pid for child in active_children())}
        return {"children": sorted(children), "yards": yards}


def _deaf() -> None:
    """Keep the signals of a pool's child from its parent, whose pipe it has inherited."""
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)


def _shown(name: str) -> dict[str, str]:
    return {"sha": script(name).sha, "text": script(name).text}


def _written(will: dict[str, Any]) -> int:
    """Write a will into a file without a name that the next program inherits, and return its number."""
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(will).encode())
        file.seek(0)
        fd = os.dup(file.fileno())
    os.set_inheritable(fd, True)  # noqa: FBT003 - its signature
    return fd

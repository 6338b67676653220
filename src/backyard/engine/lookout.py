"""The second thread of a process that runs batches: it looks at the one that runs, every now and then."""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

logger = logging.getLogger("backyard.batch")

#: Seconds between two looks, and so about what an outcome waits for others.
PAUSE = 0.01


class Watched(Protocol):
    """What is looked at."""

    def look(self, now: float) -> None:
        """See to what has to be done; ``now`` is this moment, by the monotonic clock."""


class Lookout(threading.Thread):
    """Looks after the batches of this process, one at a time."""

    def __init__(self) -> None:
        super().__init__(name="backyard-batch", daemon=True)
        self._watched: Watched | None = None
        self._there = threading.Event()

    def look_after(self, watched: Watched) -> None:
        """Look after this one from now on."""
        self._watched = watched
        self._there.set()

    def leave(self) -> None:
        """Look after none."""
        self._there.clear()
        self._watched = None

    def run(self) -> None:
        """Look every now and then, while there is a batch."""
        while True:
            self._there.wait()
            time.sleep(PAUSE)
            watched = self._watched
            if watched is not None:
                try:
                    watched.look(time.monotonic())
                except Exception:
                    logger.exception("Looking after a batch met an error, and goes on")


_lookout: Lookout | None = None


def lookout() -> Lookout:
    """Return this process's second thread; a forked process has its own."""
    global _lookout  # noqa: PLW0603 - one a process is the point
    if _lookout is None or not _lookout.is_alive():
        _lookout = Lookout()
        _lookout.start()
    return _lookout


def leave() -> None:
    """Look after none, where there is a second thread."""
    if _lookout is not None:
        _lookout.leave()

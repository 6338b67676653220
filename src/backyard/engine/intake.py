"""Whether this process takes tasks, and when its main loop was last seen at it."""

from __future__ import annotations

import time


class Intake:
    """What the transport and the worker tell each other; one a process, for a process is one worker.

    Attributes:
        closed: Whether nothing more is to be taken: the worker drains or stops.
        reads: When a read of the queues last began, or was not wanted, by the monotonic clock.
        turns: When the worker's main loop last came round.
    """

    def __init__(self) -> None:
        self.closed = False
        self.reads = self.turns = time.monotonic()

    def read(self) -> None:
        """Note that a read begins, or is not wanted now."""
        self.reads = time.monotonic()

    def turn(self) -> None:
        """Note that the main loop came round."""
        self.turns = time.monotonic()


intake = Intake()

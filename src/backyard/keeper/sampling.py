"""The duty that looks at the queues every few seconds, and keeps what it saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backyard.app import Backyard
from backyard.history.queue_samples import EVERY, record_queues

#: Queues of which samples are kept at most; of more, those that hold the most.
MOST: Final = 200


class Sampling:
    """Samples what waits in each queue.

    Args:
        yard: The yard.
        clock: Returns milliseconds since 1970; None is the ledger's own clock.
    """

    name = "sample"

    def __init__(self, yard: Backyard, clock: Callable[[], int] | None = None) -> None:
        self._yard = yard
        self._clock = clock or self._now

    def step(self) -> float:
        """Take a sample; returns the seconds until the next is to be taken."""
        queues = sorted(
            self._yard.queue_states_sync(), key=lambda one: (-one.depth - one.parked - one.running, one.name)
        )
        at = self._clock()
        record_queues(self._yard.history, at, queues[:MOST])
        return EVERY - at / 1000 % EVERY

    def _now(self) -> int:
        return int(self._yard.ledger.run(self._yard.ledger.calls.clock()) * 1000)

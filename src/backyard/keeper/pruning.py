"""The duty that prunes: what has been kept as long as it is to be kept goes, a little at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Final

from backyard.app import Backyard
from backyard.core.states import State
from backyard.history.prune import delete_tasks
from backyard.history.queue_samples import drop_samples
from backyard.history.retention import Old, drop_sums, drop_trail, outlived
from backyard.keeper.deleting import clear

logger = logging.getLogger("backyard.keeper")

#: Seconds between two looks while nothing is to go, and after each few hundred that went: others write in between.
IDLE, BETWEEN = 60.0, 0.2
_ENDS: Final = (State.SUCCESS, State.FAILURE, State.REVOKED)


class Pruning:
    """Deletes what is old enough, by state and definition.

    Args:
        yard: The yard.
        clock: Returns milliseconds since 1970; None is the ledger's own clock.
    """

    name = "prune"

    def __init__(self, yard: Backyard, clock: Callable[[], int] | None = None) -> None:
        self._yard = yard
        self._clock = clock or self._now

    def step(self) -> float:
        """Delete a few hundred tasks, or what else is old where no task is; returns the seconds until the next look."""
        now = self._clock()
        for found in self._outlived(now):
            if found:
                gone = delete_tasks(self._yard.history, [one.number for one in clear(self._yard, found)])
                logger.info("%d tasks were pruned.", len(gone))
                if gone:
                    return BETWEEN
        settings, history = self._yard.settings, self._yard.history
        drop_sums(history, now)
        drop_samples(history, now)
        drop_trail(history, now - int(settings.keep_audit * 1000), now - int(settings.keep_failure * 1000))
        return IDLE

    def _outlived(self, now: int) -> Iterator[list[Old]]:
        settings, history = self._yard.settings, self._yard.history
        usual = {
            State.SUCCESS: settings.keep_success,
            State.FAILURE: settings.keep_failure,
            State.REVOKED: settings.keep_revoked,
        }
        for state in _ENDS:
            own = {name: one.policy.kept(state) for name, one in self._yard.definitions.items()}
            special = {name: kept for name, kept in own.items() if kept is not None}
            for name, kept in special.items():
                yield outlived(history, state, now - int(kept * 1000), name=name)
            yield outlived(history, state, now - int(usual[state] * 1000), name=None, others=special)

    def _now(self) -> int:
        return int(self._yard.ledger.run(self._yard.ledger.calls.clock()) * 1000)

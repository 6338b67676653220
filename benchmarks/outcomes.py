"""When was the last outcome there? Asked of whoever keeps them: Backyard's ledger, or a peer's keys."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Final

from benchmarks.contenders import Contender
from benchmarks.processes import PATIENCE, MeasureError
from benchmarks.stage import Stage

from backyard.core.news import event_order
from backyard.core.states import State
from backyard.ledger.ledger import Ledger

#: Name of the yard in ``peers/ours.py``.
YARD: Final = "bench"
_PART: Final = 500


def last_outcome(stage: Stage, contender: Contender, number: int) -> float:
    """Wait until all outcomes are stored, and return when the last one was, in seconds since 1970.

    Raises:
        MeasureError: There are not as many as there were tasks.
    """
    if contender.stored is None:
        return _last_of_ours(stage, number)
    end = time.monotonic() + PATIENCE
    while (found := contender.stored(stage.client)) < number:
        if time.monotonic() > end:
            raise MeasureError(f"{contender.name} stored {found} results of {number} tasks.")
        time.sleep(0.01)
    return time.time()


def task_ids(ledger: Ledger) -> list[str]:
    """Return the ids of all tasks, the oldest first."""
    found: list[str] = []
    place: tuple[str, str] | None = None
    while True:
        place, more = ledger.run(ledger.calls.index(place, 1_000))
        found += more
        if place is None:
            return found


def _last_of_ours(stage: Stage, number: int) -> float:
    """Read all records; each says itself when its task ended, by the clock of the server on this machine."""
    last = 0.0
    with closing(Ledger(stage.url, YARD)) as ledger:
        waiting = task_ids(ledger)
        if len(waiting) != number:
            raise MeasureError(f"The ledger has {len(waiting)} tasks, and {number} were submitted.")
        end = time.monotonic() + PATIENCE
        while waiting:
            records = ledger.run(ledger.calls.records(waiting[:_PART]))
            for record in records:
                finished = record.moment("finished")
                if record.state is State.SUCCESS and finished is not None:
                    last = max(last, finished.timestamp())
            left = [record.task_id for record in records if record.state is not State.SUCCESS]
            waiting = left + waiting[_PART:]
            if left and time.monotonic() > end:
                raise MeasureError(f"{len(waiting)} tasks have no outcome.")
    return last


def submitted(stage: Stage, contender: Contender) -> int:
    """Return how many tasks there are that nobody has taken."""
    if contender.waiting is not None:
        return contender.waiting(stage.client)
    with closing(Ledger(stage.url, YARD)) as ledger:
        return len(task_ids(ledger))


def await_recorded(stage: Stage) -> None:
    """Wait until the history has all that has happened so far.

    Raises:
        MeasureError: The keeper does not get there.
    """
    with closing(Ledger(stage.url, YARD)) as ledger:
        newest, end = ledger.run(ledger.calls.last_event()), time.monotonic() + PATIENCE
        while True:
            found = ledger.run(ledger.calls.recorded())
            if found is not None and event_order(found.position) >= event_order(newest):
                return
            if time.monotonic() > end:
                raise MeasureError(f"The history is at {found}, the newest event is {newest}.")
            time.sleep(0.02)

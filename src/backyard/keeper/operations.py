"""The duty that carries out operations: a verb on all tasks that match a filter, a small batch at a time."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from backyard.app import Backyard
from backyard.core.errors import HistoryUnavailableError, InvalidInputError, LedgerUnavailableError
from backyard.core.operation import OperationReport, OperationState, OperationVerb
from backyard.history import operations
from backyard.history.operations import Standing, Target
from backyard.keeper.deleting import clear
from backyard.keeper.reruns import Reruns

logger = logging.getLogger("backyard.keeper")

#: Tasks in one step.
AT_ONCE: Final = 100
#: Most seconds between two looks: what is asked for meanwhile is not waited for longer.
LONGEST_REST: Final = 1.0
#: Seconds between two batches: others write in between.
BETWEEN: Final = 0.01
#: Seconds after which an operation that could not go on is tried again; others go on meanwhile.
AGAIN: Final = 5.0


class OperationsDuty:
    """Carries out operations.

    Any number may run at once: what is done to a task a second time changes nothing (a rerun has an id that follows
    from the operation and the task), and of two that have done the same batch one counts it.

    Args:
        yard: The yard, with its definitions.
        clock: Returns the time, in seconds since 1970.
    """

    name = "operations"

    def __init__(self, yard: Backyard, clock: Callable[[], float] = time.time) -> None:
        self._yard = yard
        self._history = yard.history
        self._clock = clock
        self._reruns = Reruns(yard)

    def step(self) -> float:
        """Do one batch of the operation that is next; returns the seconds until the next look.

        Raises:
            LedgerUnavailableError: The server is away. Nothing is lost by it: the next step goes on.
            HistoryUnavailableError: The database is away; the same holds.
        """
        now = self._now()
        found, later = operations.next_due(self._history, now)
        if found is None:
            return LONGEST_REST if later is None else min(LONGEST_REST, max(0.0, (later - now) / 1000))
        try:
            self._go_on(found, now)
        except (HistoryUnavailableError, LedgerUnavailableError):
            raise
        except InvalidInputError as error:
            report = found.report.model_copy(update={"message": error.message})
            self._end(found, OperationState.FAILED, report, now)
        except Exception:
            # One operation that cannot go on is not to hold up the others.
            logger.exception("The operation %s could not go on, and is tried again.", found.operation_id)
            operations.postpone(self._history, found, now + int(AGAIN * 1000))
        return BETWEEN

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _go_on(self, operation: Standing, now: int) -> None:
        if operation.state is OperationState.WAITING:
            operations.claim(self._history, operation, now)
        elif operation.state is OperationState.STOPPING:
            self._end(operation, OperationState.STOPPED, operation.report, now)
        elif operation.plan.verb is OperationVerb.RERUN:
            self._rerun(operation, now)
        else:
            self._treat(operation, now)

    def _end(self, operation: Standing, state: OperationState, report: OperationReport, now: int) -> None:
        if operations.advance(self._history, operation, report=report, end=state, now=now):
            logger.info("The operation %s is over: %s.", operation.operation_id, state)

    # -- cancel and delete ----------------------------------------------------------------------------------------

    def _treat(self, operation: Standing, now: int) -> None:
        batch = operations.targets(self._history, operation, AT_ONCE)
        if not batch:
            self._end(operation, OperationState.DONE, operation.report, now)
        elif operation.plan.verb is OperationVerb.CANCEL:
            task_ids = [one.task_id for one in batch]
            outcomes = self._yard.ledger.cancel(task_ids, children=operation.plan.options.children)
            operations.advance(self._history, operation, report=_counted(operation.report, outcomes), dealt=batch)
        else:
            ended = clear(self._yard, batch)
            outcomes = ["deleted"] * len(ended) + ["kept"] * (len(batch) - len(ended))
            operations.advance(
                self._history, operation, report=_counted(operation.report, outcomes), dealt=batch,
                deleted=[one.number for one in ended],
            )  # fmt: skip

    # -- rerun ----------------------------------------------------------------------------------------------------

    def _rerun(self, operation: Standing, now: int) -> None:
        report = operation.report
        if operation.plan.canary and report.canary_passed is None:
            self._send_canary(operation, now)
            return
        rate = operation.plan.options.rate
        batch = operations.targets(self._history, operation, AT_ONCE if rate is None else _paced(rate))
        if batch:
            self._submit(operation, batch, now, canary=False)
        else:
            self._end(operation, OperationState.DONE, report, now)

    def _send_canary(self, operation: Standing, now: int) -> None:
        """Submit the first reruns, and look whether all of them succeed before the rest goes."""
        report, most = operation.report, operation.plan.canary
        canary = self._reruns.look(report.canary)
        if canary.trouble is not None:
            message = f"The first {most} reruns had all to succeed: {canary.trouble}. The others were left alone."
            report = report.model_copy(update={"canary_passed": False, "message": message})
            self._end(operation, OperationState.FAILED, report, now)
            return
        room = most - len(report.canary)
        batch = operations.targets(self._history, operation, room) if room else []
        if batch:
            self._submit(operation, batch, now, canary=True)
        elif canary.passed:
            passed = report.model_copy(update={"canary_passed": True, "message": None})
            if room:
                self._end(operation, OperationState.DONE, passed, now)
            else:
                operations.advance(self._history, operation, report=passed)
        else:
            waits = report.model_copy(update={"message": "It waits for the first reruns to succeed."})
            operations.advance(self._history, operation, report=waits, next_at=now + int(LONGEST_REST * 1000))

    def _submit(self, operation: Standing, batch: Sequence[Target], now: int, *, canary: bool) -> None:
        sent = self._reruns.submit(operation, batch)
        rate, next_at = operation.plan.options.rate, None
        if sent.full is not None:
            next_at = now + sent.full.retry_after * 1000
        elif rate is not None:
            next_at = now + int(len(sent.submitted) / rate * 1000)
        report = sent.added_to(operation.report, canary=canary)
        operations.advance(self._history, operation, report=report, dealt=sent.dealt, next_at=next_at)


def _paced(rate: float) -> int:
    """Return how many reruns go at once: what the rate allows in half a second, so that they come evenly."""
    return max(1, min(AT_ONCE, int(rate / 2)))


def _counted(report: OperationReport, outcomes: Sequence[str]) -> OperationReport:
    """Return a report with more outcomes."""
    return report.model_copy(update={"outcomes": dict(Counter(report.outcomes) + Counter(outcomes))})

"""The duty that fires schedules."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from backyard.app import Backyard
from backyard.core.errors import InvalidInputError, LedgerUnavailableError, UnknownDefinitionError
from backyard.core.schedule_rules import Decision, decide, unable
from backyard.ledger.schedule_calls import KeptSchedule
from backyard.ledger.submission import Submission
from backyard.schedules.ticking import tick_id, tick_submission

logger = logging.getLogger("backyard.keeper")

#: Most seconds between two looks: what is made or changed meanwhile is not waited for longer.
LONGEST_REST = 1.0
#: Schedules looked at in one step.
AT_ONCE = 500
#: Seconds that a tick waits for a keeper that knows its definition, as while a new version is rolled out.
PATIENCE = timedelta(seconds=20)
#: When to try again what could not be submitted.
_AGAIN = timedelta(seconds=5)


class ScheduleDuty:
    """Submits the tasks of schedules when they tick, and looks after what was missed.

    Any number may run at once: each step is made by one script of the ledger, guarded by what was read, so of two
    keepers one fires a tick, and one that dies leaves nothing half done.

    Args:
        yard: The yard, with its definitions and what it declares.
        clock: Returns the time, in seconds since 1970; None asks the ledger's server, which alone decides.
    """

    name = "schedules"

    def __init__(self, yard: Backyard, clock: Callable[[], float] | None = None) -> None:
        self._yard = yard
        self._ledger = yard.ledger
        self._clock = clock or (lambda: self._ledger.run(self._ledger.calls.clock()))
        self._synced = False
        self._unreadable: set[str] = set()

    def step(self) -> float:
        """Fire what is due; return the seconds until the next look.

        Raises:
            LedgerUnavailableError: The server is away. Nothing is lost by it: the next step goes on.
        """
        now = datetime.fromtimestamp(self._clock(), UTC)
        if not self._synced:
            self._take_over_declared(now)
        due = self._ledger.run(self._ledger.calls.due_schedules(now.timestamp(), AT_ONCE))
        self._warn_of({*due.unreadable})
        looks = [self._look_at(kept, now) for kept in due.kept]
        if due.next_look is not None:
            looks.append(datetime.fromtimestamp(due.next_look / 1000, UTC))
        soonest = min((look for look in looks if look is not None), default=None)
        if soonest is None:
            return LONGEST_REST
        return min(LONGEST_REST, max(0.0, (soonest - now).total_seconds()))

    def _warn_of(self, unreadable: set[str]) -> None:
        for schedule_id in sorted(unreadable - self._unreadable):
            logger.error(
                "The schedule %s cannot be read: a newer version wrote it. Start a keeper of that.", schedule_id
            )
        self._unreadable = unreadable

    def _take_over_declared(self, now: datetime) -> None:
        report = self._yard.sync_schedules_sync(now)
        self._synced = True
        for schedule_id in report.taken:
            logger.error(
                "The schedule %s is declared by this program, but a person has made one of that id. "
                "Delete it, or declare this one under another id.", schedule_id,
            )  # fmt: skip
        for what, ids in (("made", report.made), ("changed", report.changed), ("removed", report.removed)):
            if ids:
                logger.info("Declared schedules %s: %s", what, ", ".join(ids))

    def _look_at(self, kept: KeptSchedule, now: datetime) -> datetime | None:
        """Decide about one schedule and do it; return when to look at it again."""
        try:
            return self._do(kept, now)
        except LedgerUnavailableError:
            raise
        except Exception:
            logger.exception("The schedule %s could not be looked at; it is tried again.", kept.schedule_id)
            return now + _AGAIN

    def _do(self, kept: KeptSchedule, now: datetime) -> datetime | None:
        decision = decide(kept.schedule_id, kept.spec, kept.state, now, previous_final=kept.previous_final)
        try:
            submissions = [self._submission(kept, tick) for tick in decision.fire]
        except (UnknownDefinitionError, InvalidInputError) as error:
            late = now - decision.fire[-1] - timedelta(seconds=kept.spec.jitter)
            if late < PATIENCE:
                return self._put_off(kept, error.message, now)
            decision, submissions = unable(kept.state, decision, error.message), []
        return self._carry_out(kept, decision, submissions, now)

    def _submission(self, kept: KeptSchedule, tick: datetime) -> Submission:
        definition = self._yard.definition(kept.spec.name)
        task_id = tick_id(kept.schedule_id, tick)
        return tick_submission(definition, kept.spec, kept.schedule_id, task_id, self._yard.settings)

    def _carry_out(
        self, kept: KeptSchedule, decision: Decision, submissions: list[Submission], now: datetime
    ) -> datetime | None:
        calls = self._ledger.calls
        fired = self._ledger.run(calls.fire(kept, decision.state, decision.look, submissions, cancel=decision.cancel))
        if fired.outcome == "full":
            queue = submissions[0].queue
            return self._put_off(kept, f"Queue '{queue}' holds as many tasks as it may.", now)
        # Where another was faster, what it left is read by the next look.
        return now if fired.outcome == "stale" else decision.look

    def _put_off(self, kept: KeptSchedule, problem: str, now: datetime) -> datetime:
        """Leave the ticks as they are for a while; the catch-up policy decides about them when they are late."""
        look = now + _AGAIN
        self._ledger.run(self._ledger.calls.fire(kept, kept.state.model_copy(update={"problem": problem}), look, []))
        return look

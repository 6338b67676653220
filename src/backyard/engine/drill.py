"""The drill: canaries through a live deployment, disturbed on purpose, and what became of each of them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Final, TypeVar

from uuid_utils import uuid7

from backyard.core.errors import BackyardError, LedgerUnavailableError
from backyard.core.news import News
from backyard.core.states import FINAL, State
from backyard.engine.canary import canary
from backyard.ledger.call import Call
from backyard.ledger.ledger import Ledger
from backyard.ledger.record import Record
from backyard.ledger.submission import Submission

T = TypeVar("T")

#: Seconds between two looks.
LOOK: Final = 0.1
#: Seconds within which a canary runs again after any single fault, by the promise of the default lease.
PROMISED: Final = 15.0
AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something that is done to the deployment.

    Args:
        what: What, for people.
        strike: Does it; says whether it could.
        kills: Whether tasks that run may have to run again for it.
    """

    what: str
    strike: Callable[[], bool]
    kills: bool = False


@dataclass(slots=True)
class Report:
    """What became of the canaries.

    Args:
        accepted: Canaries that the yard accepted.
        refused: Those it did not; they never ran.
        done: Those that succeeded.
        failed: Those that ended in another way, with the reason.
        lost: Accepted, and gone without a trace.
        stuck: Accepted, and not over when the drill was.
        repeated: Attempts beyond the first of each.
        twice: Those with more than one outcome.
        struck: The disturbances that took place, with the server's time in milliseconds.
        kills: How many of them may explain a repetition.
        recovery: Seconds from a disturbance to the last new start that it made necessary; None without any disturbance.
    """

    accepted: int = 0
    refused: int = 0
    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    repeated: int = 0
    twice: list[str] = field(default_factory=list)
    struck: list[tuple[int, str]] = field(default_factory=list)
    kills: int = 0
    recovery: float | None = None

    def broken(self, promised: float = PROMISED) -> list[str]:
        """Say which promises did not hold, in a sentence each.

        Args:
            promised: Seconds within which a canary has to run again.
        """
        found = [
            (bool(self.lost), f"{len(self.lost)} accepted canaries are lost: {', '.join(self.lost[:3])}"),
            (bool(self.stuck), f"{len(self.stuck)} canaries did not end: {', '.join(self.stuck[:3])}"),
            (bool(self.failed), f"{len(self.failed)} canaries failed: {next(iter(self.failed.values()), '')}"),
            (bool(self.twice), f"{len(self.twice)} canaries ended twice: {', '.join(self.twice[:3])}"),
            (
                bool(self.repeated and not self.kills),
                f"{self.repeated} attempts were repeated, and no worker was killed",
            ),
            (self.recovery is not None and self.recovery > promised, f"recovery took longer than {promised:g} s"),
        ]
        return [what for holds_not, what in found if holds_not]


class Drill:
    """One drill over one yard.

    Args:
        ledger: The yard's ledger.
        queues: Queues that living workers read.
        seconds: How long a canary waits.
        patience: Seconds that the canaries may take to end once all are submitted and every disturbance is over.
    """

    def __init__(self, ledger: Ledger, queues: Sequence[str], *, seconds: float, patience: float) -> None:
        self.ledger = ledger
        self.queues = queues
        self.seconds = seconds
        self.patience = patience
        self.report = Report()
        self._accepted: list[str] = []
        self._begun: int = 0

    def run(self, canaries: int, disturbances: Sequence[Disturbance], last: float) -> Report:
        """Submit canaries over some seconds, disturb meanwhile, and see what becomes of them.

        Args:
            canaries: How many.
            disturbances: What is done in between, evenly spread.
            last: Seconds from the first submit to the last.
        """
        self._begun = self.now() - 1
        queues = cycle(self.queues)
        waiting = [canary(str(uuid7()), next(queues), self.seconds) for _ in range(canaries)]
        marks = [canaries * (number + 1) // (len(disturbances) + 1) for number in range(len(disturbances))]
        left = list(disturbances)
        begun = time.monotonic()
        for number, one in enumerate(waiting):
            while left and number >= marks[len(disturbances) - len(left)]:
                self.strike(left.pop(0))
            self.submit(one)
            time.sleep(max(0.0, begun + last * (number + 1) / canaries - time.monotonic()))
        for late in left:
            self.strike(late)
        self.tell(self.wait())
        return self.report

    def submit(self, one: Submission) -> None:
        """Submit a canary; one of which nobody knows whether it was accepted is sent again, under the same id."""
        end = time.monotonic() + self.patience
        while True:
            try:
                self.ledger.submit([one])
            except LedgerUnavailableError:
                if time.monotonic() > end:
                    raise
                time.sleep(LOOK)
            except BackyardError:
                self.report.refused += 1
                return
            else:
                self._accepted.append(one.task_id)
                self.report.accepted += 1
                return

    def strike(self, one: Disturbance) -> None:
        """Do a disturbance, and note when."""
        at = self.now()
        if one.strike():
            self.report.struck.append((at, one.what))
            self.report.kills += one.kills

    def wait(self) -> dict[str, Record]:
        """Wait until the canaries are over, and return what is recorded of them."""
        end = time.monotonic() + self.patience
        found: dict[str, Record] = {}
        waiting = self._accepted
        while waiting and time.monotonic() < end:
            for start in range(0, len(waiting), AT_ONCE):
                some = partial(self.ledger.calls.records, waiting[start : start + AT_ONCE])
                found.update((one.task_id, one) for one in self.patient(some))
            waiting = [task_id for task_id in waiting if task_id not in found or not found[task_id].final]
            time.sleep(LOOK)
        return found

    # -- what became of them --------------------------------------------------------------------------------------

    def tell(self, records: Mapping[str, Record]) -> None:
        """Put the canaries' ends into the report."""
        report, told = self.report, self.news()
        report.lost = [task_id for task_id in self._accepted if task_id not in records]
        starts: list[tuple[int, bool]] = []
        for task_id, record in records.items():
            if record.state is State.SUCCESS:
                report.done += 1
            elif record.final:
                report.failed[task_id] = record.failure.message if record.failure else str(record.state)
            else:
                report.stuck.append(task_id)
            begun = [one for one in told[task_id] if one.state == State.STARTED]
            report.repeated += max(0, len(begun) - 1)
            starts += [(one.order[0], number > 0) for number, one in enumerate(begun)]
            if len([one for one in told[task_id] if one.state in FINAL]) > 1:
                report.twice.append(task_id)
        report.recovery = recovery([at for at, _ in report.struck], starts)

    def news(self) -> Mapping[str, list[News]]:
        """Return the changes of state that were told of each canary since the drill began."""
        told: dict[str, list[News]] = defaultdict(list)
        after = f"{self._begun}-0"
        while after:
            after, rows = self.patient(partial(self.ledger.calls.all_news, after, AT_ONCE))
            for one in rows:
                if one.event == "state":
                    told[one.task_id].append(one)
        return told

    def now(self) -> int:
        """Return the server's time in milliseconds."""
        return int(self.patient(self.ledger.calls.clock) * 1000)

    def patient(self, make: Callable[[], Call[T]]) -> T:
        """Ask the ledger, again while it is away.

        Raises:
            LedgerUnavailableError: It stays away.
        """
        end = time.monotonic() + self.patience
        while True:
            try:
                return self.ledger.run(make())
            except LedgerUnavailableError:
                if time.monotonic() > end:
                    raise
                time.sleep(LOOK)


def recovery(struck: Sequence[int], starts: Sequence[tuple[int, bool]]) -> float | None:
    """Return the seconds from a disturbance to what had to follow it, the longest of all.

    What has to follow is a start of any canary, and every start that repeats one.

    Args:
        struck: When disturbances took place, in milliseconds.
        starts: When canaries started, in milliseconds, and whether that was not for the first time.
    """
    longest: float | None = None
    for at, until in zip(struck, [*struck[1:], float("inf")], strict=False):
        later = sorted(start for start, _ in starts if start > at)
        again = [start for start, repeated in starts if repeated and at < start <= until]
        for moment in (*later[:1], *again):
            longest = max(longest or 0.0, (moment - at) / 1000)
    return longest

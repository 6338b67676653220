"""The judge: what must hold of a yard after faults, whatever they were."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backyard.core.models import FailureKind
from backyard.core.news import News
from backyard.core.states import FINAL, State
from backyard.ledger.events import read_entry
from backyard.ledger.record import Record
from faults.client import Client
from faults.journal import Line
from faults.past import flaws, remembered, whole_stream
from faults.recovery import recoveries
from faults.site import Site
from support.clean import leftovers
from support.keepers import await_recorded

#: Seconds without any task ending after which those that are left count as stuck.
STUCK = 40.0
#: Seconds that the last acknowledgements may take.
EMPTY = 20.0
AT_ONCE = 1_000


@dataclass(slots=True)
class Expected:
    """What a scenario has done that its tasks may show.

    Args:
        failures: Kinds of failure that happened, by definition.
        revoked: Tasks that were cancelled.
        extra_starts: Starts beyond the first, and beyond retries, that its faults may cause.
        overlaps: Whether leases ran out of workers that lived, so that two attempts may overlap.
        recovery: Seconds within which a dead worker's task runs again.
        clean: Whether the yard is to be empty afterwards.
        serving: Whether all workers are to serve within 10 s.
    """

    failures: Mapping[str, set[FailureKind]] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    extra_starts: int = 0
    overlaps: bool = False
    recovery: float = 15.0
    clean: bool = True
    serving: bool = True


@dataclass(slots=True)
class Verdict:
    """What the judge found.

    Args:
        broken: What does not hold, each with the number of its invariant.
        lost: Accepted tasks without a record.
        stuck: Tasks that never ended.
        doubly_finished: Tasks with more than one outcome.
        double_starts: Starts beyond a task's first, retries by its policy left out.
        counted: As many as the ledger itself has counted.
        recovery: The longest time until a dead worker's task ran again, in seconds; None where none had to.
    """

    broken: list[str] = field(default_factory=list)
    lost: int = 0
    stuck: int = 0
    doubly_finished: int = 0
    double_starts: int = 0
    counted: int = 0
    recovery: float | None = None


class Judge:
    """Looks at one yard, once its faults are over.

    Args:
        site: The deployment.
        client: What was submitted.
        expected: What its tasks may show.
    """

    def __init__(self, site: Site, client: Client, expected: Expected) -> None:
        self.site = site
        self.client = client
        self.expected = expected
        self.verdict = Verdict()
        self.submits = client.settled()

    def judge(self) -> Verdict:
        """Wait until all is over, and check every invariant."""
        records = self.wait()
        lines = self.by_task()
        news = self.news()
        self.check_ended(records)
        self.check_outcomes(records, lines)
        self.check_final_once(records, news)
        self.check_attempts(records, lines, news)
        self.check_doubtful(records, lines)
        self.check_recovery(lines, records)
        if self.expected.clean:
            self.check_empty()
        if self.site.keepers:
            self.check_history(news)
        if self.expected.serving and (missing := self.site.serving(60)):
            self.blame("I8", f"not serving 60 s later: {', '.join(missing)}")
        return self.verdict

    def blame(self, invariant: str, what: str) -> None:
        """Note what does not hold; a few of a kind are enough."""
        same = sum(one.startswith(f"{invariant} ") for one in self.verdict.broken)
        if same < 5:
            self.verdict.broken.append(f"{invariant} {what}")

    # -- what there is --------------------------------------------------------------------------------------------

    def wait(self) -> dict[str, Record]:
        """Wait until every task is final, as long as any of them gets on."""
        waiting = list(self.submits)
        found: dict[str, Record] = {}
        best, since = len(waiting) + 1, time.monotonic()
        while True:
            for record in self.records(waiting):
                found[record.task_id] = record
            waiting = [
                task_id
                for task_id in waiting
                if (task_id in found and not found[task_id].final)
                or (task_id not in found and self.submits[task_id].answer == "accepted")
            ]
            if len(waiting) < best:
                best, since = len(waiting), time.monotonic()
            if not waiting or time.monotonic() - since > STUCK:
                return found
            time.sleep(0.25)

    def records(self, task_ids: Sequence[str]) -> list[Record]:
        """Read records, those that exist."""
        calls = self.site.ledger.calls
        parts = [task_ids[start : start + AT_ONCE] for start in range(0, len(task_ids), AT_ONCE)]
        return [record for part in parts for record in self.site.ledger.run(calls.records(part))]

    def by_task(self) -> dict[str, list[Line]]:
        """Return the journal's lines by task."""
        lines: dict[str, list[Line]] = defaultdict(list)
        for line in self.site.lines():
            lines[line.task_id].append(line)
        return lines

    def news(self) -> dict[str, list[News]]:
        """Return the changes of state that were told, by task; where the stream is trimmed, the history tells."""
        if self.site.keepers and not whole_stream(self.site.ledger):
            with contextlib.suppress(AssertionError):  # the history is looked at later
                await_recorded(self.site.ledger)
            return remembered(self.site.history)
        told: dict[str, list[News]] = defaultdict(list)
        client: Any = self.site.ledger.client
        key, after = self.site.ledger.keys.events, "-"
        while rows := client.xrange(key, after, "+", AT_ONCE):
            for entry, fields in rows:
                one = read_entry(entry, fields)
                if one.event == "state":
                    told[one.task_id].append(one)
            after = f"({rows[-1][0].decode()}"
        return told

    # -- what must hold -------------------------------------------------------------------------------------------

    def check_ended(self, records: Mapping[str, Record]) -> None:
        """I1: accepted means final."""
        accepted = [task_id for task_id, made in self.submits.items() if made.answer == "accepted"]
        lost = [task_id for task_id in accepted if task_id not in records]
        stuck = [record for record in records.values() if not record.final]
        self.verdict.lost, self.verdict.stuck = len(lost), len(stuck)
        for task_id in lost:
            self.blame("I1", f"lost: {task_id} ({self.submits[task_id].name})")
        for record in stuck:
            self.blame("I1", f"stuck: {record.task_id} ({record.text('name')}) is {record.state}")

    def check_outcomes(self, records: Mapping[str, Record], lines: Mapping[str, list[Line]]) -> None:
        """I2: a success has ended in the journal, a failure has a reason that happened."""
        for record in records.values():
            task_id, name = record.task_id, record.text("name") or ""
            if record.state is State.SUCCESS:
                ends = {line.attempt for line in lines[task_id] if line.what == "end"}
                if record.number("attempt") not in ends:
                    self.blame(
                        "I2", f"{task_id} ({name}) succeeded in attempt {record.number('attempt')}, ends: {ends}"
                    )
            elif record.state is State.FAILURE:
                kind = record.failure.kind if record.failure else None
                if kind not in self.expected.failures.get(name, set()):
                    why = record.failure.message if record.failure else "no failure recorded"
                    self.blame("I2", f"{task_id} ({name}) failed: {kind}: {why}")
            elif record.state is State.REVOKED and task_id not in self.expected.revoked:
                self.blame("I2", f"{task_id} ({name}) was revoked, and nobody asked for it")

    def check_final_once(self, records: Mapping[str, Record], news: Mapping[str, list[News]]) -> None:
        """I3 and the second half of I7: one outcome a task, told once, the same in record and news."""
        for record in records.values():
            told = [one.state for one in news[record.task_id]]
            finals = [state for state in told if state in {str(one) for one in FINAL}]
            if len(finals) > 1:
                self.verdict.doubly_finished += 1
                self.blame("I3", f"{record.task_id} ended more than once: {told}")
            elif record.final and (not told or told[-1] != record.state or len(finals) != 1):
                self.blame("I7", f"{record.task_id} is {record.state}, and its news were {told}")

    def check_attempts(
        self, records: Mapping[str, Record], lines: Mapping[str, list[Line]], news: Mapping[str, list[News]]
    ) -> None:
        """I4: a task starts again only where its attempt was cut off, and each such start is counted."""
        for task_id, own in lines.items():
            starts = sorted((line for line in own if line.what == "start"), key=lambda line: line.at)
            numbers = [line.attempt for line in starts]
            if len(set(numbers)) < len(numbers):
                self.blame("I4", f"{task_id} started an attempt twice: {numbers}")
            ends = {line.attempt: line.at for line in own if line.what == "end"}
            retries = len([one for one in news[task_id] if one.state == "RETRY"])
            lost = [one for one in news[task_id] if one.state == "PENDING" and (one.data or {}).get("reason")]
            extra = max(0, len(starts) - 1 - retries)
            self.verdict.double_starts += extra
            self.verdict.counted += len([one for one in lost if one.attempt])
            if extra > len(lost):
                self.blame("I4", f"{task_id} started {numbers}, and only {len(lost)} losses were counted")
            overlapping = [line for line in starts if ends.get(line.attempt, 0) > _next_start(line, starts)]
            if overlapping and not self.expected.overlaps:
                self.blame("I4", f"two attempts of {task_id} ran at once: {numbers}")
            record = records.get(task_id)
            if record is not None and numbers and record.number("attempt") < max(numbers):
                self.blame("I4", f"{task_id} ran attempt {max(numbers)}, recorded are {record.number('attempt')}")
        if self.verdict.double_starts > self.expected.extra_starts:
            starts_, most = self.verdict.double_starts, self.expected.extra_starts
            self.blame("I4", f"{starts_} double starts where {most} can be explained")

    def check_doubtful(self, records: Mapping[str, Record], lines: Mapping[str, list[Line]]) -> None:
        """I5: what was refused never ran; what was unsure has at most one task, which the others have looked at."""
        for task_id, made in self.submits.items():
            if made.answer == "refused" and (lines.get(task_id) or task_id in records):
                self.blame("I5", f"{task_id} was refused ({made.status}), and is {records.get(task_id)}")
            if made.answer == "unsure" and lines.get(task_id) and task_id not in records:
                self.blame("I5", f"{task_id} was unsure, and ran without a record")

    def check_recovery(self, lines: Mapping[str, list[Line]], records: Mapping[str, Record]) -> None:
        """I6: a dead worker's task runs again soon."""
        found = recoveries(self.site.deaths, self.site.outages, lines, records)
        if not found:
            return
        task_id, worker, took = max(found, key=lambda one: one[2])
        self.verdict.recovery = took
        if took > self.expected.recovery:
            self.blame("I6", f"{task_id} of {worker} ran again after {took:.1f} s, not {self.expected.recovery:g} s")

    def check_empty(self) -> None:
        """I7: nothing is left over where nothing is to be done."""
        end = time.monotonic() + EMPTY
        while (left := leftovers(self.site.ledger, len(self.site.crews))) and time.monotonic() < end:
            time.sleep(0.5)
        for one in left:
            self.blame("I7", str(one))

    def check_history(self, news: Mapping[str, Sequence[News]]) -> None:
        """I7: the history agrees with the ledger row by row, and nothing in it counts twice."""
        for one in flaws(self.site.ledger, self.site.history, news):
            self.blame("I7", f"history: {one}")


def _next_start(line: Line, starts: Sequence[Line]) -> float:
    return min((one.at for one in starts if one.attempt > line.attempt), default=float("inf"))

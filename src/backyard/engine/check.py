"""The self-check: a walk over a yard, slice by slice, that puts right what a crash or a lost write can leave.

Each slice is one or two atomic steps of a few hundred records at most, and each judges only what it sees in that step.
So any process may walk at any time, beside live traffic and beside other walks.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

from backyard.core.models import FailureKind
from backyard.engine.message import compose, message_in
from backyard.ledger.call import Call
from backyard.ledger.calls import Calls
from backyard.ledger.check_calls import Finding, Suspect
from backyard.ledger.keys import LANES
from backyard.ledger.record import Record

T = TypeVar("T")

logger = logging.getLogger("backyard.check")

#: Records or entries of one step: 1 to 2 ms of the server's time.
SLICE = 100
#: Limits of one step; of each as many tasks are looked at as make a slice in all.
LIMITS = 4
BOOKS = ("limits", "gates")
#: Kinds of keys that live beside records.
BESIDE = frozenset({"log", "children", "queue", "unique", "parked_of"})
#: Seconds between two slices of the walk that all workers of a yard share.
PAUSE = 0.25
#: Records or entries of a slice, and as how many of them an empty step counts: a small yard is gone through at once.
BUDGET, STEP = 200, 10

#: What can be found, and what is done about it.
KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "unqueued": "tasks that waited without a queue entry: queued again",
        "messageless": "tasks of Celery's own callers whose message is gone: ended as FAILURE",
        "speechless": "tasks whose message is gone",
        "undue": "delayed tasks that nothing would have queued: due again",
        "overdue": "due entries of tasks that are elsewhere: removed",
        "orphaned": "running tasks that no worker holds: queued again, as a lost attempt",
        "unheld": "running tasks without a queue entry; their worker lives, and may finish them",
        "stray": "queue entries of tasks that are elsewhere, final or unknown: removed",
        "stranded": "queue entries that were handed out and that nobody holds: queued again",
        "unclaimed": "queue entries that their tasks did not know: made known",
        "leaseless": "consumers that hold entries without a lease: they get one, which runs out if they are dead",
        "idle": "consumers that hold nothing and have no lease: removed",
        "laneless": "tasks that had forgotten their lane, and would hold up what is due: the normal one now",
        "unparked": "tasks parked at a limit that did not know of them: queued again",
        "slotless": "tasks whose limit did not know of the slot they hold: given it again",
        "slot": "slots of limits held by tasks that are over or elsewhere: given to others",
        "misplaced": "rows of limits whose task does not wait there: removed",
        "bookless": "limits that tasks wait for and nobody looks after, or the other way round: woken",
        "sleeping": "limits with room and tasks that wait for it: woken",
        "miscounted": "tasks that a queue counts as waiting for a limit, or does not, and is wrong: put right",
        "unique": "tasks that are over and still in the way of others like them: no more",
        "endless": "final records that would have been kept for ever: given their end",
        "fading": "living records that would have ended: kept",
        "fragment": "records of which nothing but a few fields is left: removed",
        "unlisted": "records that no list shows: listed",
        "unnamed": "queues that the yard did not know of: made known",
        "leftover": "logs and lists of children whose task is forgotten: removed",
    }
)


@dataclass(slots=True)
class Report:
    """What a walk has seen.

    Args:
        looked: Records, queue entries and the like that were looked at, by area.
        found: What did not fit, by kind.
        repaired: What of it fits now, by kind.
        examples: A few names of each kind.
    """

    looked: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, area: str, looked: int, findings: Sequence[Finding]) -> None:
        """Add what one slice has seen."""
        self.looked[area] += looked
        for one in findings:
            self.found[one.kind] += 1
            self.repaired[one.kind] += one.repaired
            examples = self.examples.setdefault(one.kind, [])
            if len(examples) < MOST_EXAMPLES:
                examples.append(one.name)

    @property
    def clean(self) -> bool:
        """Whether everything fitted."""
        return not self.found


MOST_EXAMPLES = 5


class Runner(Protocol):
    """Sends a call to the ledger."""

    def __call__(self, call: Call[T], /) -> T:
        """Send a call, and return its answer."""


class Walk:
    """A walk over a yard.

    Args:
        run: Sends a call.
        calls: The yard's calls.
        lease: Seconds a lease lasts.
        repair: Whether to put right what does not fit.
    """

    def __init__(self, run: Runner, calls: Calls, lease: float, *, repair: bool = True) -> None:
        self.run = run
        self.calls = calls
        self.lease = lease
        self.repair = repair
        self.report = Report()
        self._areas: Mapping[str, Callable[[Any], Any]] = {
            "consumers": self._consumers,
            "lanes": self._lanes,
            "due": self._due,
            "limits": self._limits,
            "index": self._index,
            "keys": self._keys,
        }

    def all(self) -> Report:
        """Walk once over everything, and return what was seen."""
        place = ""
        while True:
            place = self.step(place)
            if not place:
                return self.report

    def step(self, place: str) -> str:
        """Look at one slice.

        Args:
            place: What the step before returned; empty to begin.

        Returns:
            Where to go on; empty at the end.
        """
        areas = list(self._areas)
        area, cursor = _read_place(place) or (areas[0], None)
        if area not in areas:
            area, cursor = areas[0], None
        after = self._areas[area](cursor)
        if after is None:
            if area == areas[-1]:
                return ""
            area = areas[areas.index(area) + 1]
        return json.dumps([area, after])

    # -- areas: each takes a cursor (None: the beginning) and returns the next (None: the end) ------------------------

    def _consumers(self, done: Any) -> Any:
        """Look at the consumers of one queue; the cursor is the queue's name."""
        queue = self._queue_after(str(done or ""))
        if queue is None:
            return None
        findings = self.run(self.calls.check_consumers(queue, self.lease, SLICE, repair=self.repair))
        self.report.add("queues", 1, findings)
        return queue

    def _lanes(self, cursor: Any) -> Any:
        """Look at some entries of one lane; the cursor is queue, lane and entry."""
        queue, lane, entry = cursor or ("", LANES[-1], "")
        if not entry:
            if lane == LANES[-1]:
                following = self._queue_after(queue)
                if following is None:
                    return None
                queue, lane = following, LANES[0]
            else:
                lane = LANES[LANES.index(lane) + 1]
        after, findings = self.run(self.calls.check_lane(queue, lane, entry, SLICE, repair=self.repair))
        self.report.add("lanes", 1, findings)
        return [queue, lane, after]

    def _due(self, offset: Any) -> Any:
        after, findings = self.run(self.calls.check_due(int(offset or 0), SLICE, repair=self.repair))
        self.report.add("due", max(after, 0) - int(offset or 0) if after >= 0 else 0, findings)
        return None if after < 0 else after

    def _limits(self, cursor: Any) -> Any:
        """Look at limits that somebody waits for; the cursor is a book of them, and a place in it."""
        book, place = cursor or (BOOKS[0], 0)
        after, names = self.run(self.calls.limits(book, place, SLICE))
        self._check_limits(names, "book")
        if after:
            return [book, after]
        if book != BOOKS[-1]:
            return [BOOKS[BOOKS.index(book) + 1], 0]
        return None

    def _check_limits(self, names: Sequence[str], source: str) -> None:
        for start in range(0, len(names), LIMITS):
            some = names[start : start + LIMITS]
            call = self.calls.check_limits(some, SLICE // LIMITS, source, repair=self.repair)
            findings = self.run(call)
            self.report.add("limits", len(some), findings)

    def _index(self, offset: Any) -> Any:
        """Forget index rows whose record's lifetime has ended: that is no finding, but the way of all records."""
        if not self.repair:
            return None
        looked, gone = self.run(self.calls.sweep(int(offset or 0), SLICE))
        self.report.looked["index"] += looked
        return None if looked < SLICE else int(offset or 0) + looked - gone

    def _keys(self, cursor: Any) -> Any:
        """Look at all records, listed or not, and at what lives beside them."""
        after, names = self.run(self.calls.scan(int(cursor or 0), SLICE))
        split = [name.partition(":") for name in names]
        tasks = [rest for kind, _, rest in split if kind == "task"]
        beside = [(kind, rest) for kind, _, rest in split if kind in BESIDE]
        for source in ("parked", "slots"):
            self._check_limits([rest for kind, _, rest in split if kind == source], source)
        for start in range(0, len(tasks), SLICE):
            some = tasks[start : start + SLICE]
            self.report.add("tasks", len(some), self._tasks([Suspect(task_id) for task_id in some]))
        if beside:
            self.report.add("beside", len(beside), self.run(self.calls.check_keys(beside, SLICE, repair=self.repair)))
        return after or None

    # -- steps ------------------------------------------------------------------------------------------------------

    def _tasks(self, suspects: Sequence[Suspect]) -> list[Finding]:
        """Check tasks; those whose message is gone get one composed anew, or end."""
        findings = self.run(self.calls.check_tasks(suspects, self.lease, repair=self.repair))
        mute = [one.name for one in findings if one.kind == "speechless"]
        if not (mute and self.repair):
            return findings
        records = self.run(self.calls.records(mute))
        again = self.run(self.calls.check_tasks([spoken(record) for record in records], self.lease, repair=self.repair))
        return [one for one in findings if one.kind != "speechless"] + again

    def _queue_after(self, name: str) -> str | None:
        return next((queue for queue in self.run(self.calls.queues()) if queue > name), None)


def walk_on(run: Runner, calls: Calls, lease: float) -> None:
    """Look at the next slice of the walk that all workers of a yard share, if it is time for one.

    Args:
        run: Sends a call.
        calls: The yard's calls.
        lease: Seconds a lease lasts.
    """
    place = run(calls.check_turn(PAUSE))
    if place is None:
        return
    walk = Walk(run, calls, lease)
    spent = 0
    while spent < BUDGET:
        before = walk.report.looked.total()
        place = walk.step(place)
        spent += max(STEP, walk.report.looked.total() - before)
        if not place:
            break
    run(calls.check_place(place))
    for kind, number in walk.report.found.items():
        logger.warning("The check found %d %s (%s)", number, KINDS[kind], ", ".join(walk.report.examples[kind]))


def spoken(record: Record) -> Suspect:
    """Return a task with a message composed anew from its record, or with the failure it ends with.

    Args:
        record: The task's record.
    """
    name, given = record.text("name"), record.fields.get("input")
    if record.text("door") is None and name and given:
        lane = record.text("lane")
        message = compose(
            record.task_id, name, given, queue=record.text("queue") or "",
            lane=lane if lane in LANES[1:] else "normal", timelimit=(None, None),
        )  # fmt: skip
        content = message_in(message)
        # The time limits are the definition's own where a message says none.
        losses = record.number("lost") + record.number("crashed")
        content["headers"]["retries"] = max(0, record.number("attempt") - losses)
        return Suspect(record.task_id, json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
    reason = (
        "The queue entry of the task was gone, and with it what Celery's caller had sent. Its worker may have been at "
        "work on it. Submit it again."
    )
    failure = {"kind": FailureKind.ERROR, "type": "MessageLost", "message": reason}
    return Suspect(record.task_id, failure=json.dumps(failure))


def _read_place(place: str) -> tuple[str, Any] | None:
    """Read where a walk goes on; None where that is nowhere."""
    try:
        area, cursor = json.loads(place)
    except (ValueError, TypeError):
        return None
    return str(area), cursor

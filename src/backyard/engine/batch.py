"""A batch: short tasks that one process of the pool runs one after the other, with one round trip for many of them.

What begins and what has ended goes to the ledger together, and the next tasks are begun while those before them run.
A task that takes longer than expected holds nobody up: a second thread says what has ended meanwhile, and gives back
what has not begun.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from celery import signals, states
from celery._state import get_current_app
from celery.app.task import Context
from pydantic_core import from_json

from backyard.engine import soft_limit
from backyard.engine.current import Turn, set_turn
from backyard.engine.delays import waited
from backyard.engine.delivery import Row
from backyard.engine.lean import own_headers, quiet_tracer
from backyard.engine.lookout import PAUSE, leave, lookout
from backyard.engine.message import check_body, message_in
from backyard.engine.telling import Told
from backyard.ledger.ahead import Ahead, insist
from backyard.ledger.call import Call
from backyard.ledger.calls import Calls
from backyard.ledger.ledger import Ledger
from backyard.ledger.task_calls import Moved, Started
from backyard.ledger.together import together

logger = logging.getLogger("backyard.batch")

#: Seconds of a task from which on it is asked how many of them it waited for a processor.
NOTABLE = 0.002
#: Looks that find the same task running before it is long. They are counted, for a machine that lets this process wait
#: lets the looks wait as well: a short task is no long one then.
LONG = 5


@dataclass(slots=True)
class Item:
    """One task of a batch.

    Args:
        task_id: The task's id.
        place: Queue, lane and entry id of its entry.
        request: What Celery calls its request.
        task: The Celery task.
        started: The ledger's answer to its start, once that is here.
    """

    task_id: str
    place: tuple[str, str, str]
    request: dict[str, Any]
    task: Any
    started: Started | None = None


def run_batch(rows: Sequence[Row], hostname: str, at_once: int) -> list[Told]:
    """Run a batch in a process of the pool.

    Args:
        rows: The queue entries, as they were taken.
        hostname: The worker's name.
        at_once: Tasks that are begun together.

    Returns:
        What came of those that were run here.
    """
    app = get_current_app()
    batch = Batch(app, [read_item(app, row, hostname) for row in rows], at_once, quiet=len(rows) > 1)
    set_turn(batch)
    try:
        with soft_limit.absent():
            batch.run()
    finally:
        set_turn(None)
        batch.close()
    return batch.told


def read_item(app: Any, row: Row, hostname: str) -> Item:
    """Make of a queue entry what Celery's worker makes of it for its pool.

    Args:
        app: The yard's Celery app.
        row: The entry; :class:`~backyard.engine.eligible.Eligible` has looked at it, but not into its body.
        hostname: The worker's name.

    Raises:
        MalformedMessageError: Its body is not that of a task.
    """
    queue, lane, entry, text, _ = row
    message = message_in(text)
    headers, properties = message["headers"], message["properties"]
    body = from_json(message["body"])
    check_body(body)
    args, kwargs, embed = body
    information = properties.get("delivery_info") or {}
    properties["delivery_tag"] = f"{queue}/{lane}/{entry}"
    request: dict[str, Any] = {
        **headers, **embed, "args": args, "kwargs": kwargs, "properties": properties, "hostname": hostname,
        "reply_to": properties.get("reply_to"), "correlation_id": properties.get("correlation_id"), "is_eager": False,
        "delivery_info": {
            "exchange": information.get("exchange"), "routing_key": information.get("routing_key"),
            "priority": properties.get("priority"), "redelivered": False,
        },
        "entry": f"{lane}/{entry}",
    }  # fmt: skip
    if request.get("headers") is None:
        request["headers"] = own_headers(request)
    return Item(str(request["id"]), (queue, lane, entry), request, app.tasks[headers["task"]])


class Batch(Turn):
    """Runs the tasks of a batch. Its main thread runs them; a second one looks after it.

    Args:
        app: The yard's Celery app.
        items: The tasks.
        at_once: Tasks that are begun together.
        quiet: Whether a success is no line in the worker's own log.
    """

    def __init__(self, app: Any, items: Iterable[Item], at_once: int, *, quiet: bool) -> None:
        self.app = app
        self.ledger: Ledger = app.services.ledger
        self.told: list[Told] = []
        self.running_since: float | None = None
        #: Seconds that the main thread had waited for a processor when that was asked last; None until then.
        self._waited: float | None = None
        #: The task that the last look found running, by when that began, and how many looks have found it.
        self._found: tuple[float, int] = (0.0, 0)
        self._at_once = at_once
        self._quiet = quiet
        self._waiting = deque(items)
        self._asked: list[Item] = []
        self._begun: deque[Item] = deque()
        self._here: Item | None = None
        self._settled = False
        #: What is to be said of those that have ended: their outcomes, and entries that go.
        self._ended: list[Call[Any]] = []
        self._gone: list[tuple[str, str, str]] = []
        #: What was said of them, as long as nothing shows that it was heard.
        self._said: list[Call[Any]] = []
        self._line = line_to(self.ledger)
        # The thread that looks after the batch takes away what has not begun, and sends what has ended.
        self._lock = threading.RLock()
        self._sending = threading.Lock()

    def run(self) -> None:
        """Run all that the batch has, or has left."""
        alone = len(self._waiting) == 1
        self._hear(self._ask(self._pick()))
        if not alone:  # one task holds nobody up, and the second thread would take turns with it
            lookout().look_after(self)
            self._waited = waited()
        while self._begun:
            asked = self._ask(self._pick()) if self._waiting else None
            while (item := self._next()) is not None:
                self._perform(item)
            if asked is not None:
                self._hear(asked)
        # What the other thread is about to send is sent then.
        with self._sending:
            if self._ended or self._gone:
                self._hear(self._ask([]))

    def close(self) -> None:
        """End, and let what may come too late find nothing."""
        leave()
        self._line.rest()

    # -- as the attempt and the backend see it --------------------------------------------------------------------

    def started(self, task_id: str) -> Started | None:
        """Return the ledger's answer to the start of the task that runs now."""
        return self._here.started if self._here is not None and self._here.task_id == task_id else None

    def settle(self, task_id: str, call: Call[Moved]) -> bool:
        """Take the outcome of the task that runs now on the way; False where it is not one of this batch."""
        item = self._here
        if item is None or item.task_id != task_id:
            return False
        with self._lock:
            self._ended.append(call)
            self._gone.append(item.place)
        self._settled = True
        return True

    # -- begin and end --------------------------------------------------------------------------------------------

    def _pick(self) -> list[Item]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(self._at_once, len(self._waiting)))]

    def _ask(self, items: list[Item]) -> Call[list[Any]]:
        """Send what has ended, and ask to begin others; the answer is not waited for."""
        calls = self.ledger.calls
        with self._lock:
            self._said = self._take_ended()
            self._asked = items
            call = together([*self._said, *starts_of(calls, items)])
        if not self._line.send(call):
            self._say_again()
        return call

    def _take_ended(self) -> list[Call[Any]]:
        """Take what is to be said of those that have ended, outcomes first."""
        ended, gone = self._ended, self._gone
        self._ended, self._gone = [], []
        return [*ended, self.ledger.calls.acknowledge(gone)] if gone else ended

    def _say_again(self) -> None:
        """Let the second thread say what may not have been heard; it may be said twice without harm."""
        with self._lock:
            self._ended[:0] = self._said
            self._said = []

    def _hear(self, call: Call[list[Any]]) -> None:
        """Take in the answer, however long the server is away."""
        answers = self._line.read(call)
        with self._lock:
            asked, self._asked = self._asked, []
            self._said = []
        note_refused(answers)
        starts = [answer for answer in answers if isinstance(answer, Started)]
        # What was given back meanwhile is not here any more; those that are left are the first ones.
        for item, started in zip(asked, starts[-len(asked) :] if asked else (), strict=True):
            item.started = started
            self._begun.append(item)

    def _next(self) -> Item | None:
        with self._lock:
            self._here = self._begun.popleft() if self._begun else None
            self._settled = False
            self.running_since = time.monotonic() if self._here is not None else None
            return self._here

    def send_ended(self) -> None:
        """Say what has ended, however long the server is away; what another thread is about to say is said then."""
        with self._sending:
            with self._lock:
                ended = self._take_ended()
            if ended:
                note_refused(insist(self.ledger, together(ended)))

    def _perform(self, item: Item) -> None:
        """Run one task as Celery runs it."""
        task, request = item.task, item.request
        begun = time.monotonic()
        run = quiet_tracer(self.app, task, request["hostname"]) if self._quiet else task.__trace__
        _, information, *_ = run(item.task_id, request["args"], request["kwargs"], request)
        state = states.SUCCESS if information is None else information.state
        if not self._settled:
            said = let_go(self.ledger, item, state, information and information.retval)
            with self._lock:
                self._ended += said
        self.told.append((item.task_id, task.name, state, self._own(time.monotonic() - begun)))

    def _own(self, seconds: float) -> float:
        """Return the seconds of a task without those in which others had the processor: these make no task long."""
        if seconds < NOTABLE or self._waited is None:
            return seconds
        before, self._waited = self._waited, waited()
        return max(0.0, seconds - (self._waited - before))

    # -- looked after by the second thread ------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Hold nobody up: say what has ended, and give back what has not begun.

        Args:
            now: This moment, by the monotonic clock.
        """
        since = self.running_since
        if since is None or now - since < PAUSE:
            return
        self._found = (since, self._found[1] + 1 if self._found[0] == since else 1)
        long = self._found[1] >= LONG
        if long:
            self._say_again()  # its answer is read after the task that runs, and its connection may have broken
        self.send_ended()
        if long:
            self.give_back()

    def give_back(self) -> None:
        """Give back what has not begun; what the ledger was asked to begin meanwhile does not begin here."""
        with self._sending:
            self._give_back()

    def _give_back(self) -> None:
        with self._lock:
            left = [*self._begun, *self._asked, *self._waiting]
            self._begun.clear()
            self._asked = []
            self._waiting.clear()
        if left:
            logger.info("A task takes longer than those like it did: %d others go back to the queue", len(left))
            insist(self.ledger, self.ledger.calls.give_back([item.place for item in left], "released"))


def starts_of(calls: Calls, items: Sequence[Item]) -> list[Call[Started]]:
    """Return what begins tasks."""
    token = uuid.uuid4().hex
    return [
        calls.start(
            item.task_id, item.request["entry"], f"{token}.{number}", item.request["hostname"], item.task.yard_deaths
        )
        for number, item in enumerate(items)
    ]  # fmt: skip


def let_go(ledger: Ledger, item: Item, state: str, wish: Any) -> list[Call[Any]]:
    """Deal with the entry of a task whose outcome did not come by: it was sent anew, cancelled or refused.

    Args:
        ledger: The yard's ledger.
        item: The task.
        state: What Celery says of it.
        wish: What it asked of Celery.

    Returns:
        What the ledger is still to hear, together with others.
    """
    calls = ledger.calls
    if state != states.REJECTED:
        return [calls.acknowledge([item.place])]
    if wish.requeue:
        insist(ledger, calls.give_back([item.place], "rejected"))
    else:
        # As Celery's worker does it: a task that drops its own message has failed.
        request = Context(item.request, args=item.request["args"], kwargs=item.request["kwargs"])
        item.task.backend.mark_as_failure(item.task_id, wish, request=request)
        signals.task_failure.send(
            sender=item.task, task_id=item.task_id, exception=wish, args=request.args, kwargs=request.kwargs,
            traceback=None, einfo=None,
        )  # fmt: skip
    return []


def note_refused(answers: Iterable[Any]) -> None:
    """Log outcomes that the ledger did not take."""
    for answer in answers:
        if isinstance(answer, Moved) and not answer.applied:
            logger.warning("An outcome was dropped (%s), for the task is at %s", answer.outcome, answer.state)


_line: Ahead | None = None


def line_to(ledger: Ledger) -> Ahead:
    """Return this process's connection for its batches, which is kept from one to the next."""
    global _line  # noqa: PLW0603 - one a process is the point
    if _line is None or not _line.leads_to(ledger):
        _line = Ahead(ledger)
    return _line

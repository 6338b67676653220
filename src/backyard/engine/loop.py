"""One event loop a process, on a thread of its own, for every ``async def`` task of the process."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

from backyard.core.errors import LedgerUnavailableError, TaskCancelledError
from backyard.ledger.ledger import Ledger

T = TypeVar("T")

logger = logging.getLogger("backyard.loop")

#: Seconds a coroutine gets to come to rest after it was told to stop; less than lies between the two time limits.
REST = 3.0
#: Seconds between two looks at which tasks were cancelled.
LOOK = 0.5


class Stoppable(Protocol):
    """A running task, as :class:`~backyard.context.Context` shows it."""

    task_id: str
    attempt: int

    @property
    def cancelled(self) -> bool:
        """Whether it was told to stop; it knows from then on."""


@dataclass(eq=False, slots=True)
class Wait:
    """A thread that waits for a coroutine.

    Args:
        task: The task.
        cancel: Cancels the coroutine.
        again: Seconds after which it is cancelled once more.
        told_at: When it was cancelled last, by the monotonic clock.
    """

    task: Stoppable
    cancel: Callable[[], None]
    again: float
    told_at: float = -math.inf


class LoopThread:
    """An event loop that runs in the background."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="backyard-loop", daemon=True)
        self.thread.start()
        self.watch = Watch()

    def run(self, coroutine: Coroutine[Any, Any, T], task: Stoppable, ledger: Ledger, again: float) -> T:
        """Run a coroutine and wait for what it returns.

        A time limit or a shutdown that interrupts the wait cancels the coroutine, and lets it come to rest first.

        Args:
            coroutine: What to run.
            task: Whose it is; the coroutine is cancelled when its task was told to stop.
            ledger: Who knows whether it was.
            again: Seconds after which a coroutine that was cancelled, and has not ended, is cancelled once more. At
                once would break into its own clean-up; never would leave one that swallows it to run for ever.

        Raises:
            TaskCancelledError: The task was told to stop, and the coroutine did.
        """
        errand = Errand(self.loop, coroutine)
        wait = Wait(task, errand.cancel, max(again, LOOK))
        self.watch.add(wait, ledger)
        try:
            errand.within()
            return errand.outcome()
        except concurrent.futures.CancelledError as stopped:
            if task.cancelled:
                raise TaskCancelledError("The task was cancelled.") from stopped
            raise
        except BaseException:
            errand.cancel()
            if not errand.within(REST):
                _abandon(self)
            raise
        finally:
            self.watch.leave(wait)


class Errand(Generic[T]):
    """A coroutine on a loop, as the thread that waits for it sees it.

    Args:
        loop: The loop, of another thread.
        coroutine: What to run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._task: asyncio.Task[Outcome[T]] | None = None
        # Held until the coroutine has come to rest: the least that a thread can wait for, and a signal interrupts it.
        self._under_way = threading.Lock()
        self._under_way.acquire()
        loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._task = self._loop.create_task(contain(self._coroutine))
        self._task.add_done_callback(lambda _: self._under_way.release())

    def cancel(self) -> None:
        """Cancel the coroutine, from any thread."""
        self._loop.call_soon_threadsafe(lambda: self._task and self._task.cancel())

    def within(self, seconds: float = -1) -> bool:
        """Wait until the coroutine has come to rest, and say whether it has.

        Args:
            seconds: How long to wait; without end where it is less than none.
        """
        there = self._under_way.acquire(timeout=seconds)
        if there:
            self._under_way.release()
        return there

    def outcome(self) -> T:
        """Return what the coroutine returned.

        Raises:
            concurrent.futures.CancelledError: It was cancelled.
            BaseException: What it raised.
        """
        task = cast("asyncio.Task[Outcome[T]]", self._task)
        if task.cancelled():
            raise concurrent.futures.CancelledError("The coroutine was cancelled.")
        value, error = task.result()
        if error is not None:
            raise error
        return cast("T", value)


class Watch:
    """Looks for the tasks of a loop that were told to stop: one question for all of them."""

    def __init__(self) -> None:
        self._waits: set[Wait] = set()
        self._ledger: Ledger | None = None
        self._there = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def add(self, wait: Wait, ledger: Ledger) -> None:
        """Look after a wait from now on.

        Args:
            wait: The wait.
            ledger: Who is asked.
        """
        with self._lock:
            self._waits.add(wait)
            self._ledger = ledger
            self._there.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="backyard-stop", daemon=True)
                self._thread.start()

    def leave(self, wait: Wait) -> None:
        """Look after a wait no more."""
        with self._lock:
            self._waits.discard(wait)
            if not self._waits:
                self._there.clear()

    def _run(self) -> None:
        while True:
            self._there.wait()
            time.sleep(LOOK)
            try:
                self.look(time.monotonic())
            except Exception:
                logger.exception("Looking for cancelled tasks met an error, and goes on")

    def look(self, now: float) -> None:
        """Cancel what was told to stop. A server that is away is asked again at the next look.

        Args:
            now: This moment, by the monotonic clock.
        """
        with self._lock:
            waits, ledger = list(self._waits), self._ledger
        if not waits or ledger is None:
            return
        found: set[str] = set()
        with contextlib.suppress(LedgerUnavailableError):
            found.update(ledger.run(ledger.calls.to_stop((wait.task.task_id, wait.task.attempt) for wait in waits)))
        for wait in waits:
            if wait.task.task_id in found and wait.task.cancelled and now - wait.told_at >= wait.again:
                wait.told_at = now
                wait.cancel()


#: What a coroutine returned, and what it raised that would have ended the loop.
Outcome: TypeAlias = tuple[T | None, BaseException | None]


async def contain(coroutine: Coroutine[Any, Any, T]) -> Outcome[T]:
    """Run a coroutine; what would end the loop, and all the tasks on it, is handed on as a value."""
    try:
        return await coroutine, None
    except (SystemExit, KeyboardInterrupt) as error:
        return None, error


_lock = threading.Lock()
_thread: LoopThread | None = None


def loop_thread() -> LoopThread:
    """Return the loop of this process; a forked process gets one of its own."""
    global _thread  # noqa: PLW0603 - one a process is the point
    with _lock:
        if _thread is None or _thread.pid != os.getpid():
            _thread = LoopThread()
        return _thread


def _abandon(stuck: LoopThread) -> None:
    """Let later tasks have a new loop, where a coroutine would not stop and may hold this one up."""
    global _thread  # noqa: PLW0603 - one a process is the point
    with _lock:
        if _thread is stuck:
            _thread = None

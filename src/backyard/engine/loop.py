"""One event loop a process, on a thread of its own, for every ``async def`` task of the process."""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import os
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar, cast

from backyard.core.errors import TaskCancelledError

T = TypeVar("T")

#: Seconds a coroutine gets to come to rest after it was told to stop; less than lies between the two time limits.
REST = 3.0
#: Seconds between two looks at whether the task was cancelled.
LOOK = 0.5


class LoopThread:
    """An event loop that runs in the background."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="backyard-loop", daemon=True)
        self.thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], cancelled: Callable[[], bool], again: float) -> T:
        """Run a coroutine and wait for what it returns.

        A time limit or a shutdown that interrupts the wait cancels the coroutine, and lets it come to rest first.

        Args:
            coroutine: What to run.
            cancelled: Says whether its task was told to stop; asked now and then.
            again: Seconds after which a coroutine that was cancelled, and has not ended, is cancelled once more. At
                once would break into its own clean-up; never would leave one that swallows it to run for ever.

        Raises:
            TaskCancelledError: The task was told to stop, and the coroutine did.
        """
        outcome: concurrent.futures.Future[Outcome[T]] = concurrent.futures.Future()
        cancel = self._begin(coroutine, outcome)
        try:
            told_at = -math.inf
            while not outcome_within(outcome, LOOK):
                if cancelled() and time.monotonic() - told_at >= max(again, LOOK):
                    told_at = time.monotonic()
                    cancel()
            value, error = outcome.result()
        except concurrent.futures.CancelledError as stopped:
            if cancelled():
                raise TaskCancelledError("The task was cancelled.") from stopped
            raise
        except BaseException:
            cancel()
            if not outcome_within(outcome, REST):
                _abandon(self)
            raise
        if error is not None:
            raise error
        return cast("T", value)

    def _begin(
        self, coroutine: Coroutine[Any, Any, T], outcome: concurrent.futures.Future[Outcome[T]]
    ) -> Callable[[], None]:
        """Start a coroutine, and return what cancels it."""
        begun: list[asyncio.Task[Outcome[T]]] = []

        def begin() -> None:
            begun.append(self.loop.create_task(contain(coroutine)))
            begun[0].add_done_callback(lambda task: hand_over(task, outcome))

        def cancel() -> None:
            begun[0].cancel()

        self.loop.call_soon_threadsafe(begin)
        return lambda: cast("None", self.loop.call_soon_threadsafe(cancel))


#: What a coroutine returned, and what it raised that would have ended the loop.
Outcome: TypeAlias = tuple[T | None, BaseException | None]


async def contain(coroutine: Coroutine[Any, Any, T]) -> Outcome[T]:
    """Run a coroutine; what would end the loop, and all the tasks on it, is handed on as a value."""
    try:
        return await coroutine, None
    except (SystemExit, KeyboardInterrupt) as error:
        return None, error


def hand_over(task: asyncio.Task[T], outcome: concurrent.futures.Future[T]) -> None:
    """Tell the waiting thread how the coroutine ended: only now, when it has come to rest."""
    if task.cancelled():
        outcome.set_exception(concurrent.futures.CancelledError("The coroutine was cancelled."))
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())


def outcome_within(outcome: concurrent.futures.Future[Any], seconds: float) -> bool:
    """Wait for an outcome, and say whether it is there."""
    return bool(concurrent.futures.wait([outcome], timeout=seconds).done)


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

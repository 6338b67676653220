"""A topic: the news of one task as far as this process has it, the same for all who watch the task."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from backyard.core.errors import BackyardError
from backyard.core.news import News
from backyard.core.states import FINAL

#: Events of a task that are kept for its watchers, and bytes of them; a watcher further behind reads the stream again.
BACKLOG = 1_000
KEPT_BYTES = 1_000_000
#: Bytes after which a watcher is given no more events at once.
PORTION = 64_000
_FINAL = frozenset(str(state) for state in FINAL)


class Topic:
    """What is known of one task's news, and who waits for more.

    Args:
        task_id: The task.
    """

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        #: How many watch it, or wait for its end.
        self.users = 0
        #: Whether somebody wants all of its news, and not its end alone.
        self.watched = False
        #: How often the server has said that the channel is heard from then on.
        self.heard = 0
        #: Order of the event after which ``lines`` has every one; None before the stream was read.
        self.since: tuple[int, int] | None = None
        #: Whether nothing follows what ``lines`` has.
        self.over = False
        #: The final event, if it came on the channel.
        self.end: News | None = None
        #: When the server has taken too long to say that the channel is heard.
        self.limit: asyncio.TimerHandle | None = None
        #: Why the task cannot be watched.
        self.error: BackyardError | None = None
        self._lines: deque[News] = deque()
        self._size = 0
        self._last = (0, 0)
        #: Whether ``lines`` has all there is, so that what comes belongs to its end.
        self._current = False
        self._ahead: list[News] = []
        self._waiters: set[asyncio.Future[bool]] = set()

    @property
    def last(self) -> tuple[int, int]:
        """Order of the newest event it has."""
        return self._last

    # -- news comes -----------------------------------------------------------------------------------------------

    def join(self) -> None:
        """Note that the channel is heard from here on: what came before may have been missed."""
        self.heard += 1
        self.rest()
        self._current = False
        self._ahead.clear()
        self.wake()

    def hear(self, news: News) -> None:
        """Take news that came on the channel."""
        if news.final:
            self.end = news
        if self._current:
            self._add([news])
        elif self.watched:
            self._ahead.append(news)
        if news.final or self.watched:  # who waits for the end alone has nothing to look at before
            self.wake()

    def fill(self, news: Iterable[News]) -> None:
        """Take news that was read from the stream."""
        self.since = self.since or (0, 0)
        self._add(news)
        self.wake()

    def catch_up(self, state: str, before: tuple[int, int]) -> None:
        """Note that the stream was read to its end, some time after the channel was heard.

        Args:
            state: The task's state when that began; empty where it had no record.
            before: What :attr:`last` was then.
        """
        ahead, self._ahead = self._ahead, []
        self._current = True
        self.fill(ahead)
        if state in _FINAL or (not state and self._last == before):
            self.over = True
            self.wake()

    def rest(self) -> None:
        """Wait for the server's word no longer."""
        if self.limit is not None:
            self.limit.cancel()
            self.limit = None

    def fail(self, error: BackyardError) -> None:
        """Note that the task cannot be watched."""
        self.error = error
        self.wake()

    def _add(self, news: Iterable[News]) -> None:
        for one in news:
            if one.order <= self._last or self.over:
                continue
            self._last = one.order
            self._lines.append(one)
            self._size += len(one.text)
            self.over = one.final
        while len(self._lines) > BACKLOG or (self._size > KEPT_BYTES and len(self._lines) > 1):
            gone = self._lines.popleft()
            self._size -= len(gone.text)
            self.since = gone.order

    # -- news goes ------------------------------------------------------------------------------------------------

    def after(self, seen: tuple[int, int]) -> list[News]:
        """Return the oldest of the events after one, as many as go out at once."""
        if self._last <= seen:
            return []
        found: list[News] = []
        for one in reversed(self._lines):
            if one.order <= seen:
                break
            found.append(one)
        found.reverse()
        size = 0
        for number, one in enumerate(found, 1):
            size += len(one.text)
            if size >= PORTION:
                return found[:number]
        return found

    async def turn(self, patience: float | None = None) -> bool:
        """Wait until there is something new; False where nothing came in time.

        Args:
            patience: Seconds to wait; None waits without end.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters.add(waiter)
        timer = None if patience is None else loop.call_later(patience, settle, waiter, False)  # noqa: FBT003 - an answer
        try:
            return await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        """Let those who wait look again."""
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            settle(waiter, True)  # noqa: FBT003 - an answer


def settle(waiter: asyncio.Future[bool], answer: bool) -> None:  # noqa: FBT001 - an answer
    """Answer somebody who waits, if he still does."""
    if not waiter.done():
        waiter.set_result(answer)

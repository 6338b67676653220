"""The live feed: one connection a process on which the news of the watched tasks arrives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator

import redis.asyncio
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from backyard.core.errors import LedgerUnavailableError
from backyard.core.news import News, event_order
from backyard.ledger.events import read_published
from backyard.ledger.ledger import Ledger
from backyard.ledger.record import Record

#: Events a slow watcher may have waiting; one that falls further behind reads the stream again.
BACKLOG = 1_000
START = "0-0"
#: Seconds the connection stays open with nobody watching.
LINGER = 5.0
#: Seconds of silence after which the server is asked whether it is still there, and by when it must have answered.
SILENCE = 5.0
_RECONNECT = 0.2
_CLOSING = "The program is closing, and watches no longer. Ask again later."
#: The driver is to hand errors over, not to reconnect by itself while others use the connection.
_AT_ONCE = Retry(NoBackoff(), 0, ())
#: What a connection may break with. A driver that is read and written to while it breaks raises RuntimeError as well.
_BROKEN = (RedisError, OSError, RuntimeError, AttributeError)

logger = logging.getLogger("backyard.feed")


class Watcher:
    """One reader of one task's news.

    Args:
        task_id: The task.
    """

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.queue: asyncio.Queue[News | None] = asyncio.Queue(BACKLOG)

    def offer(self, news: News | None) -> None:
        """Hand over news; None says that some may have been missed, and the stream is to be read again."""
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            news = None
        self.queue.put_nowait(news)


class Feed:
    """Fans the news of tasks out to the watchers of one event loop.

    Watchers subscribe first and read the stream second, and read it again after every break of the connection; events
    are told apart by their ids, so that each arrives once and none is missed.

    Args:
        ledger: The ledger whose news it is.
        linger: Seconds the connection stays open after the last watcher has gone.
    """

    def __init__(self, ledger: Ledger, *, linger: float = LINGER) -> None:
        self.ledger = ledger
        self._linger = linger
        self._watchers: defaultdict[str, set[Watcher]] = defaultdict(set)
        self._pubsub: PubSub | None = None
        self._reader: asyncio.Task[None] | None = None
        self._changed = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._closed = False

    async def watch(self, task_id: str, after: str | None = None) -> AsyncGenerator[News]:
        """Yield a task's news, oldest first, up to its final state. Once begun, it waits for a server that goes away.

        Args:
            task_id: The task.
            after: The id of the last event already seen; None begins with the task's first.

        Raises:
            LedgerUnavailableError: The server is away, or the feed is closed.
            ValueError: ``after`` is no event id.
        """
        seen = event_order(after or START)
        watcher = Watcher(task_id)
        await self._subscribe(watcher)
        try:
            begun, missed = False, True
            while not self._closed:
                if missed:
                    # Read first, then the stream: what a final record has told is on the stream by then.
                    before = seen
                    try:
                        record = await self.ledger.arun(self.ledger.calls.record(task_id))
                        async for news in self._replay(task_id, seen, record):
                            seen = news.order
                            yield news
                            if news.final:
                                return
                    except LedgerUnavailableError:
                        if not begun:
                            raise
                        await asyncio.sleep(_RECONNECT)
                        continue
                    begun = True
                    if (record is None and seen == before) or (record is not None and record.final):
                        return
                item = await watcher.queue.get()
                missed = item is None
                if item is not None and item.order > seen:
                    seen = item.order
                    yield item
                if item is not None and item.final:
                    return
        finally:
            await self._unsubscribe(watcher)

    async def wait(self, task_id: str) -> None:
        """Return when a task is final. Once begun, it waits for a server that goes away.

        Raises:
            LedgerUnavailableError: The server is away, or the feed is closed.
            UnknownTaskError: There is no such task.
        """
        watcher = Watcher(task_id)
        await self._subscribe(watcher)
        try:
            begun = False
            while not self._closed:
                try:
                    if (await self.ledger.arecord(task_id)).final:
                        return
                except LedgerUnavailableError:
                    if not begun:
                        raise
                    await asyncio.sleep(_RECONNECT)
                    continue
                begun = True
                news = await watcher.queue.get()
                while news is not None and not news.final:
                    news = await watcher.queue.get()
            raise LedgerUnavailableError(_CLOSING)
        finally:
            await self._unsubscribe(watcher)

    async def close(self) -> None:
        """End the feed, and what its watchers wait for."""
        self._closed = True
        for task_id in list(self._watchers):
            self._offer(task_id, None)
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
        await self._drop()

    async def _replay(self, task_id: str, seen: tuple[int, int], record: Record | None) -> AsyncIterator[News]:
        after = f"{seen[0]}-{seen[1]}"
        if seen == (0, 0) and record is not None:
            # Nothing of a task is older than the task: begin there, not at the stream's beginning.
            after = f"{max(record.number('created') - 1, 0)}-0"
        while after:
            after, found = await self.ledger.arun(self.ledger.calls.replay(task_id, after))
            for news in found:
                yield news

    async def _subscribe(self, watcher: Watcher) -> None:
        async with self._changed:
            if self._closed:
                raise LedgerUnavailableError(_CLOSING)
            first = not self._watchers[watcher.task_id]
            self._watchers[watcher.task_id].add(watcher)
            self._wanted.set()
            if self._reader is None or self._reader.done():
                self._reader = asyncio.create_task(self._read(), name="backyard-feed")
            elif first and self._pubsub is not None:
                try:
                    async with asyncio.timeout(self.ledger.timeout):
                        await self._pubsub.subscribe(self.ledger.keys.task(watcher.task_id))
                except _BROKEN:
                    await self._drop()  # the reader connects anew, and subscribes for all

    async def _unsubscribe(self, watcher: Watcher) -> None:
        async with self._changed:
            watchers = self._watchers[watcher.task_id]
            watchers.discard(watcher)
            if watchers:
                return
            del self._watchers[watcher.task_id]
            if not self._watchers:
                self._wanted.clear()
            if self._pubsub is not None:
                with contextlib.suppress(*_BROKEN):
                    async with asyncio.timeout(self.ledger.timeout):
                        await self._pubsub.unsubscribe(self.ledger.keys.task(watcher.task_id))

    async def _read(self) -> None:
        """Bring the news for as long as anybody watches."""
        try:
            while await self._anybody():
                try:
                    await self._connect()
                    await self._pump()
                except _BROKEN as error:
                    logger.debug("The feed's connection broke, connecting anew: %r", error)
                    await self._drop()
                    await asyncio.sleep(_RECONNECT)
        finally:
            await self._drop()

    async def _anybody(self) -> bool:
        """Wait a while for a watcher; if none comes, the reader ends, and the next watcher starts another."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._linger):
                await self._wanted.wait()
        async with self._changed:
            if self._watchers:
                return True
            self._reader = None
            await self._drop()
            return False

    async def _connect(self) -> None:
        async with self._changed:
            if self._pubsub is None:
                client = redis.asyncio.Redis.from_url(
                    self.ledger.url, socket_timeout=None, socket_connect_timeout=1, retry=_AT_ONCE, protocol=2
                )
                pubsub = client.pubsub(ignore_subscribe_messages=False)
                self._pubsub = pubsub
                async with asyncio.timeout(self.ledger.timeout):
                    for task_id in self._watchers:
                        await pubsub.subscribe(self.ledger.keys.task(task_id))

    async def _pump(self) -> None:
        pubsub = self._pubsub
        asked = False
        while self._watchers and pubsub is not None and pubsub is self._pubsub:
            message = await pubsub.get_message(ignore_subscribe_messages=False, timeout=SILENCE)
            if message is None and asked:
                raise TimeoutError("The server is silent.")
            if message is None:
                await pubsub.ping()
                asked = True
                continue
            asked = False
            task_id = (message["channel"] or b"").decode().partition(":task:")[2]
            if message["type"] == "subscribe":
                # From here on nothing is missed; what came before is on the stream.
                self._offer(task_id, None)
            elif message["type"] == "message":
                self._offer(task_id, read_published(message["data"]))

    def _offer(self, task_id: str, news: News | None) -> None:
        for watcher in self._watchers.get(task_id, ()):
            watcher.offer(news)

    async def _drop(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with contextlib.suppress(*_BROKEN):
                await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped

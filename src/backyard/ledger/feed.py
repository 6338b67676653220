"""The live feed: the news of the watched tasks, brought once a process and given to all who watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from backyard.core.errors import LedgerUnavailableError
from backyard.core.news import News, event_order
from backyard.ledger.away import shown
from backyard.ledger.channels import RECONNECT, Channels
from backyard.ledger.events import ending_in, read_published
from backyard.ledger.ledger import Ledger
from backyard.ledger.record import Record
from backyard.ledger.topic import Topic

START = (0, 0)
#: Seconds the connection stays open with nobody watching.
LINGER = 5.0
#: Tasks whose past is read from the stream in one go.
TOGETHER = 500
_CLOSING = "The program is closing, and watches no longer. Ask again later."


class Watcher:
    """One reader of one task's news: nothing but how far it is. However slow it reads, nothing piles up for it.

    Args:
        feed: The feed it reads.
        task_id: The task.
        after: The id of the last event already seen; None begins with the task's first.

    Raises:
        LedgerUnavailableError: The feed is closed.
        ValueError: ``after`` is no event id.
    """

    def __init__(self, feed: Feed, task_id: str, after: str | None = None) -> None:
        self._seen = event_order(after) if after else START
        self._feed = feed
        self._topic = feed.enter(task_id, watch=True)
        self._closed = False

    async def more(self, patience: float | None = None) -> Sequence[News] | None:
        """Wait for what comes next; once begun, for a server that goes away as well.

        Args:
            patience: Seconds to wait; None waits without end.

        Returns:
            Events, oldest first; none where nothing came in time; None where nothing will come.

        Raises:
            LedgerUnavailableError: The server is away.
        """
        topic = self._topic
        while not self._closed and not self._feed.closed:
            if topic.error is not None:
                raise topic.error
            if topic.since is not None:
                found = await self._earlier(topic.since) if self._seen < topic.since else topic.after(self._seen)
                if found:
                    self._seen = found[-1].order
                    return found
                if topic.over and self._seen >= topic.since:
                    return None
            if not await topic.turn(patience):
                return ()
        return None

    async def _earlier(self, since: tuple[int, int]) -> Sequence[News]:
        """Read from the stream what the topic has let go."""
        ledger = self._feed.ledger
        after = "{}-{}".format(*self._seen)
        while after and not self._feed.closed:
            try:
                after, found = await ledger.ask(ledger.calls.replay(self._topic.task_id, after))
            except LedgerUnavailableError:
                await asyncio.sleep(RECONNECT)
                continue
            if found:
                return found
        self._seen = since
        return self._topic.after(since)

    def close(self) -> None:
        """Watch no more. Whoever waits for more is told that nothing will come."""
        if not self._closed:
            self._closed = True
            self._topic.wake()
            self._feed.leave(self._topic)


class Feed:
    """Fans the news of tasks out to the watchers of one event loop.

    A task is subscribed to once and its past read once, however many watch it. The channel is heard first and the
    stream read second, and again after every break of the connection; events are told apart by their ids, so that each
    arrives once and none is missed.

    Args:
        ledger: The ledger whose news it is.
        linger: Seconds the connection stays open after the last watcher has gone.
    """

    def __init__(self, ledger: Ledger, *, linger: float = LINGER) -> None:
        self.ledger = ledger
        self.closed = False
        self._topics: dict[str, Topic] = {}
        self._prefix = ledger.keys.task("")
        self._behind: dict[Topic, None] = {}
        self._filling: asyncio.Task[None] | None = None
        connect = ledger.async_client.connection_pool.make_connection
        self._channels = Channels(connect, ledger.timeout, linger, self._hear, self._fail)

    async def watch(self, task_id: str, after: str | None = None) -> AsyncGenerator[News]:
        """Yield a task's news, oldest first, up to its final state. Once begun, it waits for a server that goes away.

        Args:
            task_id: The task.
            after: The id of the last event already seen; None begins with the task's first.

        Raises:
            LedgerUnavailableError: The server is away, or the feed is closed.
            ValueError: ``after`` is no event id.
        """
        watcher = Watcher(self, task_id, after)
        try:
            while (some := await watcher.more()) is not None:
                for news in some:
                    yield news
        finally:
            watcher.close()

    async def outcome(self, task_id: str) -> Record:
        """Wait until a task is final. Once begun, it waits for a server that goes away.

        Returns:
            Its record, or what of it says how the task ended: state, result and failure.

        Raises:
            LedgerUnavailableError: The server is away, or the feed is closed.
            UnknownTaskError: There is no such task.
        """
        topic = self.enter(task_id)
        try:
            looked = 0
            while not self.closed:
                if topic.error is not None:
                    raise topic.error
                if topic.end is not None:
                    return ending_in(topic.end) or await self.ledger.arecord(task_id)
                if topic.heard == looked:
                    await topic.turn()
                    continue
                heard = topic.heard
                try:
                    record = await self.ledger.arecord(task_id)
                except LedgerUnavailableError:
                    if not looked:
                        raise
                    await asyncio.sleep(RECONNECT)
                    continue
                if record.final:
                    return record
                looked = heard
            raise LedgerUnavailableError(_CLOSING)
        finally:
            self.leave(topic)

    async def close(self) -> None:
        """End the feed, and what its watchers wait for."""
        self.closed = True
        for topic in list(self._topics.values()):
            topic.wake()
        filling = self._filling
        if filling is not None:
            filling.cancel()
            await asyncio.wait([filling])
        await self._channels.close()

    # -- topics ---------------------------------------------------------------------------------------------------

    def enter(self, task_id: str, *, watch: bool = False) -> Topic:
        """Return a task's topic for one more who is interested.

        Args:
            task_id: The task.
            watch: Whether all of its news is wanted, and not its end alone.

        Raises:
            LedgerUnavailableError: The feed is closed.
        """
        if self.closed:
            raise LedgerUnavailableError(_CLOSING)
        topic = self._topics.get(task_id)
        if topic is None:
            topic = self._topics[task_id] = Topic(task_id)
            self._channels.join(self._prefix + task_id)
            topic.limit = asyncio.get_running_loop().call_later(
                self.ledger.timeout, self._refuse, [topic], self._away("no answer in time")
            )
        topic.users += 1
        if watch and not topic.watched:
            topic.watched = True
            if topic.heard:
                topic.join()
                self._catch_up(topic)
        return topic

    def leave(self, topic: Topic) -> None:
        """Note that one fewer is interested in a topic."""
        topic.users -= 1
        if not topic.users:
            self._forget(topic)

    def _forget(self, topic: Topic) -> None:
        """Listen for a task no more; those who read its topic still may."""
        topic.rest()
        if self._topics.get(topic.task_id) is topic:
            del self._topics[topic.task_id]
            self._channels.leave(self._prefix + topic.task_id)

    def _hear(self, channel: str, payload: bytes | None) -> None:
        topic = self._topics.get(channel.removeprefix(self._prefix))
        if topic is None:
            return
        try:
            news = None if payload is None else read_published(payload)
        except ValueError:  # a result that is no text; the stream and the record have it
            news = None
        if news is None:
            topic.join()
            if topic.watched:
                self._catch_up(topic)
            return
        topic.hear(news)
        if news.final:
            self._forget(topic)

    def _fail(self, error: Exception) -> None:
        """The server cannot be reached: whoever has just come is told so, and the others wait for it."""
        self._refuse([topic for topic in self._topics.values() if not topic.heard], self._away(error))

    def _away(self, reason: object) -> LedgerUnavailableError:
        return LedgerUnavailableError(
            f"Redis at {shown(self.ledger.url)} does not answer ({reason}). Start it, and repeat."
        )

    def _refuse(self, topics: Sequence[Topic], error: LedgerUnavailableError) -> None:
        for topic in topics:
            topic.fail(error)
            self._forget(topic)

    # -- the past -------------------------------------------------------------------------------------------------

    def _catch_up(self, topic: Topic) -> None:
        self._behind[topic] = None
        if self._filling is None:
            self._filling = asyncio.get_running_loop().create_task(self._fill(), name="backyard-feed-past")

    async def _fill(self) -> None:
        """Read the past of topics from the stream, in one go for all that have come meanwhile."""
        try:
            while self._behind:
                # Those who know nothing begin where the oldest of their tasks does, the others where they were.
                new = next(iter(self._behind)).since is None
                topics = [topic for topic in self._behind if (topic.since is None) == new][:TOGETHER]
                for topic in topics:
                    del self._behind[topic]
                try:
                    await self._read_past(topics, "" if new else "{}-{}".format(*min(one.last for one in topics)))
                except LedgerUnavailableError as error:
                    if new:
                        self._refuse(topics, error)
                        continue
                    await asyncio.sleep(RECONNECT)
                    self._behind.update(dict.fromkeys(topic for topic in topics if topic.users))
        finally:
            self._filling = None

    async def _read_past(self, topics: Sequence[Topic], after: str) -> None:
        begun = {topic.task_id: (topic, topic.heard, topic.last) for topic in topics}
        first: Sequence[str] = ()
        while True:
            after, found, states = await self.ledger.ask(self.ledger.calls.replays(list(begun), after))
            first = first or states
            news: dict[str, list[News]] = {}
            for one in found:
                news.setdefault(one.task_id, []).append(one)
            for task_id, some in news.items():
                begun[task_id][0].fill(some)
            if not after:
                break
        for (topic, heard, last), state in zip(begun.values(), first, strict=True):
            if topic.heard == heard:  # else it is read once more, from here on
                topic.catch_up(state, last)
            if topic.over:
                self._forget(topic)

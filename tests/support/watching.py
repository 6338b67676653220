"""Watchers of tasks in the background, and a loop to run them in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from backyard.core.news import News
from backyard.core.states import Verb
from backyard.ledger.feed import Feed
from support.bench import Bench, listeners

PATIENCE = 30  # seconds after which a wait counts as one that never ends


class Watching:
    """A watcher in the background, and what it has seen."""

    def __init__(
        self, feed: Feed, task_id: str, after: str | None = None, *, gate: asyncio.Event | None = None
    ) -> None:
        self.seen: list[News] = []
        self._grown = asyncio.Condition()
        self._gate = gate
        self.task = asyncio.create_task(self._watch(feed.watch(task_id, after)))

    async def _watch(self, news: AsyncIterator[News]) -> None:
        async for one in news:
            async with self._grown:
                self.seen.append(one)
                self._grown.notify_all()
            if self._gate is not None:
                await self._gate.wait()

    async def has(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE), self._grown:
            await self._grown.wait_for(lambda: len(self.seen) >= number)

    async def end(self) -> list[str]:
        async with asyncio.timeout(PATIENCE):
            await self.task
        return self.ids

    @property
    def ids(self) -> list[str]:
        return [one.event_id for one in self.seen]


def told(bench: Bench, task_id: str) -> list[str]:
    return [one.event_id for one in bench.events(task_id)]


def say(bench: Bench, task_id: str, number: int, attempt: int = 1) -> None:
    for _ in range(number):
        assert bench.move(Verb.PROGRESS, task_id, attempt, event="progress").applied


def drive(bench: Bench, body: Callable[[Feed], Coroutine[Any, Any, None]]) -> None:
    """Run a test's body in an event loop with a feed, and see that nothing of it is left."""

    async def main() -> None:
        feed = Feed(bench.ledger)
        try:
            await body(feed)
            assert not feed._topics, "a watcher was forgotten"
        finally:
            await feed.close()
            await bench.ledger.aclose()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, "a task was left behind"

    asyncio.run(main())


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something that the server alone can tell."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the server sends no sign of it
            await asyncio.sleep(0.005)


def channels(bench: Bench) -> list[str]:
    return list(bench.client.pubsub_channels(f"{bench.keys.prefix}*"))


def subscribers(bench: Bench) -> list[str]:
    """Return the connections that listen since the bench was made: the server is shared with other tests."""
    return [one for one in listeners(bench) if one not in bench.strangers]

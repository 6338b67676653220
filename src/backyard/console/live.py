"""What has changed, told to open pages: names of what to look at anew, at most once a second.

A page keeps one event stream open while it is looked at. It is told ``tasks`` when anything happened to any task,
``task`` when something happened to the one that it shows, and ``clock`` every few seconds, for what changes without an
event: workers, queues, health.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from backyard.core.errors import BackyardError
from backyard.ledger.feed import Watcher

if TYPE_CHECKING:
    from backyard.app import Backyard

#: Seconds between two pushes, at least.
PAUSE = 1.0
#: Pushes between two ``clock``s, and before the first: what somebody has just set off shows soon.
_CLOCK = 5
_FIRST = 2
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Live:
    """Tells the open pages of one process what has changed; however many there are, the server is asked once.

    Args:
        yard: The yard.
    """

    def __init__(self, yard: Backyard) -> None:
        self._yard = yard
        self._changed = asyncio.Condition()
        self._beat = 0
        self._event = ""
        self._watchers = 0
        self._asking: asyncio.Task[None] | None = None

    async def serve(self, request: Request) -> Response:
        """Answer with a stream of names, each an event ``changed``; ``?task=ID`` watches that task as well."""
        return StreamingResponse(
            self._stream(request.query_params.get("task", "")), headers=_HEADERS, media_type="text/event-stream"
        )

    async def _stream(self, task_id: str) -> AsyncGenerator[str]:
        yield "retry: 2000\n\n"
        watched = _Watched(self._yard, task_id) if task_id else None
        feed = self._yard.feed  # when the server ends, it closes this one, and a new one would be made
        self._enter()
        seen_event, seen_beat = self._event, self._beat - (_CLOCK - _FIRST)
        try:
            while not feed.closed:
                async with self._changed:
                    await self._changed.wait()
                names = []
                if self._event != seen_event:
                    names.append("tasks")
                    seen_event = self._event
                if watched is not None and watched.take():
                    names.append("task")
                if self._beat - seen_beat >= _CLOCK:
                    names.append("clock")
                    seen_beat = self._beat
                if names:
                    yield f"event: changed\ndata: {' '.join(names)}\n\n"
        finally:
            self._watchers -= 1
            if watched is not None:
                watched.close()

    def _enter(self) -> None:
        self._watchers += 1
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="backyard-console-live")

    async def _ask(self) -> None:
        """Look for the last event once a second, while anybody watches."""
        ledger = self._yard.ledger
        while self._watchers:
            with contextlib.suppress(BackyardError):  # a server that is away has no news
                self._event = await ledger.arun(ledger.calls.last_event())
            self._beat += 1
            async with self._changed:
                self._changed.notify_all()
            await asyncio.sleep(PAUSE)


class _Watched:
    """The news of one task, of which only matters that there is some."""

    def __init__(self, yard: Backyard, task_id: str) -> None:
        self._news = False
        self._watcher: Watcher | None = None
        self._reading = asyncio.create_task(self._read(yard, task_id), name="backyard-console-task")

    def take(self) -> bool:
        """Return whether there was news since this was asked last."""
        news, self._news = self._news, False
        return news

    async def _read(self, yard: Backyard, task_id: str) -> None:
        with contextlib.suppress(BackyardError):
            self._watcher = Watcher(yard.feed, task_id)
            while await self._watcher.more() is not None:
                self._news = True

    def close(self) -> None:
        """Watch no more."""
        if self._watcher is not None:
            self._watcher.close()
        self._reading.cancel()

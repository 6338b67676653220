"""A task's news: Server-Sent Events with resume, and a WebSocket twin."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.sse import format_sse_event
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from backyard.api.links import base_of
from backyard.api.problems import ProblemRoute, documented
from backyard.core.errors import BackyardError, InvalidInputError
from backyard.core.news import News

if TYPE_CHECKING:
    from backyard.app import Backyard

#: Seconds of silence after which a comment keeps proxies from closing the stream.
HEARTBEAT = 15.0
#: What a WebSocket is closed with: this plus the HTTP status that the same error has.
CLOSE_CODES = 4_000
_DONE, _COME_BACK = 1000, 1012
_REASON = 123  # bytes that fit into a closing frame
_EVENT_ID = re.compile(r"[0-9]{1,18}-[0-9]{1,18}")
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "The task's news, as an event stream", "content": {"text/event-stream": {}}},
    204: {"description": "The task is final, and there is nothing after the last event you have"},
}
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class _EventStream(StreamingResponse):
    """A stream of news, which lets go of the news as soon as the client is gone."""

    def __init__(self, news: AsyncGenerator[News], first: News | None, base: str) -> None:
        self._news = news
        self._pieces = _stream(news, first, base)
        super().__init__(self._pieces, media_type="text/event-stream", headers=_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await super().__call__(scope, receive, noted)
        except asyncio.CancelledError:
            # The server ends, and its grace is over. A stream that ends as it should tells the client to come back,
            # where one that is cut would be an error in both logs.
            if not begun:
                raise
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self._pieces.aclose()
            await self._news.aclose()


def events_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["tasks"])

    @router.get("/tasks/{task_id}/events", response_class=Response, responses={**_STREAM, **documented(404, 422, 503)})
    async def watch_task(
        request: Request,
        task_id: str,
        after: Annotated[str | None, Query(description="Id of the last event you have")] = None,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Watch a task: states, progress, log lines and artifacts, from its first event or after the last you had."""
        seen = _checked(last_event_id or after)
        record = await yard.ledger.arecord(task_id)
        news = yard.feed.watch(task_id, seen)
        first = await anext(news, None) if record.final else None
        if record.final and first is None:
            return Response(status_code=204)  # tells a browser's EventSource not to come back
        return _EventStream(news, first, base_of(yard, request))

    @router.websocket("/tasks/{task_id}/ws")
    async def watch_task_by_websocket(websocket: WebSocket, task_id: str, after: str | None = None) -> None:
        await websocket.accept()
        try:
            seen = _checked(after)
            await yard.ledger.arecord(task_id)
            final = await _send_until_gone(websocket, yard.feed.watch(task_id, seen), base_of(yard, websocket))
            await websocket.close(_DONE if final else _COME_BACK)
        except WebSocketDisconnect:
            pass
        except BackyardError as error:
            reason = error.message.encode()[:_REASON].decode(errors="ignore")
            await websocket.close(CLOSE_CODES + error.status, reason)

    return router


def _checked(after: str | None) -> str | None:
    """Refuse what is no event id, before the stream begins."""
    if after and not _EVENT_ID.fullmatch(after):
        raise InvalidInputError(f"{after[:60]!r} is no event id. Give the id of an event you received.")
    return after or None


async def _stream(news: AsyncGenerator[News], first: News | None, base: str) -> AsyncGenerator[bytes]:
    """Write news as an event stream, with a comment in each long silence."""
    yield b": watching\n\n"
    if first is not None:
        yield _format(first, base)
    coming: asyncio.Task[News | None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(_next(news))
            done, _ = await asyncio.wait([coming], timeout=HEARTBEAT)
            if not done:
                yield b": still here\n\n"
                continue
            item, coming = coming.result(), None
            if item is None:
                return
            yield _format(item, base)
    except BackyardError:
        return  # the ledger is away: the client comes back with Last-Event-ID, and misses nothing
    finally:
        if coming is not None:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError, BackyardError):
                await coming


async def _next(news: AsyncGenerator[News]) -> News | None:
    return await anext(news, None)


def _format(item: News, base: str) -> bytes:
    return format_sse_event(data_str=_linked(item, base).json(), event=item.event, id=item.event_id)


def _linked(item: News, base: str) -> News:
    """Return news of an artifact with a link that leads there; the worker knows nothing of proxies and prefixes."""
    if item.event != "artifact" or not base:
        return item
    return replace(item, data={**item.data, "url": base + item.data["url"]})


async def _send_until_gone(websocket: WebSocket, news: AsyncGenerator[News], base: str) -> bool:
    """Send news until the task is final or the client goes.

    Returns:
        Whether the task is final; if not, the server ends.

    Raises:
        BackyardError: The ledger is away.
        WebSocketDisconnect: The client went.
    """
    sending = asyncio.ensure_future(_send(websocket, news, base))
    gone = asyncio.ensure_future(_until_gone(websocket))
    try:
        await asyncio.wait([sending, gone], return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            raise WebSocketDisconnect
        return sending.result()
    finally:
        sending.cancel()
        gone.cancel()
        await asyncio.gather(sending, gone, return_exceptions=True)
        await news.aclose()


async def _send(websocket: WebSocket, news: AsyncGenerator[News], base: str) -> bool:
    final = False
    async for item in news:
        final = item.final
        await websocket.send_text('{"id":"' + item.event_id + '",' + _linked(item, base).json()[1:])
    return final


async def _until_gone(websocket: WebSocket) -> None:
    """Read on until the client goes; what it says meanwhile means nothing here."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass

"""A task's news: Server-Sent Events with resume, and a WebSocket twin."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from backyard.api.problems import ProblemRoute, documented
from backyard.core.errors import BackyardError, InvalidInputError
from backyard.core.news import News
from backyard.desk.links import base_of
from backyard.ledger.feed import Watcher

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
_END = {"type": "http.response.body", "body": b"", "more_body": False}
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class _EventStream(Response):
    """A stream of news, which lets go of its watcher as soon as the client is gone."""

    media_type = "text/event-stream"

    def __init__(self, watcher: Watcher, first: Sequence[News], base: str) -> None:
        self._watcher = watcher
        self._first = first
        self._base = base
        self.status_code = HTTPStatus.OK
        self.background = None
        self.init_headers(_HEADERS)

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(self._until_gone(receive))
        begun = False
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            begun = True
            await self._write(send)
        except asyncio.CancelledError:
            # The server ends, and its grace is over. A stream that ends as it should tells the client to come back,
            # where one that is cut would be an error in both logs.
            if not begun:
                raise
            await send(_END)
        finally:
            self._watcher.close()
            gone.cancel()

    async def _write(self, send: Send) -> None:
        """Write news as an event stream, with a comment in each long silence."""
        some: Sequence[News] | None = self._first
        text = b": watching\n\n"
        with contextlib.suppress(BackyardError):  # the ledger is away: the client comes back with Last-Event-ID
            while some is not None:
                text += b"".join([_format(item, self._base) for item in some])
                await send({"type": "http.response.body", "body": text, "more_body": True})
                some = await self._watcher.more(HEARTBEAT)
                text = b"" if some else b": still here\n\n"
        await send(_END)

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._watcher.close()


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
        watcher = Watcher(yard.feed, task_id, seen)
        first: Sequence[News] = ()
        try:
            if record.final:
                first = await watcher.more() or ()
        except BaseException:
            watcher.close()
            raise
        if record.final and not first:
            watcher.close()
            return Response(status_code=204)  # tells a browser's EventSource not to come back
        return _EventStream(watcher, first, base_of(yard, request))

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


def _format(item: News, base: str) -> bytes:
    return f"event: {item.event}\nid: {item.event_id}\ndata: {_linked(item, base).text}\n\n".encode()


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
        await websocket.send_text('{"id":"' + item.event_id + '",' + _linked(item, base).text[1:])
    return final


async def _until_gone(websocket: WebSocket) -> None:
    """Read on until the client goes; what it says meanwhile means nothing here."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass

"""The pages of public links: one task's progress, for an end user, without the console around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from backyard.console.security import Guarded
from backyard.console.templating import Templates
from backyard.core.errors import BackyardError, UnknownArtifactError, UnknownTaskError
from backyard.core.models import TaskView
from backyard.core.public_link import PublicLink
from backyard.core.states import FINAL, State
from backyard.desk.downloads import download
from backyard.desk.past import past_view
from backyard.ledger.feed import Watcher

if TYPE_CHECKING:
    from backyard.app import Backyard
    from backyard.console.assets import Assets

#: Seconds between two pushes, at least, and of silence after which a comment keeps proxies from closing the stream.
_PAUSE, _HEARTBEAT = 1.0, 15.0
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
#: What an end user reads in place of a state.
WORDS = {
    State.SCHEDULED: "Planned",
    State.PENDING: "Waiting for its turn",
    State.STARTED: "In progress",
    State.PROGRESS: "In progress",
    State.RETRY: "Trying again soon",
    State.SUCCESS: "Done",
    State.FAILURE: "It did not work",
    State.REVOKED: "Cancelled",
}


class PublicSite:
    """Answers whoever has a link.

    Args:
        yard: The yard.
        templates: What draws the pages.
    """

    def __init__(self, yard: Backyard, templates: Templates) -> None:
        self._yard = yard
        self._templates = templates

    async def show(self, request: Request) -> Response:
        """Show the task's progress."""
        return await self._page(request, embedded=False)

    async def embed(self, request: Request) -> Response:
        """Show the same, to stand in a frame on any page."""
        return await self._page(request, embedded=True)

    async def status(self, request: Request) -> Response:
        """Say how far the task is, as JSON."""
        link = await self._yard.open_link(request.path_params["token"])
        return JSONResponse(told(await self._view(link), link), headers=_HEADERS)

    async def events(self, request: Request) -> Response:
        """Say the same each time that it changes, as Server-Sent Events ``status``; ``end`` is the last."""
        link = await self._yard.open_link(request.path_params["token"])
        headers = {**_HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(link), headers=headers, media_type="text/event-stream")

    async def artifact(self, request: Request) -> Response:
        """Give the bytes of an artifact, where the link lets have them."""
        link = await self._yard.open_link(request.path_params["token"])
        name = request.path_params["name"]
        if not link.artifacts:
            raise UnknownArtifactError("This link does not lead to files.")
        files = self._yard.files
        return await download(
            request,
            lambda: files.stat_artifact(link.task_id, name),
            lambda stored, start, end: files.read_artifact(link.task_id, stored, start, end),
        )

    async def failed(self, request: Request, error: Exception) -> Response:
        """Say why a link shows nothing."""
        assert isinstance(error, BackyardError)
        html = self._draw(request, "public/error.html", title=error.title, text=error.message)
        return HTMLResponse(html, error.status, _HEADERS)

    async def _page(self, request: Request, *, embedded: bool) -> Response:
        token = request.path_params["token"]
        link = await self._yard.open_link(token)
        view = await self._view(link)
        html = self._draw(
            request, "public/show.html", token=token, link=link, task=view, embedded=embedded, word=WORDS[view.state],
            summary=self._summary(view),
        )  # fmt: skip
        return HTMLResponse(html, headers=_HEADERS)

    def _summary(self, view: TaskView) -> str:
        definition = self._yard.definitions.get(view.name)
        return (definition.summary if definition else "") or view.name.replace("_", " ")

    def _draw(self, request: Request, template: str, **context: Any) -> str:
        base = str(request.scope.get("root_path", "")).rstrip("/")
        return self._templates.draw(template, base=base, files=f"{base}/static", **context)

    async def _view(self, link: PublicLink) -> TaskView:
        try:
            return (await self._yard.ledger.arecord(link.task_id)).view()
        except UnknownTaskError:
            return await past_view(self._yard, link.task_id)

    async def _stream(self, link: PublicLink) -> AsyncGenerator[bytes]:
        view = await self._view(link)
        yield b"retry: 2000\n\n" + _event("status", told(view, link))
        watcher = None if view.state in FINAL else Watcher(self._yard.feed, link.task_id)
        if watcher is not None:
            try:
                while (some := await watcher.more(_HEARTBEAT)) is not None:
                    yield _event("status", told(await self._view(link), link)) if some else b": still here\n\n"
                    await asyncio.sleep(_PAUSE)
            finally:
                watcher.close()
            view = await self._view(link)
        if view.state in FINAL:  # else the server ends, and the browser comes back to the next
            yield _event("end", told(view, link))


def told(view: TaskView, link: PublicLink) -> dict[str, Any]:
    """Return what a link tells of its task: never its input, its worker, or why it failed.

    Args:
        view: The task.
        link: The link.
    """
    known: dict[str, Any] = {
        "state": view.state, "final": view.state in FINAL, "word": WORDS[view.state], "progress": view.progress,
        "message": view.progress_message, "date_created": view.date_created.isoformat(),
        "date_done": view.date_done.isoformat() if view.date_done else None, "expires": link.expires.isoformat(),
    }  # fmt: skip
    if link.artifacts:
        known["artifacts"] = [{"name": one.name, "size": one.size} for one in view.artifacts]
    if link.result:
        known["result"] = view.result
    return known


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), to_json(data))


def make_public_site(yard: Backyard, assets: Assets) -> Starlette:
    """Return the pages of a yard's public links.

    Args:
        yard: The yard.
        assets: The files that pages link to.
    """
    site = PublicSite(yard, Templates(assets))
    return Starlette(
        routes=[
            Route("/static/{name}", assets.serve, methods=["GET"]),
            Route("/{token}", site.show, methods=["GET"]),
            Route("/{token}/embed", site.embed, methods=["GET"]),
            Route("/{token}/status", site.status, methods=["GET"]),
            Route("/{token}/events", site.events, methods=["GET"]),
            Route("/{token}/artifacts/{name}", site.artifact, methods=["GET"]),
        ],
        middleware=[Middleware(Guarded, framed="/embed"), Middleware(GZipMiddleware, minimum_size=1_000)],
        exception_handlers={BackyardError: site.failed},
    )

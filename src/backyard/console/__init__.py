"""The HTML door: pages for people, put into any FastAPI app at ``/console``."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from fastapi import FastAPI

    from backyard.app import Backyard

__all__ = ["mount"]

#: Where the console and the pages of public links are, behind the yard's prefix.
CONSOLE, LINKS = "/console", "/t"


class Later:
    """Pages as an ASGI app, built when they are first asked for: an API that nobody looks at needs no templates.

    Args:
        make: The name of the function in :mod:`backyard.console.site` that builds them.
        yard: The yard that they show.
    """

    def __init__(self, make: str, yard: Backyard) -> None:
        self._make = make
        self._yard = yard
        self._app: ASGIApp | None = None
        self._building: asyncio.Task[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self._app is None:
            if self._building is None:
                self._building = asyncio.create_task(asyncio.to_thread(self._build))
            try:
                self._app = await asyncio.shield(self._building)
            except Exception:
                self._building = None  # the next to come tries again
                raise
        await self._app(scope, receive, send)

    def _build(self) -> ASGIApp:
        site = import_module("backyard.console.site")  # templates take 10 MB, and 0.2 s to import
        app: ASGIApp = getattr(site, self._make)(self._yard)
        return app


class _Handed(Response):
    """An answer that an app within the app gives.

    Args:
        app: That app.
        place: Path that it is at, behind the root path.
    """

    def __init__(self, app: ASGIApp, place: str) -> None:
        self._app = app
        self._place = place
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(_within(scope, self._place), receive, send)


def _within(scope: Scope, place: str) -> Scope:
    """Return a scope as an app within the app has to see it: its path begins with its root path.

    An app that itself names what a proxy takes away leaves that out of the path.
    """
    root, path = str(scope.get("root_path", "")).rstrip("/"), scope["path"]
    whole = path if f"{path}/".startswith(f"{root}/") else root + path
    return {**scope, "root_path": root + place, "path": whole}


def mount(yard: Backyard, app: FastAPI, prefix: str = "") -> None:
    """Put a yard's console into an app, and the pages of its public links.

    What guards all routes of the app, such as ``FastAPI(dependencies=[...])``, guards the console; public links are for
    those who have no login.

    Args:
        yard: The yard.
        app: The app.
        prefix: Path that all of the yard's routes begin with; the console is at ``/console`` behind it.
    """
    console, links = Later("make_console", yard), Later("make_public", yard)

    async def show() -> Response:
        return _Handed(console, prefix + CONSOLE)

    app.router.add_api_route(
        prefix + CONSOLE + "/{path:path}", show, methods=["GET", "HEAD", "POST"], include_in_schema=False,
        response_model=None, name="backyard-console",
    )  # fmt: skip

    async def show_link(_: Request) -> Response:
        return _Handed(links, prefix + LINKS)

    app.router.add_route(prefix + LINKS + "/{path:path}", show_link, include_in_schema=False, name="backyard-links")

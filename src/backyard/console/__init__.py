"""The HTML door: pages for people, put into any FastAPI app at ``/console``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from fastapi import FastAPI

    from backyard.app import Backyard

__all__ = ["mount"]

#: Where the console is, behind the yard's prefix.
PATH = "/console"


class Console:
    """The console as an ASGI app, built when it is first asked for: an API that nobody looks at needs no templates.

    Args:
        yard: The yard that it shows.
    """

    def __init__(self, yard: Backyard) -> None:
        self._yard = yard
        self._app: ASGIApp | None = None
        self._building: asyncio.Task[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self._app is None:
            if self._building is None:
                self._building = asyncio.create_task(asyncio.to_thread(self._build))
            self._app = await asyncio.shield(self._building)
        await self._app(scope, receive, send)

    def _build(self) -> ASGIApp:
        from backyard.console.site import make_site  # noqa: PLC0415 - templates take 10 MB, and 0.2 s to import

        return make_site(self._yard)


def mount(yard: Backyard, app: FastAPI, prefix: str = "") -> None:
    """Put a yard's console into an app.

    Args:
        yard: The yard.
        app: The app.
        prefix: Path that all of the yard's routes begin with; the console is at ``/console`` behind it.
    """
    app.router.mount(prefix + PATH, Console(yard), name="backyard-console")

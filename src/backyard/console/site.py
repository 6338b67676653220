"""The console as a whole: its pages, its files, and what it says when something goes wrong."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backyard.console import (
    audit,
    dead_letters,
    definitions,
    errors,
    health,
    operations,
    overview,
    preferences,
    queues,
    schedules,
    share,
    task,
    tasks,
    webhooks,
    workers,
)
from backyard.console.assets import Assets
from backyard.console.live import Live
from backyard.console.page import Address, Page, route_to
from backyard.console.public import make_public_site
from backyard.console.security import Guarded
from backyard.console.templating import Templates
from backyard.core.errors import BackyardError

if TYPE_CHECKING:
    from backyard.app import Backyard

logger = logging.getLogger("backyard.console")

#: All pages and acts, noun by noun.
ADDRESSES: tuple[Address, ...] = (
    *audit.ADDRESSES,
    *dead_letters.ADDRESSES,
    *definitions.ADDRESSES,
    *errors.ADDRESSES,
    *health.ADDRESSES,
    *operations.ADDRESSES,
    *overview.ADDRESSES,
    *preferences.ADDRESSES,
    *queues.ADDRESSES,
    *schedules.ADDRESSES,
    *share.ADDRESSES,
    *task.ADDRESSES,
    *tasks.ADDRESSES,
    *webhooks.ADDRESSES,
    *workers.ADDRESSES,
)


def make_public(yard: Backyard) -> Starlette:
    """Return the pages of a yard's public links.

    Args:
        yard: The yard.
    """
    return make_public_site(yard, Assets())


def make_console(yard: Backyard) -> Starlette:
    """Return the console of a yard.

    Args:
        yard: The yard.
    """
    assets = Assets()
    templates = Templates(assets)
    live = Live(yard)

    def page(request: Request) -> Page:
        return Page(request, yard, templates)

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, BackyardError)
        return page(request).show("error.html", error.status, title=error.title, text=error.message)

    async def missing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == HTTPStatus.NOT_FOUND:
            text = "There is no page at this address. The menu leads to all there are."
            return page(request).show("error.html", error.status_code, title="Nothing here", text=text)
        return page(request).show("error.html", error.status_code, title="This cannot be done", text=str(error.detail))

    async def unknown(request: Request, error: Exception) -> Response:
        logger.error("A page failed: %s", request.url.path, exc_info=error)
        text = "The server's log has the reason."
        return page(request).show("error.html", 500, title="Something went wrong", text=text)

    return Starlette(
        routes=[
            Route("/static/{name}", assets.serve, methods=["GET"]),
            Route("/live", live.serve, methods=["GET"]),
            *(route_to(address, page) for address in ADDRESSES),
        ],
        middleware=[Middleware(Guarded), Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5)],
        exception_handlers={BackyardError: known, HTTPException: missing, Exception: unknown},
    )

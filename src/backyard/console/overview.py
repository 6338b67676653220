"""The page that a stranger sees first: how the yard does, now and lately."""

from __future__ import annotations

from starlette.responses import Response

from backyard.console.page import Page, get


async def show(page: Page) -> Response:
    """Show how the yard does."""
    return page.show("overview/show.html")


ADDRESSES = (get("/", show),)

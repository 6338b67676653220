"""Links to other pages of a list."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.requests import Request

from backyard.desk.links import base_of

if TYPE_CHECKING:
    from backyard.app import Backyard


def page_link(yard: Backyard, request: Request, path: str, cursor: str, rel: str) -> str:
    """Return what leads to another page of what was asked for, for a ``Link`` header.

    Args:
        yard: The yard.
        request: The request for this page.
        path: The route's path.
        cursor: Of the other page.
        rel: ``next`` or ``prev``.
    """
    query = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
    return f'<{base_of(yard, request)}{path}?{urlencode([*query, ("cursor", cursor)])}>; rel="{rel}"'

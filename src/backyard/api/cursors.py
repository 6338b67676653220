"""Cursors: places in a list, written so that nobody builds on what is in them."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.requests import Request

from backyard.core.errors import InvalidInputError
from backyard.desk.links import base_of

if TYPE_CHECKING:
    from backyard.app import Backyard


def page_link(yard: Backyard, request: Request, path: str, place: str, rel: str) -> str:
    """Return what leads to another page of what was asked for, for a ``Link`` header.

    Args:
        yard: The yard.
        request: The request for this page.
        path: The route's path.
        place: Where the other page begins.
        rel: ``next`` or ``prev``.
    """
    cursor = base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")
    query = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
    return f'<{base_of(yard, request)}{path}?{urlencode([*query, ("cursor", cursor)])}>; rel="{rel}"'


def place_in(cursor: str) -> str:
    """Return the place that a cursor stands for; empty where it cannot be one of ours."""
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""


def wrong_cursor() -> InvalidInputError:
    """Return what is said of a cursor that is not one of ours."""
    remedy = "The cursor is not one that this API gave. Follow the Link header, or begin anew."
    return InvalidInputError(remedy, [{"location": ["query", "cursor"], "message": remedy, "type": "cursor"}])

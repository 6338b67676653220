"""Cursors: places in a list, written so that nobody builds on what is in them."""

from __future__ import annotations

import base64
import binascii

from backyard.core.errors import InvalidInputError


def cursor_of(place: str) -> str:
    """Return the cursor that stands for a place."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


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

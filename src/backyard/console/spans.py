"""The ranges that pages offer, and the one that was chosen."""

from __future__ import annotations

from backyard.console.page import Page
from backyard.desk.ranges import RANGES, USUAL

#: What pages offer, each with its words.
_WORDS = {"15m": "15 min", "1h": "1 h", "6h": "6 h", "24h": "24 h", "7d": "7 d", "30d": "30 d"}


def ranges() -> list[tuple[str, str]]:
    """Return the ranges by name, with their words."""
    return list(_WORDS.items())


def chosen_range(page: Page) -> str:
    """Return the name of the range that was chosen; the usual one where it is none."""
    chosen = page.query("range", USUAL)
    return chosen if chosen in RANGES else USUAL

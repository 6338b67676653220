"""Causes of failures, by their fingerprints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backyard.core.errors import UnknownErrorGroupError
from backyard.desk.past import ask
from backyard.history.statistics import errors_of

if TYPE_CHECKING:
    from backyard.app import Backyard


async def group_in(yard: Backyard, fingerprint: str) -> dict[str, Any]:
    """Return a group of failures of the same cause.

    Raises:
        UnknownErrorGroupError: There is none of that fingerprint.
        HistoryUnavailableError: There is no history, or its database is away.
    """
    rows = await ask(yard, lambda past: errors_of(past, fingerprint=fingerprint, limit=1))
    if not rows:
        raise UnknownErrorGroupError(f"No failures have the fingerprint '{fingerprint}'. GET /errors lists them.")
    return rows[0]

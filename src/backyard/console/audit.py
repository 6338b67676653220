"""The page of the audit trail: who did what, when, and to which."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from backyard.console.page import Page, get
from backyard.core.errors import HistoryUnavailableError
from backyard.desk.past import ask
from backyard.history.statistics import audit_of
from backyard.history.tables import event_number

#: Lines on a page.
MOST = 50
FILTERS = ("actor", "verb", "kind", "subject")
#: Where the page of a subject is, by its kind; of others there is none.
_PLACES = {
    "task": "/tasks", "queue": "/queues", "definition": "/definitions", "schedule": "/schedules",
    "worker": "/workers", "webhook": "/webhooks", "delivery": "/webhooks/deliveries", "operation": "/operations",
    "dead letter": "/dead-letters",
}  # fmt: skip


async def show(page: Page) -> Response:
    """List what operators did, newest first."""
    wanted = {name: page.query(name).strip() or None for name in FILTERS}
    before, lines, missing = _place(page.query("before")), list[dict[str, Any]](), ""
    try:
        lines = await ask(page.yard, lambda past: audit_of(past, **wanted, before=before, limit=MOST + 1))
    except HistoryUnavailableError as error:
        missing = error.message
    shown = lines[:MOST]
    return page.show(
        "audit/list.html", lines=shown, missing=missing, wanted=wanted, filtered=any(wanted.values()), place=place_of,
        seen={name: sorted({line[name] for line in shown}) for name in FILTERS[:3]},
        newer=page.same(before=None) if before is not None else None,
        older=page.same(before=shown[-1]["event_id"]) if len(lines) > MOST else None,
    )  # fmt: skip


def place_of(kind: str, subject: str) -> str:
    """Return the path of the page of what something was done to; empty where it has none.

    Args:
        kind: What it is: ``task``, ``queue``, say.
        subject: Which of them.
    """
    place = _PLACES.get(kind)
    return f"{place}/{quote(subject, safe='@:')}" if place else ""


def _place(event_id: str) -> int | None:
    try:
        return event_number(event_id) if event_id else None
    except ValueError:
        return None


ADDRESSES = (get("/audit", show),)

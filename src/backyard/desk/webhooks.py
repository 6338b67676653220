"""The yard's webhooks: made, changed, tried, deleted."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import HTTPConnection

from backyard.core.errors import InvalidInputError
from backyard.core.webhooks import (
    DeliveryView,
    NewWebhook,
    WebhookChange,
    WebhookMade,
    WebhookView,
    checked_url,
    new_secret,
    place_of,
)
from backyard.desk.auditing import audited
from backyard.desk.cursors import cursor_of, place_in, wrong_cursor
from backyard.history import deliveries, webhooks
from backyard.history.database import History

if TYPE_CHECKING:
    from backyard.app import Backyard

T = TypeVar("T")

#: Where a page of the log ends: when a message was made, and its id.
_PLACE = re.compile(r"([0-9]{1,18})\.([A-Za-z0-9_]{1,128})")


async def ask(yard: Backyard, question: Callable[[History], T]) -> T:
    """Ask for webhooks and their messages, in a thread; they are there before any task is recorded.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    return await asyncio.to_thread(question, yard.history)


async def create(yard: Backyard, connection: HTTPConnection, wanted: NewWebhook) -> WebhookMade:
    """Make a webhook; the answer alone has the key of its signatures.

    Args:
        yard: The yard.
        connection: The request; who sent it is the actor.
        wanted: What it is to be.

    Raises:
        InvalidInputError: Its URL cannot be told of tasks.
        HistoryUnavailableError: The database is away.
    """
    wanted = wanted.model_copy(update={"url": _told(yard, wanted.url)})
    webhook_id, secret = f"wh_{uuid.uuid4().hex}", new_secret()
    kept = yard.vault.seal(secret.encode(), place_of(webhook_id)) if yard.vault else secret
    view = await ask(yard, lambda past: webhooks.create_webhook(past, webhook_id, wanted, kept, _now()))
    await audited(yard, connection, "create", "webhook", webhook_id, url=view.url.partition("?")[0])
    return WebhookMade(secret=secret, **view.model_dump())


async def update(
    yard: Backyard, connection: HTTPConnection, webhook_id: str, change: WebhookChange, verb: str = "update"
) -> WebhookView:
    """Change a webhook; messages that wait already go where they were to go.

    Args:
        yard: The yard.
        connection: The request; who sent it is the actor.
        webhook_id: The webhook.
        change: What is to be another.
        verb: What the audit trail calls it.

    Raises:
        InvalidInputError: Its URL cannot be told of tasks.
        UnknownWebhookError: There is none of that id.
        HistoryUnavailableError: The database is away.
    """
    if change.url is not None:
        change = change.model_copy(update={"url": _told(yard, change.url)})
    view = await ask(yard, lambda past: webhooks.update_webhook(past, webhook_id, change))
    named = sorted(change.model_dump(exclude_none=True))
    await audited(yard, connection, verb, "webhook", webhook_id, **({"fields": named} if verb == "update" else {}))
    return view


async def enable(yard: Backyard, connection: HTTPConnection, webhook_id: str, *, enabled: bool = True) -> WebhookView:
    """Let a webhook have messages again, or none any more; see :func:`update`."""
    verb = "enable" if enabled else "disable"
    return await update(yard, connection, webhook_id, WebhookChange(enabled=enabled), verb)


async def delete(yard: Backyard, connection: HTTPConnection, webhook_id: str) -> None:
    """Delete a webhook. What waits to be sent to it is given up; the log stays.

    Raises:
        UnknownWebhookError: There is none of that id.
        HistoryUnavailableError: The database is away.
    """
    await ask(yard, lambda past: webhooks.delete_webhook(past, webhook_id))
    await audited(yard, connection, "delete", "webhook", webhook_id)


async def test(yard: Backyard, connection: HTTPConnection, webhook_id: str) -> DeliveryView:
    """Send a webhook a message that tells of nothing.

    Raises:
        UnknownWebhookError: There is none of that id.
        HistoryUnavailableError: The database is away.
    """
    view = await ask(yard, lambda past: webhooks.webhook_of(past, webhook_id))
    made = await ask(yard, lambda past: deliveries.enqueue_test(past, webhook_id, view.url, _now()))
    await audited(yard, connection, "test", "webhook", webhook_id, delivery_id=made.delivery_id)
    return made


async def redeliver(yard: Backyard, connection: HTTPConnection, delivery_id: str) -> DeliveryView:
    """Send a message again, with the same id, whatever came of it before.

    Raises:
        UnknownDeliveryError: There is none of that id.
        HistoryUnavailableError: The database is away.
    """
    view = await ask(yard, lambda past: deliveries.redeliver(past, delivery_id, _now()))
    await audited(yard, connection, "redeliver", "delivery", delivery_id)
    return view


async def log(yard: Backyard, limit: int, cursor: str, **wanted: Any) -> tuple[list[DeliveryView], str]:
    """Return a page of the log, newest first, and the cursor of the next one; empty at the end.

    Args:
        yard: The yard.
        limit: Messages on a page.
        cursor: Of this page; empty is the first.
        wanted: Which messages, as :func:`~backyard.history.deliveries.deliveries_of` takes it.

    Raises:
        InvalidInputError: The cursor is none of ours.
        HistoryUnavailableError: The database is away.
    """
    found = _PLACE.fullmatch(place_in(cursor))
    if cursor and found is None:
        raise wrong_cursor()
    after = (int(found[1]), found[2]) if found else None
    shown, last = await ask(yard, lambda past: deliveries.deliveries_of(past, limit, after=after, **wanted))
    return shown, cursor_of(f"{last[0]}.{last[1]}") if last else ""


def _now() -> int:
    return int(time.time() * 1000)


def _told(yard: Backyard, url: str) -> str:
    """Return a URL in its normal form.

    Raises:
        InvalidInputError: It cannot be told of tasks; the error names the field.
    """
    try:
        return checked_url(url, private=yard.settings.webhook_private)
    except ValueError as error:
        row = {"location": ["url"], "message": f"{error}.", "type": "webhook"}
        raise InvalidInputError(f"The URL cannot be told of tasks: {error}.", [row]) from None

"""The yard's webhooks: who hears of the tasks of all definitions, or of some."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from backyard.core.errors import UnknownWebhookError
from backyard.core.webhooks import NewWebhook, WebhookChange, WebhookView
from backyard.history.database import History
from backyard.history.tables import webhooks
from backyard.history.views import moment


def create_webhook(history: History, webhook_id: str, wanted: NewWebhook, secret: str, at: int) -> WebhookView:
    """Make a webhook.

    Args:
        history: The history.
        webhook_id: Its id.
        wanted: What it is to be; its URL is checked.
        secret: The key of its signatures, as it is to be kept.
        at: Now, in milliseconds since 1970.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    row = {
        "webhook_id": webhook_id, "created": at, "url": wanted.url, "secret": secret, "enabled": 1,
        "names": json.dumps(wanted.names), "states": json.dumps(wanted.states),
    }  # fmt: skip
    with history.writing() as connection:
        connection.execute(insert(webhooks), [row])
    return _view(row)


def webhooks_of(history: History) -> list[WebhookView]:
    """Return all webhooks, oldest first.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        wanted = select(webhooks).order_by(webhooks.c.created, webhooks.c.webhook_id)
        return [_view(row) for row in connection.execute(wanted).mappings()]


def webhook_of(history: History, webhook_id: str) -> WebhookView:
    """Return a webhook.

    Raises:
        UnknownWebhookError: There is none of that id.
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        found = select(webhooks).where(webhooks.c.webhook_id == webhook_id)
        row = connection.execute(found).mappings().one_or_none()
    if row is None:
        raise _unknown(webhook_id)
    return _view(row)


def update_webhook(history: History, webhook_id: str, change: WebhookChange) -> WebhookView:
    """Change a webhook; messages that wait already go where they were to go.

    Args:
        history: The history.
        webhook_id: The webhook.
        change: What is to be another; its URL is checked.

    Raises:
        UnknownWebhookError: There is none of that id.
        HistoryUnavailableError: The database is away.
    """
    columns: dict[str, Any] = {}
    for name, value in change.model_dump(exclude_none=True).items():
        columns[name] = json.dumps(value) if isinstance(value, list) else int(value) if name == "enabled" else value
    if columns:
        with history.writing() as connection:
            connection.execute(update(webhooks).where(webhooks.c.webhook_id == webhook_id).values(columns))
    return webhook_of(history, webhook_id)


def delete_webhook(history: History, webhook_id: str) -> None:
    """Delete a webhook; messages that wait for it are given up, and the log of the others stays.

    Raises:
        UnknownWebhookError: There is none of that id.
        HistoryUnavailableError: The database is away.
    """
    with history.writing() as connection:
        if connection.execute(delete(webhooks).where(webhooks.c.webhook_id == webhook_id)).rowcount != 1:
            raise _unknown(webhook_id)


def _unknown(webhook_id: str) -> UnknownWebhookError:
    return UnknownWebhookError(f"No webhook has the id '{webhook_id}'. GET /webhooks lists them.")


def _view(row: Mapping[Any, Any]) -> WebhookView:
    return WebhookView(
        webhook_id=row["webhook_id"], url=row["url"], names=json.loads(row["names"]), enabled=bool(row["enabled"]),
        states=json.loads(row["states"]), date_created=moment(row["created"]) or datetime.fromtimestamp(0, UTC),
    )  # fmt: skip

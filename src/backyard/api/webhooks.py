"""``/webhooks``: who hears of the yard's tasks, and the log of what they were told."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from backyard.api.bodies import JSON, described, read_body
from backyard.api.cursors import page_link, place_in, wrong_cursor
from backyard.api.problems import ProblemRoute, documented
from backyard.api.strict_json import check
from backyard.core.definition import invalid_input
from backyard.core.errors import InvalidInputError
from backyard.core.webhooks import (
    DeliveryState,
    DeliveryView,
    NewWebhook,
    WebhookMade,
    WebhookView,
    checked_url,
    new_secret,
    place_of,
)
from backyard.desk.auditing import audited
from backyard.desk.links import base_of
from backyard.history import deliveries, webhooks
from backyard.history.database import History

if TYPE_CHECKING:
    from backyard.app import Backyard

T = TypeVar("T")

MOST = 500
_PLACE = re.compile(r"([0-9]{1,18})\.([A-Za-z0-9_]{1,128})")


class LogQuery(BaseModel):
    """Which page of the log."""

    model_config = ConfigDict(extra="forbid")

    task_id: str | None = Field(default=None, max_length=128, description="Messages that tell of that task")
    webhook_id: str | None = Field(default=None, max_length=128, description="Messages to that webhook")
    state: DeliveryState | None = None
    limit: int = Field(default=50, ge=1, le=MOST)
    cursor: str = Field(default="", max_length=400, description="From the Link header of another page")


def webhooks_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["webhooks"])
    _add_log(router, yard)
    _add_reads(router, yard)
    _add_verbs(router, yard)
    return router


def _add_reads(router: APIRouter, yard: Backyard) -> None:
    @router.get("/webhooks", responses=documented(503))
    async def list_webhooks() -> list[WebhookView]:
        """List the yard's webhooks, oldest first. Definitions and submits may name others."""
        return await _ask(yard, webhooks.webhooks_of)

    @router.post(
        "/webhooks",
        status_code=201,
        response_model=WebhookMade,
        responses=documented(413, 415, 422, 503),
        openapi_extra=described(NewWebhook),
    )
    async def create_webhook(request: Request) -> Response:
        """Make a webhook, which is told when tasks end. The key of its signatures is shown this once."""
        wanted = _read(await read_body(request, yard.settings.max_body), private=yard.settings.webhook_private)
        webhook_id, secret = f"wh_{uuid.uuid4().hex}", new_secret()
        kept = yard.vault.seal(secret.encode(), place_of(webhook_id)) if yard.vault else secret
        view = await _ask(yard, lambda past: webhooks.create_webhook(past, webhook_id, wanted, kept, _now()))
        await audited(yard, request, "create", "webhook", webhook_id, url=view.url.partition("?")[0])
        made = WebhookMade(secret=secret, **view.model_dump())
        place = f"{base_of(yard, request)}/webhooks/{webhook_id}"
        return Response(made.model_dump_json(), HTTPStatus.CREATED, {"Location": place}, JSON)

    @router.get("/webhooks/{webhook_id}", responses=documented(404, 503))
    async def get_webhook(webhook_id: str) -> WebhookView:
        """Look at a webhook of the yard."""
        return await _ask(yard, lambda past: webhooks.webhook_of(past, webhook_id))

    @router.delete("/webhooks/{webhook_id}", status_code=204, responses=documented(404, 503))
    async def delete_webhook(request: Request, webhook_id: str) -> Response:
        """Delete a webhook. What waits to be sent to it is given up; the log stays."""
        await _ask(yard, lambda past: webhooks.delete_webhook(past, webhook_id))
        await audited(yard, request, "delete", "webhook", webhook_id)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _add_verbs(router: APIRouter, yard: Backyard) -> None:
    @router.post("/webhooks/{webhook_id}/test", status_code=202, responses=documented(404, 503))
    async def test_webhook(request: Request, webhook_id: str) -> DeliveryView:
        """Send a webhook a message of the type `ping`; the log tells what came of it."""
        view = await _ask(yard, lambda past: webhooks.webhook_of(past, webhook_id))
        made = await _ask(yard, lambda past: deliveries.enqueue_test(past, webhook_id, view.url, _now()))
        await audited(yard, request, "test", "webhook", webhook_id, delivery_id=made.delivery_id)
        return made

    @router.post("/webhooks/{webhook_id}/enable", responses=documented(404, 503))
    async def enable_webhook(request: Request, webhook_id: str) -> WebhookView:
        """Let a webhook whose receiver was gone have messages again."""
        view = await _ask(yard, lambda past: webhooks.enable_webhook(past, webhook_id))
        await audited(yard, request, "enable", "webhook", webhook_id)
        return view

    @router.post("/webhooks/deliveries/{delivery_id}/redeliver", status_code=202, responses=documented(404, 503))
    async def redeliver(request: Request, delivery_id: str) -> DeliveryView:
        """Send a message again, with the same `webhook-id`, whatever came of it before."""
        view = await _ask(yard, lambda past: deliveries.redeliver(past, delivery_id, _now()))
        await audited(yard, request, "redeliver", "delivery", delivery_id)
        return view


def _add_log(router: APIRouter, yard: Backyard) -> None:
    @router.get("/webhooks/deliveries", response_model=list[DeliveryView], responses=documented(422, 503))
    async def list_deliveries(request: Request, query: Annotated[LogQuery, Query()]) -> Response:
        """List the messages to webhooks, newest first. `Link` leads to the next page."""
        kept, after = query.model_dump(include={"task_id", "webhook_id", "state"}), _read_place(query.cursor)
        shown, last = await _ask(yard, lambda past: deliveries.deliveries_of(past, query.limit, after=after, **kept))
        text = ",".join(view.model_dump_json() for view in shown)
        headers = (
            {}
            if last is None
            else {"Link": page_link(yard, request, "/webhooks/deliveries", f"{last[0]}.{last[1]}", "next")}
        )
        return Response(f"[{text}]", headers=headers, media_type=JSON)


async def _ask(yard: Backyard, question: Callable[[History], T]) -> T:
    return await asyncio.to_thread(question, yard.history)


def _now() -> int:
    return int(time.time() * 1000)


def _read(body: bytes, *, private: bool) -> NewWebhook:
    """Read and check a webhook that is to be made.

    Raises:
        InvalidInputError: It cannot be told; the errors name the field.
    """
    check(body)
    try:
        wanted = NewWebhook.model_validate_json(body)
    except ValidationError as error:
        raise invalid_input("POST /webhooks", error) from None
    try:
        return wanted.model_copy(update={"url": checked_url(wanted.url, private=private)})
    except ValueError as error:
        row = {"location": ["url"], "message": f"{error}.", "type": "webhook"}
        raise InvalidInputError(f"The URL cannot be told of tasks: {error}.", [row]) from None


def _read_place(text: str) -> tuple[int, str] | None:
    """Read a cursor."""
    if not text:
        return None
    found = _PLACE.fullmatch(place_in(text))
    if found is None:
        raise wrong_cursor()
    return int(found[1]), found[2]

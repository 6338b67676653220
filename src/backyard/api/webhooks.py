"""``/webhooks``: who hears of the yard's tasks, and the log of what they were told."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from backyard.api.bodies import JSON, described, read_body
from backyard.api.cursors import page_link
from backyard.api.problems import ProblemRoute, documented
from backyard.api.strict_json import check
from backyard.core.definition import invalid_input
from backyard.core.webhooks import DeliveryState, DeliveryView, NewWebhook, WebhookChange, WebhookMade, WebhookView
from backyard.desk import webhooks as desk
from backyard.desk.links import base_of
from backyard.history import webhooks

if TYPE_CHECKING:
    from backyard.app import Backyard

M = TypeVar("M", NewWebhook, WebhookChange)

MOST = 500


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
        return await desk.ask(yard, webhooks.webhooks_of)

    @router.post(
        "/webhooks",
        status_code=201,
        response_model=WebhookMade,
        responses=documented(413, 415, 422, 503),
        openapi_extra=described(NewWebhook),
    )
    async def create_webhook(request: Request) -> Response:
        """Make a webhook, which is told when tasks end. The key of its signatures is shown this once."""
        made = await desk.create(yard, request, await _read(request, yard, NewWebhook))
        place = f"{base_of(yard, request)}/webhooks/{made.webhook_id}"
        return Response(made.model_dump_json(), HTTPStatus.CREATED, {"Location": place}, JSON)

    @router.get("/webhooks/{webhook_id}", responses=documented(404, 503))
    async def get_webhook(webhook_id: str) -> WebhookView:
        """Look at a webhook of the yard."""
        return await desk.ask(yard, lambda past: webhooks.webhook_of(past, webhook_id))

    @router.patch(
        "/webhooks/{webhook_id}",
        response_model=WebhookView,
        responses=documented(404, 413, 415, 422, 503),
        openapi_extra=described(WebhookChange),
    )
    async def update_webhook(request: Request, webhook_id: str) -> WebhookView:
        """Change the fields that the body has; its key stays, and messages that wait go where they were to go."""
        return await desk.update(yard, request, webhook_id, await _read(request, yard, WebhookChange))

    @router.delete("/webhooks/{webhook_id}", status_code=204, responses=documented(404, 503))
    async def delete_webhook(request: Request, webhook_id: str) -> Response:
        """Delete a webhook. What waits to be sent to it is given up; the log stays."""
        await desk.delete(yard, request, webhook_id)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _add_verbs(router: APIRouter, yard: Backyard) -> None:
    @router.post("/webhooks/{webhook_id}/test", status_code=202, responses=documented(404, 503))
    async def test_webhook(request: Request, webhook_id: str) -> DeliveryView:
        """Send a webhook a message of the type `ping`; the log tells what came of it."""
        return await desk.test(yard, request, webhook_id)

    @router.post("/webhooks/{webhook_id}/enable", responses=documented(404, 503))
    async def enable_webhook(request: Request, webhook_id: str) -> WebhookView:
        """Let a webhook have messages again that was disabled, or whose receiver was gone."""
        return await desk.enable(yard, request, webhook_id)

    @router.post("/webhooks/deliveries/{delivery_id}/redeliver", status_code=202, responses=documented(404, 503))
    async def redeliver(request: Request, delivery_id: str) -> DeliveryView:
        """Send a message again, with the same `webhook-id`, whatever came of it before."""
        return await desk.redeliver(yard, request, delivery_id)


def _add_log(router: APIRouter, yard: Backyard) -> None:
    @router.get("/webhooks/deliveries", response_model=list[DeliveryView], responses=documented(422, 503))
    async def list_deliveries(request: Request, query: Annotated[LogQuery, Query()]) -> Response:
        """List the messages to webhooks, newest first. `Link` leads to the next page."""
        kept = query.model_dump(include={"task_id", "webhook_id", "state"})
        shown, cursor = await desk.log(yard, query.limit, query.cursor, **kept)
        text = ",".join(view.model_dump_json() for view in shown)
        headers = {"Link": page_link(yard, request, "/webhooks/deliveries", cursor, "next")} if cursor else {}
        return Response(f"[{text}]", headers=headers, media_type=JSON)


async def _read(request: Request, yard: Backyard, model: type[M]) -> M:
    """Read what a webhook is to be.

    Raises:
        InvalidInputError: It cannot be so; the errors name the field.
    """
    body = await read_body(request, yard.settings.max_body)
    check(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_input("a webhook", error) from None

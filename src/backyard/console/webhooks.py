"""The pages of webhooks: who is told of tasks, and the log of what they were told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, get_args

from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.responses import Response

from backyard.console.page import Page, get, post
from backyard.console.wording import pretty
from backyard.core.errors import HistoryUnavailableError, InvalidInputError
from backyard.core.webhooks import DeliveryState, DeliveryView, End, NewWebhook, WebhookChange, WebhookView
from backyard.desk import webhooks as desk
from backyard.history import deliveries, webhooks

#: Messages on a page; those that a webhook's row counts.
MOST, LATELY = 50, 20
ENDS = get_args(End)
STATES = get_args(DeliveryState)


@dataclass(frozen=True, slots=True)
class Row:
    """A webhook with its latest messages.

    Args:
        hook: The webhook.
        lately: Its latest messages, newest first.
    """

    hook: WebhookView
    lately: Sequence[DeliveryView]

    @property
    def failed(self) -> int:
        """How many of them were not delivered, at least not yet."""
        return sum(one.state != "delivered" and one.error is not None for one in self.lately)


@dataclass(frozen=True, slots=True)
class Filled:
    """A form as it was filled in.

    Args:
        url: Where to send messages.
        names: Definitions to tell of.
        states: States to tell of.
        wrong: What is wrong with it, by field; under an empty name with all of it.
    """

    url: str = ""
    names: Sequence[str] = ()
    states: Sequence[str] = ()
    wrong: dict[str, str] | None = None


async def show_all(page: Page) -> Response:
    """List the yard's webhooks."""
    rows: list[Row] = []
    missing = ""
    try:
        rows = await desk.ask(
            page.yard,
            lambda past: [
                Row(hook, deliveries.deliveries_of(past, LATELY, webhook_id=hook.webhook_id)[0])
                for hook in webhooks.webhooks_of(past)
            ],
        )
    except HistoryUnavailableError as error:
        missing = error.message
    return page.show("webhooks/list.html", rows=rows, missing=missing)


# -- one webhook --------------------------------------------------------------------------------------------------


async def show(page: Page) -> Response:
    """Show a webhook and its messages."""
    webhook_id = page.param("webhook_id")
    hook = await desk.ask(page.yard, lambda past: webhooks.webhook_of(past, webhook_id))
    return page.show("webhooks/show.html", hook=hook, **await _log(page, webhook_id=webhook_id))


async def show_log(page: Page) -> Response:
    """Show the messages to all webhooks, those that definitions and submits name among them."""
    return page.show("webhooks/log.html", **await _log(page, task_id=page.query("task_id").strip() or None))


async def _log(page: Page, **wanted: str | None) -> dict[str, Any]:
    state = page.query("state") if page.query("state") in STATES else None
    try:
        shown, older = await desk.log(page.yard, MOST, page.query("cursor"), state=state, **wanted)
    except InvalidInputError:
        shown, older = await desk.log(page.yard, MOST, "", state=state, **wanted)
    return {
        "shown": shown, "state": state, "states": STATES, "task_id": wanted.get("task_id") or "",
        "newer": page.same(cursor=None) if page.query("cursor") else None,
        "older": page.same(cursor=older) if older else None,
    }  # fmt: skip


async def show_delivery(page: Page) -> Response:
    """Show one message: what was sent, and what came of it."""
    delivery_id = page.param("delivery_id")
    one, body = await desk.ask(
        page.yard, lambda past: (deliveries.delivery_of(past, delivery_id), deliveries.body_of(past, delivery_id))
    )
    try:
        text = pretty(json.loads(body))
    except ValueError:
        text = body
    return page.show("webhooks/delivery.html", one=one, text=text, size=len(body.encode()))


# -- made and changed ---------------------------------------------------------------------------------------------


def _form(page: Page, filled: Filled, hook: WebhookView | None = None) -> Response:
    known = sorted({*page.yard.definitions, *filled.names})
    status = HTTPStatus.UNPROCESSABLE_ENTITY if filled.wrong else HTTPStatus.OK
    return page.show(
        "webhooks/form.html", status, filled=filled, wrong=filled.wrong or {}, known=known, ends=ENDS, hook=hook,
        private=page.yard.settings.webhook_private,
    )  # fmt: skip


async def ask_new(page: Page) -> Response:
    """Show the form of a new webhook."""
    return _form(page, Filled())


async def create(page: Page) -> Response:
    """Make a webhook; its key is shown now, and never again."""
    form = await page.form()
    try:
        made = await desk.create(page.yard, page.request, NewWebhook.model_validate(_values(form)))
    except (ValidationError, InvalidInputError) as error:
        return _form(page, _filled(form, error))
    return page.show("webhooks/made.html", HTTPStatus.CREATED, hook=made)


async def edit(page: Page) -> Response:
    """Show the form of a webhook that is there."""
    webhook_id = page.param("webhook_id")
    hook = await desk.ask(page.yard, lambda past: webhooks.webhook_of(past, webhook_id))
    return _form(page, Filled(hook.url, hook.names, hook.states), hook)


async def update(page: Page) -> Response:
    """Change a webhook."""
    webhook_id, form = page.param("webhook_id"), await page.form()
    try:
        change = WebhookChange.model_validate(_values(form))
        await desk.update(page.yard, page.request, webhook_id, change)
    except (ValidationError, InvalidInputError) as error:
        hook = await desk.ask(page.yard, lambda past: webhooks.webhook_of(past, webhook_id))
        return _form(page, _filled(form, error), hook)
    return page.done("The webhook was changed. Messages that wait go where they were to go.", _place(page))


def _values(form: FormData) -> dict[str, Any]:
    names = [str(name) for name in form.getlist("names")]
    return {"url": str(form.get("url", "")).strip(), "names": names, "states": [*map(str, form.getlist("states"))]}


def _filled(form: FormData, error: ValidationError | InvalidInputError) -> Filled:
    """Return a form as it was filled in, with what is wrong beside its fields."""
    if isinstance(error, ValidationError):
        rows = [(str(row["loc"][0]), row["msg"].removeprefix("Value error, ")) for row in error.errors()]
    else:
        rows = [(str(row["location"][0]), row["message"]) for row in error.errors] or [("", error.message)]
    return Filled(**_values(form), wrong=dict(rows))


# -- verbs --------------------------------------------------------------------------------------------------------


def _place(page: Page) -> str:
    return page.url(f"/webhooks/{page.param('webhook_id')}")


async def test(page: Page) -> Response:
    """Send a webhook a message that tells of nothing."""
    made = await desk.test(page.yard, page.request, page.param("webhook_id"))
    return page.done(
        "A message of the type ping is on its way; this page tells what comes of it.",
        page.url(f"/webhooks/deliveries/{made.delivery_id}"),
    )


async def enable(page: Page) -> Response:
    """Let a webhook have messages again."""
    await desk.enable(page.yard, page.request, page.param("webhook_id"))
    return page.done("It is told of tasks from now on.", _place(page))


async def disable(page: Page) -> Response:
    """Let a webhook have no messages for now."""
    webhook_id = page.param("webhook_id")
    await desk.enable(page.yard, page.request, webhook_id, enabled=False)
    text = "It is told of nothing until it is enabled. What waited for it is given up when its turn comes."
    return page.done(text, _place(page), undo=("Enable it", f"/webhooks/{webhook_id}/enable"))


async def ask_delete(page: Page) -> Response:
    """Ask whether a webhook is to be deleted."""
    webhook_id = page.param("webhook_id")
    hook = await desk.ask(page.yard, lambda past: webhooks.webhook_of(past, webhook_id))
    return page.show(
        "confirm.html", title="Delete this webhook?", label="Delete it", kind="danger", fields={}, typed="",
        text=f"{hook.url.partition('?')[0]} is told of nothing more, and what waits for it is given up. Its key cannot "
        "be had again. The log stays.", action=f"/webhooks/{webhook_id}/delete", back=_place(page), reason_wanted=False,
    )  # fmt: skip


async def delete(page: Page) -> Response:
    """Delete a webhook."""
    await desk.delete(page.yard, page.request, page.param("webhook_id"))
    return page.done("The webhook was deleted.", page.url("/webhooks"))


async def redeliver(page: Page) -> Response:
    """Send a message again."""
    made = await desk.redeliver(page.yard, page.request, page.param("delivery_id"))
    return page.done("It is sent again now, under the same id.", page.url(f"/webhooks/deliveries/{made.delivery_id}"))


ADDRESSES = (
    get("/webhooks", show_all),
    post("/webhooks", create),
    get("/webhooks/new", ask_new),
    get("/webhooks/deliveries", show_log),
    get("/webhooks/deliveries/{delivery_id}", show_delivery),
    post("/webhooks/deliveries/{delivery_id}/redeliver", redeliver),
    get("/webhooks/{webhook_id}", show),
    get("/webhooks/{webhook_id}/edit", edit),
    post("/webhooks/{webhook_id}/edit", update),
    post("/webhooks/{webhook_id}/test", test),
    post("/webhooks/{webhook_id}/enable", enable),
    post("/webhooks/{webhook_id}/disable", disable),
    get("/webhooks/{webhook_id}/delete", ask_delete),
    post("/webhooks/{webhook_id}/delete", delete),
)

"""The pages of dead letters: what no worker could read or run, put back or deleted; tasks that were quarantined."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.responses import Response

from backyard.console.page import Page, get, post
from backyard.console.wording import pretty
from backyard.core.errors import BackyardError, DeadLetterConflictError, HistoryUnavailableError, UnknownDeadLetterError
from backyard.core.models import TaskView
from backyard.desk import dead_letters as desk
from backyard.desk.past import ask
from backyard.engine.message import message_in
from backyard.history.causes import quarantined_in

#: Letters on a page, and quarantined tasks.
MOST, QUARANTINED = 50, 20
#: Characters of a message that a page shows.
SHOWN = 100_000
#: What is typed before all of them go.
ALL = "delete all"


async def show_all(page: Page) -> Response:
    """List dead letters, and the tasks that were quarantined."""
    before = page.query("before")
    letters, (quarantined, missing) = await asyncio.gather(
        desk.listing(page.yard, MOST + 1, before), _quarantined(page)
    )
    shown = letters[:MOST]
    return page.show(
        "dead_letters/list.html", letters=shown, quarantined=quarantined, missing=missing,
        total=(await page.yard.ledger.arun(page.yard.ledger.calls.burden())).dead,
        newer=page.url("/dead-letters") if before else None,
        older=page.url("/dead-letters", before=shown[-1].letter_id) if len(letters) > MOST else None,
    )  # fmt: skip


async def _quarantined(page: Page) -> tuple[list[TaskView], str]:
    """Return tasks that were quarantined, or why they are not known."""
    try:
        return await ask(page.yard, lambda past: quarantined_in(past, QUARANTINED)), ""
    except HistoryUnavailableError as error:
        return [], error.message


async def show(page: Page) -> Response:
    """Show one dead letter with its message."""
    letter = await desk.read(page.yard, page.param("letter_id"))
    text, readable = await asyncio.to_thread(_readable, letter.message)
    return page.show(
        "dead_letters/show.html", letter=letter, text=text[:SHOWN], cut=len(text) > SHOWN, readable=readable,
        path=f"/dead-letters/{letter.letter_id}",
    )  # fmt: skip


def _readable(message: str) -> tuple[str, bool]:
    """Return a message as it is best read, and whether it is one that kombu could read.

    Args:
        message: The message as text.
    """
    try:
        found: Any = message_in(message.encode())  # any JSON, where it is no message of ours
    except (ValueError, KeyError, TypeError, RecursionError):
        return message, False
    if not isinstance(found, dict):
        return message, False
    return pretty({**found, "body": _body(found.get("body"))}), True


def _body(body: Any) -> Any:
    """Return a body as the values that it holds, where it is JSON within JSON."""
    try:
        return json.loads(body)
    except (ValueError, TypeError, RecursionError):
        return body


async def ask_requeue(page: Page) -> Response:
    """Ask whether a dead letter is to be put back."""
    letter = await desk.read(page.yard, page.param("letter_id"))
    then = "Its task waits again, under the same id." if letter.task_id else "It belongs to no task."
    return page.show(
        "confirm.html", title="Put it back into its queue?", label=f"Put it into {letter.queue}", kind="go", fields={},
        text=f"The message goes to the end of the queue {letter.queue}. {then} If what was wrong is not mended, it is "
        "set aside again.", action=f"/dead-letters/{letter.letter_id}/requeue",
        back=page.url(f"/dead-letters/{letter.letter_id}"), typed="", reason_wanted=False,
    )  # fmt: skip


async def requeue(page: Page) -> Response:
    """Put a dead letter back into its queue."""
    letter_id = page.param("letter_id")
    try:
        queue = await desk.requeue(page.yard, page.request, letter_id)
    except DeadLetterConflictError as error:
        return page.done(error.message, page.url(f"/dead-letters/{letter_id}"), failed=True)
    except UnknownDeadLetterError:
        return _gone(page)
    return page.done(f"It waits in the queue {queue} again.", page.url("/dead-letters"))


def _gone(page: Page) -> Response:
    return page.done("It is not there any more: it was put back or deleted.", page.url("/dead-letters"), failed=True)


async def ask_delete(page: Page) -> Response:
    """Ask whether a dead letter is to be deleted."""
    letter_id = page.param("letter_id")
    return page.show(
        "confirm.html", title="Delete this dead letter?", label="Delete it", kind="danger", fields={}, typed="",
        text="Its message is gone for good. What is known of its task stays.",
        action=f"/dead-letters/{letter_id}/delete", back=page.url(f"/dead-letters/{letter_id}"), reason_wanted=False,
    )  # fmt: skip


async def delete(page: Page) -> Response:
    """Delete a dead letter."""
    try:
        await desk.delete(page.yard, page.request, page.param("letter_id"))
    except UnknownDeadLetterError:
        return _gone(page)
    return page.done("The dead letter was deleted.", page.url("/dead-letters"))


async def ask_delete_all(page: Page) -> Response:
    """Ask whether all dead letters are to be deleted that are there now."""
    newest = await desk.listing(page.yard, 1)
    if not newest:
        return page.done("There are none.", page.url("/dead-letters"))
    count = (await page.yard.ledger.arun(page.yard.ledger.calls.burden())).dead
    what = "1 dead letter" if count == 1 else f"{count:,} dead letters"
    return page.show(
        "confirm.html", title=f"Delete {what}?", label=f"Delete {what}", kind="danger", typed=ALL,
        text="Their messages are gone for good. What is set aside from now on stays.",
        action="/dead-letters/delete", back=page.url("/dead-letters"), fields={"until": newest[0].letter_id},
        reason_wanted=False,
    )  # fmt: skip


async def delete_all(page: Page) -> Response:
    """Delete all dead letters that were there when it was asked."""
    form = await page.form()
    if form.get("typed") != ALL:
        return page.done(f"Nothing was deleted: '{ALL}' was not typed.", page.url("/dead-letters"), failed=True)
    try:
        count = await desk.delete_until(page.yard, page.request, str(form.get("until", "")))
    except BackyardError as error:
        return page.done(error.message, page.url("/dead-letters"), failed=True)
    what = "1 dead letter was" if count == 1 else f"{count:,} dead letters were"
    return page.done(f"{what} deleted.", page.url("/dead-letters"))


ADDRESSES = (
    get("/dead-letters", show_all),
    get("/dead-letters/delete", ask_delete_all),
    post("/dead-letters/delete", delete_all),
    get("/dead-letters/{letter_id}", show),
    get("/dead-letters/{letter_id}/requeue", ask_requeue),
    post("/dead-letters/{letter_id}/requeue", requeue),
    get("/dead-letters/{letter_id}/delete", ask_delete),
    post("/dead-letters/{letter_id}/delete", delete),
)

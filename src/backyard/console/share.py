"""Giving a task's progress to somebody who has no login: the page that makes a public link."""

from __future__ import annotations

from starlette.responses import Response

from backyard.console.page import Page, get, post
from backyard.desk.past import past_record

#: How long a link may be good for, in seconds, and how that reads.
CHOICES = {"3600": "an hour", "86400": "a day", "604800": "a week", "2592000": "30 days", "31536000": "a year"}
USUAL = "604800"


async def offer(page: Page) -> Response:
    """Ask what a link shall show, and for how long."""
    return await _show(page, url=None, expires=USUAL, artifacts=True, result=False)


async def make(page: Page) -> Response:
    """Make a link, and show it."""
    task_id, form = page.param("task_id"), await page.form()
    expires = str(form.get("expires", USUAL))
    shown = {name: name in form for name in ("artifacts", "result")}
    if expires not in CHOICES:
        expires = USUAL
    path = await page.yard.public_link(task_id, expires=int(expires), **shown)
    await page.audited("link", "task", task_id, expires=int(expires), **shown)
    url = str(page.request.base_url.replace(path=page.api + path))
    return await _show(page, url=url, expires=expires, **shown)


async def _show(page: Page, *, url: str | None, expires: str, artifacts: bool, result: bool) -> Response:
    task_id = page.param("task_id")
    record = await past_record(page.yard, task_id)
    return page.show(
        "public/share.html", task_id=task_id, name=record.text("name"), url=url, choices=CHOICES, expires=expires,
        artifacts=artifacts, result=result,
    )  # fmt: skip


ADDRESSES = (get("/tasks/{task_id}/share", offer), post("/tasks/{task_id}/share", make))

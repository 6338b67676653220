"""``/tasks/{task_id}``: one task, and what can be done with it."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json
from starlette.responses import Response

from backyard.console.artifacts import artifacts_shown
from backyard.console.forms.form import InputForm
from backyard.console.forms.receiving import received
from backyard.console.json_tree import json_shown
from backyard.console.page import Page, get, post
from backyard.console.task_family import Tree, tree_of
from backyard.console.task_sight import SHOWN_LINES, Log, Sight, lines_of, sight_of, view_of
from backyard.console.task_snippets import snippets_of
from backyard.console.task_timeline import drawn
from backyard.console.traceback_frames import raised_in
from backyard.console.wording import short
from backyard.core.errors import HistoryUnavailableError, InvalidInputError
from backyard.core.log_line import LEVELS
from backyard.core.models import FailureKind
from backyard.core.rerun import kept_input
from backyard.core.secrets import masked
from backyard.core.task_filter import TaskFilter
from backyard.core.task_query import query_text
from backyard.desk.past import ask, past_record
from backyard.desk.reruns import rerun
from backyard.history.family import family_of
from backyard.ledger.task_calls import LOG_LINES

if TYPE_CHECKING:
    from backyard.core.models import TaskView

#: Relatives on a page, parents apart.
_RELATIVES = 60
#: Parts of the page that are drawn anew by themselves; the rest is not made for them.
_REGIONS = _FAMILY, _ARTIFACTS, _NOW = "task-family", "task-artifacts", "task-now"
#: What each sort of failure means.
_KINDS = {
    FailureKind.ERROR: "The function raised an exception.",
    FailureKind.TIMEOUT: "The attempt ran longer than its definition's timeout allows, and was stopped.",
    FailureKind.WORKER_LOST: "The worker died while it ran the task, as often as its definition allows.",
    FailureKind.QUARANTINED: "The task's process died again and again, so the task is not tried any more.",
    FailureKind.INVALID_RESULT: "The function returned something that is not of the type that it declares.",
    FailureKind.EXPIRED: "The task was not started before it expired.",
}
#: What the answers to a cancel mean.
_OUTCOMES = {
    "cancelled": "The task is cancelled; it never starts.",
    "requested": "The task is told to stop.",
    "final": "The task had ended already, and stays as it is.",
    "unknown": "The task's record is gone, so there is nothing to cancel.",
}


async def show(page: Page) -> Response:
    """Show a task, or the part of its page that is wanted anew."""
    region = page.region if page.region in _REGIONS else ""
    sight = await sight_of(page.yard, page.param("task_id"))
    tree, artifacts, log = await asyncio.gather(
        _tree(page, sight.view) if region in ("", _FAMILY) else _nothing(),
        artifacts_shown(page.yard, sight.view, page.api) if region in ("", _ARTIFACTS) else _nothing(),
        _log(page, sight) if region in ("", _NOW) else _nothing(),
    )
    return page.show(
        "task/show.html", sight=sight, task=sight.view, region=region, timeline=drawn(sight.attempts), kinds=_KINDS,
        known=sight.view.name in page.yard.definitions, tree=tree, artifacts=artifacts, log=log,
        missing=sight.missing or (log.missing if log else ""), search=lambda **wanted: _search(page, wanted),
        **_outcome(sight.view), **(_fixed(page, sight.view) if not region else {"given": None, "snippets": None}),
    )  # fmt: skip


async def _nothing() -> None:
    """Stand for a part of the page that is not wanted."""


def _search(page: Page, wanted: dict[str, Any]) -> str:
    """Return a link to the list of such tasks."""
    return page.url("/tasks", q=query_text(TaskFilter.model_validate(wanted)))


def _fixed(page: Page, view: TaskView) -> dict[str, Any]:
    """Return what of a task never changes."""
    url = page.request.url
    api = f"{url.scheme}://{url.netloc}{page.api}"
    return {
        "given": json_shown(view.input),
        "snippets": snippets_of(view, page.yard.definitions.get(view.name), api),
    }


def _outcome(view: TaskView) -> dict[str, Any]:
    """Return what came of a task, as it is shown."""
    trace = view.failure.traceback if view.failure else None
    return {
        "result": None if view.result is None else json_shown(view.result),
        "raised": raised_in(trace) if trace else [],
    }


async def _tree(page: Page, view: TaskView) -> Tree | None:
    """Return a task's relatives; None where the history cannot be asked."""
    try:
        family = await ask(page.yard, lambda past: family_of(past, view.task_id, view.root_id, _RELATIVES))
    except HistoryUnavailableError:
        return None
    return tree_of(view, family)


async def _log(page: Page, sight: Sight) -> Log:
    """Return the newest lines of a task's log."""
    level = page.query("level")
    level = level if level in LEVELS else LEVELS[0]
    most = LOG_LINES if page.query("lines") == "all" else SHOWN_LINES
    try:
        lines = await lines_of(page.yard, sight.view.task_id, level, most + 1)
    except HistoryUnavailableError as error:
        return Log([], level, missing=error.message)
    return Log(lines[-most:], level, more=len(lines) > most)


# -- cancel ---------------------------------------------------------------------------------------------------------


async def ask_cancel(page: Page) -> Response:
    """Ask whether a task is to be cancelled."""
    view, _ = await view_of(page.yard, page.param("task_id"))
    return page.show("task/cancel.html", task=view, back=page.url(f"/tasks/{view.task_id}"))


async def cancel(page: Page) -> Response:
    """Cancel a task."""
    task_id = page.param("task_id")
    form = await page.form()
    children = bool(form.get("children") or page.query("children"))
    (outcome,) = await page.yard.ledger.acancel([task_id], children=children)
    here = page.url(f"/tasks/{task_id}")
    if outcome in ("final", "unknown"):
        return page.done(_OUTCOMES[outcome], here, failed=outcome == "unknown")
    await page.audited("cancel", "task", task_id, outcome=outcome, children=children)
    undo = ("Submit it again", f"/tasks/{task_id}/rerun") if outcome == "cancelled" else None
    return page.done(_OUTCOMES[outcome], here, undo=undo)


# -- rerun ------------------------------------------------------------------------------------------------------------


async def rerun_it(page: Page) -> Response:
    """Submit a task with the same input, or lead to where it can be corrected."""
    task_id = page.param("task_id")
    try:
        made = await rerun(page.yard, page.request, task_id)
    except InvalidInputError as error:
        text = f"The input fits its definition no more: {error.message} Correct it here."
        return page.done(text, page.url(f"/tasks/{task_id}/edit"), failed=True)
    return _submitted(page, "It is submitted again; this is the new task.", made)


async def edit(page: Page) -> Response:
    """Show a task's input, to be changed and submitted."""
    record = await past_record(page.yard, page.param("task_id"))
    definition = page.yard.definition(record.text("name") or "")
    value = masked(from_json(kept_input(definition, record.fields.get("input"))))
    return _ask(page, InputForm.of(definition, value))


async def edited(page: Page) -> Response:
    """Submit a task with a changed input, or show what is wrong with it."""
    task_id = page.param("task_id")
    record = await past_record(page.yard, task_id)
    form = await received(page, page.yard.definition(record.text("name") or ""))
    if form.redraw:
        return _ask(page, form)
    try:
        made = await rerun(page.yard, page.request, task_id, form.text())
    except InvalidInputError as error:
        form.refuse(error, "input")
        return _ask(page, form, HTTPStatus.UNPROCESSABLE_ENTITY)
    return _submitted(page, "It is submitted with the changed input; this is the new task.", made)


def _ask(page: Page, form: InputForm, status: int = HTTPStatus.OK) -> Response:
    return page.show("task/edit.html", status, task_id=page.param("task_id"), definition=form.definition, form=form)


def _submitted(page: Page, text: str, made: str) -> Response:
    """Lead to a new task.

    Args:
        page: The request.
        text: What was done.
        made: The new task's id.
    """
    undo = (f"Cancel {short(made)}", f"/tasks/{made}/cancel?children=1")
    return page.done(text, page.url(f"/tasks/{made}"), undo=undo)


ADDRESSES = (
    get("/tasks/{task_id}", show),
    get("/tasks/{task_id}/cancel", ask_cancel),
    post("/tasks/{task_id}/cancel", cancel),
    post("/tasks/{task_id}/rerun", rerun_it),
    get("/tasks/{task_id}/edit", edit),
    post("/tasks/{task_id}/edit", edited),
)

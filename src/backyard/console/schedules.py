"""The pages of schedules: what happens by the clock, when next, and how it is made, changed and held back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pydantic_core import from_json
from starlette.responses import Response

from backyard.console.forms.form import InputForm
from backyard.console.forms.receiving import form_data, received
from backyard.console.page import Page, get, post
from backyard.console.schedule_form import (
    INPUT,
    UNITS,
    Errors,
    changes,
    errors_of,
    foresee,
    meant,
    read_together,
    shown,
    typed,
    zones,
)
from backyard.core.errors import BackyardError, HistoryUnavailableError, InvalidInputError, ScheduleConflictError
from backyard.core.models import TaskView
from backyard.core.schedule import CatchUp, Overlap, ScheduleView, parse_spec
from backyard.core.schedule_times import zone_names
from backyard.core.task_filter import TaskFilter
from backyard.desk.past import ask
from backyard.history.queries import page_of, states_of

if TYPE_CHECKING:
    from backyard.app import Backyard

#: Schedules on a page, ticks and tasks that a schedule's page shows.
ROWS, TICKS, LATELY = 50, 10, 10
STATUSES = ("active", "paused", "finished")
OVERLAPS: Mapping[Overlap, str] = {
    "skip": "Drop the new one",
    "queue": "Let the new one wait",
    "cancel_previous": "Cancel the one before",
    "allow": "Let both run",
}
CATCH_UPS: Mapping[CatchUp, str] = {
    "latest": "Run the latest of them",
    "all": "Run all of them",
    "none": "Run none of them",
}


def path_of(schedule_id: str) -> str:
    """Return the path of a schedule's page."""
    return f"/schedules/{schedule_id}"


async def show_all(page: Page) -> Response:
    """List the schedules."""
    found = await page.yard.schedules()
    status, after = page.query("status"), page.query("after")
    rest = [one for one in found if one.schedule_id > after and status in ("", one.status)]
    rows = rest[:ROWS]
    return page.show(
        "schedules/list.html",
        rows=rows,
        states=await _outcomes(page.yard, [one.last_task_id for one in rows if one.last_task_id]),
        counts={name: sum(one.status == name for one in found) for name in STATUSES},
        status=status,
        total=len(found),
        older=page.same(after=rows[-1].schedule_id) if len(rest) > ROWS else None,
        newer=page.same(after=None) if after else None,
        zone_of=ZoneInfo,
    )


async def _outcomes(yard: Backyard, task_ids: Sequence[str]) -> Mapping[str, str]:
    """Return the states of tasks: from the ledger, and of those that it knows no more from the history."""
    if not task_ids:
        return {}
    records = await yard.ledger.arun(yard.ledger.calls.records(task_ids))
    states = {record.task_id: str(record.state) for record in records}
    gone = [task_id for task_id in task_ids if task_id not in states]
    if gone:
        # Without its state, the page still names the task.
        with contextlib.suppress(HistoryUnavailableError):
            states |= await ask(yard, lambda past: states_of(past, gone))
    return states


async def show(page: Page) -> Response:
    """Show one schedule."""
    schedule_id = page.param("schedule_id")
    view, ticks, (lately, missing) = await asyncio.gather(
        page.yard.schedule_view(schedule_id),
        page.yard.schedule_ticks(schedule_id, TICKS),
        _lately(page.yard, schedule_id),
    )
    return page.show(
        "schedules/show.html", view=view, ticks=ticks.ticks, lately=lately, missing=missing, zone_of=ZoneInfo,
        overlaps=OVERLAPS, catch_ups=CATCH_UPS,
    )  # fmt: skip


async def _lately(yard: Backyard, schedule_id: str) -> tuple[list[TaskView], str]:
    """Return the tasks that a schedule made last, or why they are not known."""
    try:
        found = await ask(yard, lambda past: page_of(past, TaskFilter(schedule=schedule_id), LATELY))
    except HistoryUnavailableError as error:
        return [], error.message
    return found.tasks, ""


# -- made and changed ------------------------------------------------------------------------------------------------


async def ask_new(page: Page) -> Response:
    """Show an empty form, or one that a link has filled in."""
    values = typed(page.request.query_params)
    return _form(page, values, _begun(page, values["name"], page.query("input")), None)


def _begun(page: Page, name: str, text: str) -> InputForm | None:
    """Return the form of a definition's input as a link fills it in; None where there is no such definition."""
    definition = page.yard.definitions.get(name)
    if definition is None:
        return None
    if not text:
        return InputForm.of(definition)
    try:
        return InputForm.of(definition, from_json(text))
    except ValueError:
        form = InputForm.of(definition)
        form.as_json, form.json = True, text
        return form


async def create(page: Page) -> Response:
    """Make a schedule of what was typed."""
    values, form, redraw = await _sent(page)
    if redraw:
        return _form(page, values, form, None)
    try:
        fields = read_together(meant, values, form)
        made = await page.yard.create_schedule(parse_spec(fields), values["schedule_id"].strip() or None)
    except BackyardError as error:
        return _refused(page, values, form, None, error)
    await page.audited("create", "schedule", made.schedule_id, name=made.name)
    return page.done(f"The schedule '{made.schedule_id}' is made.", page.url(path_of(made.schedule_id)))


async def _sent(page: Page) -> tuple[dict[str, str], InputForm | None, bool]:
    """Return what was typed, the form of the input, and whether all is only to be drawn anew."""
    data = await form_data(page)
    values = typed(data)
    definition = page.yard.definitions.get(values["name"])
    if definition is None:
        return values, None, "redraw" in data
    if data.get("drawn") != definition.name:
        return values, InputForm.of(definition), True
    form = await received(page, definition)
    return values, form, form.redraw or "redraw" in data


async def ask_edit(page: Page) -> Response:
    """Show the form of a schedule."""
    view = await page.yard.schedule_view(page.param("schedule_id"))
    return _form(page, shown(view), _kept(page, view), view)


def _kept(page: Page, view: ScheduleView) -> InputForm | None:
    definition = page.yard.definitions.get(view.name)
    return None if definition is None else InputForm.of(definition, view.input)


async def edit(page: Page) -> Response:
    """Change what was typed anew."""
    view = await page.yard.schedule_view(page.param("schedule_id"))
    values, form, redraw = await _sent(page)
    if redraw:
        return _form(page, values, form, view)
    to = page.url(path_of(view.schedule_id))
    try:
        new = read_together(lambda typed_in: changes(view, typed_in), values, form)
        before = _kept(page, view)
        if before is not None and new.get(INPUT) == from_json(before.text()):
            del new[INPUT]
        if not new:
            return page.done("Nothing was changed.", to)
        await page.yard.update_schedule(view.schedule_id, **new)
    except BackyardError as error:
        return _refused(page, values, form, view, error)
    await page.audited("update", "schedule", view.schedule_id, fields=sorted(new))
    return page.done(f"Changed: {', '.join(sorted(new))}. To take it back, edit the schedule again.", to)


async def foretell(page: Page) -> Response:
    """Show a form as it was typed, with what it means; nothing is made."""
    data = await form_data(page)
    editing = str(data.get("editing", ""))
    view = await page.yard.schedule_view(editing) if editing else None
    if page.region == "preview":
        return _form(page, typed(data), None, view)
    values, form, _ = await _sent(page)
    return _form(page, values, form, view)


def _refused(
    page: Page, values: Mapping[str, str], form: InputForm | None, view: ScheduleView | None, error: BackyardError
) -> Response:
    """Show a form again, with what is wrong at its fields."""
    if not isinstance(error, InvalidInputError):
        name = "schedule_id" if view is None and isinstance(error, ScheduleConflictError) else ""
        return _form(page, values, form, view, {name: [error.message]}, error.status)
    rows = [row for row in error.errors if list(row["location"][:1]) == [INPUT]]
    if rows and form is not None:
        form.refuse(InvalidInputError(error.message, rows), INPUT)
    return _form(page, values, form, view, errors_of(error), HTTPStatus.UNPROCESSABLE_ENTITY)


def _form(
    page: Page, values: Mapping[str, str], form: InputForm | None, view: ScheduleView | None,
    wrong: Errors | None = None, status: int = HTTPStatus.OK,
) -> Response:  # fmt: skip
    foreseen, unclear = foresee(values, view, datetime.now(UTC))
    return page.show(
        "schedules/form.html",
        status,
        values=values,
        form=form,
        view=view,
        refused=status != HTTPStatus.OK,
        wrong=wrong or {},
        foreseen=foreseen,
        unclear=unclear,
        definitions=sorted(page.yard.definitions.values(), key=lambda one: one.name),
        queues=page.yard.queues(),
        zones=zones(zone_names()),
        units=UNITS,
        zone_of=ZoneInfo,
        overlaps=OVERLAPS,
        catch_ups=CATCH_UPS,
    )


# -- held back, run, deleted -----------------------------------------------------------------------------------------


async def ask_pause(page: Page) -> Response:
    """Ask why a schedule is to rest."""
    view = await page.yard.schedule_view(page.param("schedule_id"))
    path = path_of(view.schedule_id)
    return _asks(
        page, view, action=f"{path}/pause", title=f"Pause {view.schedule_id}?", label="Pause", kind="",
        reason_wanted=True,
        text="It makes no task until it is resumed. What ticks meanwhile is dropped, and counted.",
    )  # fmt: skip


def _asks(page: Page, view: ScheduleView, **context: Any) -> Response:
    back = page.url(path_of(view.schedule_id))
    return page.show("confirm.html", **{"fields": {}, "typed": "", "reason_wanted": False, "back": back, **context})


async def pause(page: Page) -> Response:
    """Let a schedule rest."""
    schedule_id, back = page.param("schedule_id"), _back(page)
    reason = str((await page.form()).get("reason", "")).strip()
    try:
        await page.yard.pause_schedule(schedule_id, reason)
    except (InvalidInputError, ScheduleConflictError) as error:
        return page.done(error.message, back, failed=True)
    await page.audited("pause", "schedule", schedule_id, reason=reason)
    return page.done(
        f"'{schedule_id}' rests until it is resumed.", back, undo=("Resume", f"{path_of(schedule_id)}/resume")
    )


async def resume(page: Page) -> Response:
    """Let a schedule go on with its next tick."""
    schedule_id, back = page.param("schedule_id"), _back(page)
    try:
        await page.yard.resume_schedule(schedule_id)
    except ScheduleConflictError as error:
        return page.done(error.message, back, failed=True)
    await page.audited("resume", "schedule", schedule_id)
    return page.done(f"'{schedule_id}' goes on.", back, undo=("Pause again", f"{path_of(schedule_id)}/pause"))


async def run(page: Page) -> Response:
    """Submit a task of a schedule now."""
    schedule_id = page.param("schedule_id")
    try:
        handle = await page.yard.run_schedule_now(schedule_id)
    except InvalidInputError as error:
        return page.done(f"It cannot run: {error.message}", page.url(path_of(schedule_id)), failed=True)
    await page.audited("run", "schedule", schedule_id, task_id=handle.task_id)
    return page.done(f"A task of '{schedule_id}' is submitted, beside its ticks.", page.url(f"/tasks/{handle.task_id}"))


async def ask_delete(page: Page) -> Response:
    """Ask whether a schedule is to be deleted."""
    view = await page.yard.schedule_view(page.param("schedule_id"))
    return _asks(
        page, view, action=f"{path_of(view.schedule_id)}/delete", title=f"Delete {view.schedule_id}?", label="Delete",
        kind="danger", typed=view.schedule_id,
        text="It makes no more tasks; those that it made stay. This cannot be undone: it would have to be made anew. "
        "To hold it back for a while, pause it.",
    )  # fmt: skip


async def delete(page: Page) -> Response:
    """Delete a schedule whose id was typed."""
    schedule_id = page.param("schedule_id")
    if str((await page.form()).get("typed", "")).strip() != schedule_id:
        text = f"Nothing was deleted: what was typed is not '{schedule_id}'."
        return page.done(text, page.url(f"{path_of(schedule_id)}/delete"), failed=True)
    try:
        await page.yard.delete_schedule(schedule_id)
    except ScheduleConflictError as error:
        return page.done(error.message, page.url(path_of(schedule_id)), failed=True)
    await page.audited("delete", "schedule", schedule_id)
    return page.done(f"The schedule '{schedule_id}' is deleted. Its tasks stay.", page.url("/schedules"))


def _back(page: Page) -> str:
    """Return the link to the page that a button stood on, and to the schedule's where that asked first."""
    own = page.url(path_of(page.param("schedule_id")))
    came = page.back(own)
    return own if came.startswith(f"{own}/") else came


ADDRESSES = (
    get("/schedules", show_all),
    get("/schedules/new", ask_new),
    post("/schedules/new", create),
    post("/schedules/preview", foretell),
    get("/schedules/{schedule_id}", show),
    get("/schedules/{schedule_id}/edit", ask_edit),
    post("/schedules/{schedule_id}/edit", edit),
    get("/schedules/{schedule_id}/pause", ask_pause),
    post("/schedules/{schedule_id}/pause", pause),
    post("/schedules/{schedule_id}/resume", resume),
    post("/schedules/{schedule_id}/run", run),
    get("/schedules/{schedule_id}/delete", ask_delete),
    post("/schedules/{schedule_id}/delete", delete),
)

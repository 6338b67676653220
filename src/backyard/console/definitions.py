"""The pages of definitions: the catalogue, and one with its form, policy and numbers."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from pydantic_core import from_json
from starlette.responses import RedirectResponse, Response

from backyard.console.definition_sight import DAY, Numbers, Tasks, catalogue_of, numbers_of, paused_in, tasks_of
from backyard.console.forms.form import InputForm, input_of
from backyard.console.forms.options import OptionsForm
from backyard.console.forms.receiving import form_data, received
from backyard.console.forms.words import rows_of
from backyard.console.page import Page, get, post
from backyard.console.policy_words import rules_of
from backyard.console.spans import ranges
from backyard.core.definition import Definition
from backyard.core.errors import BackyardError, InvalidInputError, LedgerUnavailableError
from backyard.core.states import State
from backyard.core.task_filter import TaskFilter
from backyard.core.task_query import query_text
from backyard.desk.inputs import parse_input
from backyard.desk.ranges import RANGES
from backyard.pauses import LONGEST_REASON

#: Characters of an input that is carried along in a URL.
_LONGEST_INPUT = 6_000
#: Regions that are looked at anew without the form.
_NUMBERS, _TASKS = "definition-numbers", "definition-tasks"


def path_of(name: str) -> str:
    """Return the path of a definition's page."""
    return f"/definitions/{quote(name, safe='')}"


async def show_all(page: Page) -> Response:
    """List what can be submitted."""
    words = page.query("q")
    rows, missing = await catalogue_of(page.yard, words)
    return page.show(
        "definitions/list.html",
        rows=rows,
        missing=missing,
        words=words,
        path_of=path_of,
        known=len(page.yard.definitions),
    )


async def show(page: Page) -> Response:
    """Show a definition."""
    definition = page.yard.definition(page.param("name"))
    return await _show(page, definition, _beginning(page, definition), OptionsForm())


def _beginning(page: Page, definition: Definition) -> InputForm:
    """Return the form as it begins: with the input of the query, where there is one."""
    try:
        return InputForm.of(definition, from_json(page.query("input")))
    except ValueError:
        return InputForm.of(definition)


async def _show(
    page: Page, definition: Definition, form: InputForm, options: OptionsForm, status: int = HTTPStatus.OK
) -> Response:
    chosen = page.query("range", DAY)
    chosen = chosen if chosen in RANGES else DAY
    only = page.region if page.region in {_NUMBERS, _TASKS} else ""
    numbers, tasks, paused = await asyncio.gather(
        numbers_of(page.yard, definition.name, chosen) if only != _TASKS else _nothing(Numbers()),
        tasks_of(page.yard, definition.name) if only != _NUMBERS else _nothing(Tasks()),
        paused_in(page.yard),
    )
    return page.show(
        "definitions/show.html", status, definition=definition, path=path_of(definition.name), form=form,
        options=options, numbers=numbers, tasks=tasks, paused=paused.get(definition.name), chosen=chosen,
        ranges=ranges(),
        rules=rules_of(definition.policy, page.yard.settings), fields=rows_of(input_of(definition)),
        input_schema=definition.input_model.model_json_schema(),
        output_schema=definition.output.json_schema(mode="serialization"),
        text=definition.doc.partition("\n")[2].strip(), search=_search(definition.name),
        failed_search=_search(definition.name, State.FAILURE),
    )  # fmt: skip


async def _nothing(value: Any) -> Any:
    return value


def _search(name: str, *states: State) -> str:
    return query_text(TaskFilter(name=(name,), state=states))


# -- acts ---------------------------------------------------------------------------------------------------------


async def run(page: Page) -> Response:
    """Submit a task, now or later; or lead to the page that makes a schedule of it."""
    definition = page.yard.definition(page.param("name"))
    data = await form_data(page)
    form, options = await received(page, definition), OptionsForm(data)
    if form.redraw or options.redraw:
        return await _show(page, definition, form, options)
    payload = _checked(form, options, later=data.get("run") == "later")
    if payload is None:
        return await _show(page, definition, form, options, HTTPStatus.UNPROCESSABLE_ENTITY)
    if data.get("run") == "schedule":
        return _to_schedule(page, form)
    return await _submit(page, definition, payload, form, options)


def _checked(form: InputForm, options: OptionsForm, *, later: bool) -> bytes | None:
    """Return the input as it is kept; None where something is wrong, which then stands at its fields."""
    payload = None
    try:
        payload = parse_input(form.definition, form.text())
    except InvalidInputError as error:
        form.refuse(error)
    try:
        chosen = options.options()
    except InvalidInputError as error:
        options.refuse(error)
        return None
    if later and chosen.delay is None and chosen.at is None:
        message = "Say when: a delay in seconds, or a time"
        options.refuse(InvalidInputError(message, [{"location": ["delay"], "message": message, "type": "form"}]))
        return None
    return payload


async def _submit(
    page: Page, definition: Definition, payload: bytes, form: InputForm, options: OptionsForm
) -> Response:
    chosen = options.options()
    try:
        sent, accepted = await page.yard.accept(definition, payload, chosen)
    except BackyardError as error:
        if isinstance(error, LedgerUnavailableError) and error.task_id:
            options.task_id = error.task_id  # sent again with it, it makes one task
        form.refuse(InvalidInputError(error.message))
        return await _show(page, definition, form, options, error.status)
    created = accepted.outcome == "created"
    if created:
        await page.audited("submit", "task", accepted.task_id, name=definition.name)
    later = " It waits until it is due." if created and sent.due else ""
    said = f"A task of {definition.name} is submitted.{later}" if created else "An earlier task is like it: here it is."
    return page.done(said, page.url(f"/tasks/{quote(accepted.task_id, safe='')}"))


def _to_schedule(page: Page, form: InputForm) -> Response:
    """Lead to a new schedule with this input, unless it is too long for a URL or has secrets."""
    name, text = form.definition.name, form.text()
    if form.secret or len(text) > _LONGEST_INPUT:
        why = "it has secrets" if form.secret else "it is too long"
        return page.done(
            f"The input was not carried along: {why}. Give it again here.", page.url("/schedules/new", name=name)
        )
    return RedirectResponse(page.url("/schedules/new", name=name, input=text), HTTPStatus.SEE_OTHER)


async def ask_pause(page: Page) -> Response:
    """Ask why a definition is paused."""
    definition = page.yard.definition(page.param("name"))
    name = definition.name
    return page.show(
        "confirm.html", title=f"Pause {name}?", action=f"{path_of(name)}/pause", label="Pause",
        back=page.url(path_of(name)), fields={}, typed="", kind="primary", reason_wanted=True,
        text="None of its tasks is started until it is resumed. What runs goes on; what waits keeps its place.",
    )  # fmt: skip


async def pause(page: Page) -> Response:
    """Start no more tasks of a definition."""
    name = page.yard.definition(page.param("name")).name
    reason = str((await page.form()).get("reason") or page.query("reason")).strip()[:LONGEST_REASON]
    changed = await page.yard.pause_definition(name, reason)
    await page.audited("pause", "definition", name, reason=reason)
    said = f"{name} is paused: none of its tasks is started." if changed else f"{name} was paused already."
    return page.done(said, _back(page, name), undo=("Resume", f"{path_of(name)}/resume"))


async def resume(page: Page) -> Response:
    """Start tasks of a definition again."""
    name = page.yard.definition(page.param("name")).name
    before = (await page.yard.paused_definitions()).get(name)
    await page.yard.resume_definition(name)
    await page.audited("resume", "definition", name)
    if before is None:
        return page.done(f"{name} was not paused.", _back(page, name))
    again = f"{path_of(name)}/pause?{urlencode({'reason': before.reason})}"
    return page.done(f"{name} goes on.", _back(page, name), undo=("Pause again", again))


def _back(page: Page, name: str) -> str:
    """Return a link to where an act was asked for: the catalogue or the definition, never the page that asks."""
    own, came = page.url(path_of(name)), page.back(page.url(path_of(name)))
    return own if came.partition("?")[0].endswith("/pause") else came


ADDRESSES = (
    get("/definitions", show_all),
    get("/definitions/{name}", show),
    post("/definitions/{name}", run),
    get("/definitions/{name}/pause", ask_pause),
    post("/definitions/{name}/pause", pause),
    post("/definitions/{name}/resume", resume),
)

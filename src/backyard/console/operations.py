"""One verb on many tasks: asked for with its count, watched while it goes on, stopped."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.responses import Response

from backyard.console.page import Page, get, post
from backyard.core.errors import InvalidInputError
from backyard.core.operation import Matches, OperationPlan, OperationVerb
from backyard.core.task_filter import MOST_NAMED, TaskFilter
from backyard.core.task_query import parse, query_text
from backyard.desk.operations import create, known, stop
from backyard.desk.past import ask, catch_up
from backyard.history import operations

#: Operations on a page of their list.
_LIMIT: Final = 50


@dataclass(frozen=True, slots=True)
class Words:
    """How a verb reads.

    Args:
        imperative: ``Cancel``.
        doing: ``Cancelling``.
        able: Which tasks it is for.
        text: What it does to each.
        typed: What has to be typed before it is done; empty for what can be mended.
    """

    imperative: str
    doing: str
    able: str
    text: str
    typed: str = ""


WORDS: Final[Mapping[OperationVerb, Words]] = MappingProxyType(
    {
        OperationVerb.CANCEL: Words(
            "Cancel", "Cancelling", "that have not ended",
            "Those that wait never start. Those that run are told to stop, and are stopped where they do not.",
        ),
        OperationVerb.RERUN: Words(
            "Rerun", "Rerunning", "that have ended",
            "Each is submitted again with its own input, as a new task; the old ones stay as they are.",
        ),
        OperationVerb.DELETE: Words(
            "Delete", "Deleting", "that have ended",
            "Their records, their history, logs and artifacts are gone for good. This cannot be undone.",
            typed="delete",
        ),
    }
)  # fmt: skip


async def confirm(page: Page) -> Response:
    """Ask before an operation begins: what it does to how many tasks."""
    given = page.request.query_params
    if page.query("scope") == "all" or not page.query("scope"):
        wanted = _read_query(page.query("q"))
    else:
        wanted = _named(given.getlist("task_id"))
    return await _ask(page, _verb(page.query("verb")), wanted)


async def begin(page: Page) -> Response:
    """Begin an operation, and lead to where it is watched."""
    form = await page.form()
    verb, wanted = _verb(str(form.get("verb", ""))), _read_query(str(form.get("q", "")))
    wrong = _typed_wrong(verb, wanted, str(form.get("typed", "")))
    if wrong:
        return await _ask(page, verb, wanted, wrong)
    try:
        plan = OperationPlan(verb=verb, filter=wanted, everything=wanted.empty, options=_options(verb, form))
    except ValidationError as error:
        row = error.errors()[0]
        return await _ask(page, verb, wanted, f"{'.'.join(map(str, row['loc']))}: {row['msg']}.")
    operation = await create(page.yard, page.request, plan, str(form.get("key", "")) or None)
    return page.done(f"{WORDS[verb].doing} has begun.", page.url(f"/operations/{operation.operation_id}"))


async def show(page: Page) -> Response:
    """Show how far an operation is, and what came of its tasks."""
    operation_id = page.param("operation_id")
    operation = known(operation_id, await ask(page.yard, lambda past: operations.get(past, operation_id)))
    return page.show(
        "operations/show.html", operation=operation, words=WORDS[operation.verb], query=query_text(operation.filter),
        failed=sum(operation.report.outcomes.get(name, 0) for name in ("refused", "kept", "in_the_way")),
        made=operation.verb is OperationVerb.RERUN,
    )  # fmt: skip


async def list_all(page: Page) -> Response:
    """List the operations, newest first."""
    after = page.query("after") or None
    found = await ask(page.yard, lambda past: operations.listing(past, _LIMIT + 1, after))
    older = page.same(after=found[_LIMIT - 1].operation_id) if len(found) > _LIMIT else None
    return page.show(
        "operations/list.html", operations=found[:_LIMIT], older=older, words=WORDS, query_text=query_text
    )  # fmt: skip


async def end(page: Page) -> Response:
    """Stop an operation; what is done stays done."""
    operation_id = page.param("operation_id")
    operation = await stop(page.yard, page.request, operation_id)
    text = "It had ended before." if operation.state in ("done", "failed") else "It stops. What is done stays done."
    return page.done(text, page.url(f"/operations/{operation_id}"))


async def _ask(page: Page, verb: OperationVerb, wanted: TaskFilter, wrong: str = "") -> Response:
    """Answer with the page that asks, its count as exact as can be."""
    await catch_up(page.yard)
    plan = OperationPlan(verb=verb, filter=wanted, everything=True)
    matches: Matches = await ask(page.yard, lambda past: operations.matches(past, plan))
    given = len(wanted.task_id)
    return page.show(
        "operations/new.html", HTTPStatus.UNPROCESSABLE_ENTITY if wrong else HTTPStatus.OK,
        verb=verb, words=WORDS[verb], wanted=wanted, query=query_text(wanted), matches=matches, wrong=wrong,
        left=given - matches.total if given else 0, typed=_to_type(verb, wanted), key=uuid.uuid4().hex,
        back=page.back(page.url("/tasks")), canary=plan.canary,
    )  # fmt: skip


# -- what was asked -----------------------------------------------------------------------------------------------


def _verb(text: str) -> OperationVerb:
    try:
        return OperationVerb(text)
    except ValueError:
        raise InvalidInputError(f"There is no '{text}' for tasks. There are: {', '.join(OperationVerb)}.") from None


def _read_query(text: str) -> TaskFilter:
    query = parse(text, datetime.now(UTC))
    if query.problems:
        raise InvalidInputError(query.problems[0].message)
    return query.filter


def _named(task_ids: list[str]) -> TaskFilter:
    if not task_ids:
        raise InvalidInputError("No task was selected. Go back, tick some rows, or choose all that match.")
    if len(task_ids) > MOST_NAMED:
        raise InvalidInputError(f"At most {MOST_NAMED} tasks can be selected one by one. Choose all that match.")
    return TaskFilter(task_id=tuple(task_ids))


def _options(verb: OperationVerb, form: FormData) -> dict[str, Any]:
    if verb is OperationVerb.CANCEL:
        return {"children": "children" in form}
    if verb is OperationVerb.RERUN:
        given = {name: str(form.get(name, "")).strip() for name in ("canary", "rate")}
        return {name: value for name, value in given.items() if value}
    return {}


def _to_type(verb: OperationVerb, wanted: TaskFilter) -> str:
    """Return what has to be typed: for what cannot be undone, and for a filter that leaves nothing out."""
    return WORDS[verb].typed or ("everything" if wanted.empty else "")


def _typed_wrong(verb: OperationVerb, wanted: TaskFilter, typed: str) -> str:
    asked = _to_type(verb, wanted)
    return f"Type '{asked}' to confirm; nothing was done yet." if typed.strip() != asked else ""


ADDRESSES = (
    get("/operations", list_all),
    get("/operations/new", confirm),
    post("/operations", begin),
    get("/operations/{operation_id}", show),
    post("/operations/{operation_id}/stop", end),
)

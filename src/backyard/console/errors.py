"""The pages of errors: causes of failures, how they go, and their tasks submitted again behind a canary."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_args
from urllib.parse import quote

from starlette.responses import Response

from backyard.console.charts import Chart, Frame, Series, bars, spark
from backyard.console.page import Page, get, post
from backyard.console.traceback_frames import raised_in
from backyard.core.errors import BackyardError, HistoryUnavailableError, UnknownTaskError
from backyard.core.models import TaskView
from backyard.core.operation import Matches, Operation, OperationOptions, OperationPlan, OperationVerb
from backyard.core.states import FINAL, State
from backyard.core.task_filter import TaskFilter
from backyard.desk import operations as desk
from backyard.desk.errors import group_in
from backyard.desk.past import ask, past_view
from backyard.desk.ranges import RANGES, span_of
from backyard.desk.reruns import rerun
from backyard.history import operations
from backyard.history.causes import Order, causes_in, causes_named, trend_of
from backyard.history.queries import page_of

if TYPE_CHECKING:
    from backyard.app import Backyard

#: Groups on the page, and tasks of one.
MOST, TASKS = 50, 10
USUAL = "24h"
ORDERS: Mapping[str, str] = {"last": "Latest", "count": "Most often", "rising": "Rising"}
#: How far back, in words.
WORDS: Mapping[str, str] = {
    "15m": "15 minutes", "1h": "hour", "6h": "6 hours", "24h": "24 hours", "7d": "7 days", "30d": "30 days",
    "90d": "90 days",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Replay:
    """How far the tasks of a cause were submitted again.

    Args:
        canary: The task that went first; None where none did.
        over: Whether it has ended.
        operation: What submits the others; None where nobody has asked for it.
    """

    canary: TaskView | None
    over: bool
    operation: Operation | None


def path_of(fingerprint: str) -> str:
    """Return the path of a cause's page."""
    return f"/errors/{quote(fingerprint, safe=':')}"


def _range(page: Page) -> str:
    return page.query("range") if page.query("range") in RANGES else USUAL


async def show_all(page: Page) -> Response:
    """List the causes of failures."""
    chosen, name = _range(page), page.query("name")
    order = cast("Order", page.query("sort") if page.query("sort") in get_args(Order) else "last")
    since, until = span_of(chosen)
    causes: list[dict[str, Any]] = []
    names: list[str] = []
    missing = ""
    try:
        causes, names = await ask(
            page.yard,
            lambda past: (
                causes_in(past, since, until, order=order, name=name or None, limit=MOST + 1),
                causes_named(past),
            ),
        )
    except HistoryUnavailableError as error:
        missing = error.message
    return page.show(
        "errors/list.html", causes=causes[:MOST], more=len(causes) > MOST, names=names, missing=missing, name=name,
        order=order, orders=ORDERS, chosen=chosen, words=WORDS, path_of=path_of,
        sparks=[spark(one["points"], f"Failures in the last {WORDS[chosen]}") for one in causes],
    )  # fmt: skip


async def show(page: Page) -> Response:
    """Show one cause: how it goes, a sample of it, its tasks, and how far they were submitted again."""
    fingerprint, chosen = page.param("fingerprint"), _range(page)
    cause = await group_in(page.yard, fingerprint)
    plan = _plan(fingerprint)
    (step, points), counted, found = await ask(
        page.yard,
        lambda past: (
            trend_of(past, fingerprint, *span_of(chosen)),
            operations.matches(past, plan),
            page_of(past, plan.filter, TASKS),
        ),
    )
    sample, replay = await asyncio.gather(_view(page.yard, cause["sample_task_id"]), _replay(page))
    failure = sample.failure if sample and sample.failure else next((one.failure for one in found.tasks), None)
    return page.show(
        "errors/show.html", cause=cause, chosen=chosen, words=WORDS, chart=_chart(chosen, step, points),
        recent=sum(point["count"] for point in points), counted=counted, tasks=found.tasks, sample=sample,
        failure=failure,
        raised=raised_in(failure.traceback or "") if failure else [], replay=replay, path=path_of(fingerprint),
    )  # fmt: skip


def _chart(chosen: str, step: int, points: Sequence[Mapping[str, Any]]) -> Chart:
    frame = Frame([point["at"] for point in points], step, float(RANGES[chosen]))
    return bars(
        "failures", "Failed attempts", frame, [Series("Failed", "failed", [point["count"] for point in points])]
    )


async def _replay(page: Page) -> Replay:
    canary = await _view(page.yard, page.query("canary")) if page.query("canary") else None
    operation_id, operation = page.query("operation"), None
    if operation_id:
        operation = await ask(page.yard, lambda past: operations.get(past, operation_id))
    over = canary is not None and canary.state in FINAL
    return Replay(canary, over, operation)


async def _view(yard: Backyard, task_id: str) -> TaskView | None:
    """Return a task, or None where nobody knows it any more."""
    try:
        return (await yard.ledger.arecord(task_id)).view()
    except UnknownTaskError:
        pass
    try:
        return await past_view(yard, task_id)
    except UnknownTaskError:
        return None


def _plan(fingerprint: str, left_out: str = "") -> OperationPlan:
    """Return the operation that submits again what has failed of a cause.

    Args:
        fingerprint: The cause.
        left_out: A task that was submitted again already, and has succeeded.
    """
    options = OperationOptions(leave_out=[left_out]) if left_out else OperationOptions()
    wanted = TaskFilter(fingerprint=fingerprint, state=(State.FAILURE,))
    return OperationPlan(verb=OperationVerb.RERUN, filter=wanted, options=options)


async def send_canary(page: Page) -> Response:
    """Submit the newest failed task of a cause again."""
    fingerprint = page.param("fingerprint")
    found = await ask(page.yard, lambda past: page_of(past, _plan(fingerprint).filter, 1))
    back = page.url(path_of(fingerprint))
    if not found.tasks:
        return page.done("No task of this cause stands failed any more: there is nothing to try.", back, failed=True)
    try:
        task_id = await rerun(page.yard, page.request, found.tasks[0].task_id)
    except BackyardError as error:
        return page.done(f"The canary was not sent. {error.message}", back, failed=True)
    return page.done("The canary was sent.", page.url(path_of(fingerprint), canary=task_id))


def _others(counted: Matches, left_out: str) -> int:
    return max(0, counted.total - bool(left_out))


async def ask_rerun(page: Page) -> Response:
    """Ask whether all failed tasks of a cause are to be submitted again."""
    fingerprint, canary = page.param("fingerprint"), page.query("canary")
    left_out = await _repeated(page.yard, fingerprint, canary)
    counted = await ask(page.yard, lambda past: operations.matches(past, _plan(fingerprint)))
    count = _others(counted, left_out)
    number = f"{count:,}" if counted.exact else f"more than {count:,}"
    tasks = "1 task" if number == "1" else f"{number} tasks"
    beside = " The task that the canary repeated is left out: it has succeeded." if left_out else ""
    return page.show(
        "confirm.html", title=f"Rerun {tasks}?", action=f"{path_of(fingerprint)}/rerun", label=f"Rerun {tasks}",
        text="Each failed task of this cause is submitted again as a new task with the same input. The first five go "
        f"alone, and the others only if those succeed.{beside}",
        back=page.url(path_of(fingerprint), canary=canary), fields={"canary": canary}, typed="", kind="go",
        reason_wanted=False,
    )  # fmt: skip


async def rerun_all(page: Page) -> Response:
    """Submit all failed tasks of a cause again."""
    fingerprint, canary = page.param("fingerprint"), str((await page.form()).get("canary", ""))
    plan = _plan(fingerprint, await _repeated(page.yard, fingerprint, canary))
    operation = await desk.create(page.yard, page.request, plan)
    to = page.url(path_of(fingerprint), canary=canary, operation=operation.operation_id)
    return page.done("They are being submitted again, in the background.", to)


async def _repeated(yard: Backyard, fingerprint: str, canary: str) -> str:
    """Return the task that a canary has repeated with success, if it still counts among the failed ones of a cause."""
    found = await _view(yard, canary) if canary else None
    if found is None or found.state is not State.SUCCESS or not found.rerun_of:
        return ""
    first = await _view(yard, found.rerun_of)
    ours = first is not None and first.failure is not None and first.failure.fingerprint == fingerprint
    return found.rerun_of if ours else ""


ADDRESSES = (
    get("/errors", show_all),
    get("/errors/{fingerprint:path}/rerun", ask_rerun),
    post("/errors/{fingerprint:path}/rerun", rerun_all),
    post("/errors/{fingerprint:path}/canary", send_canary),
    get("/errors/{fingerprint:path}", show),
)

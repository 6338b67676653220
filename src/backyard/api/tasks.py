"""``/tasks/{task_id}``: look, wait, cancel, rerun."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from backyard.api.bodies import JSON, aside, described, read_body
from backyard.api.links import write_view
from backyard.api.problems import ProblemRoute, documented
from backyard.api.shortcuts import shortcut
from backyard.api.strict_json import members
from backyard.api.submits import submitted
from backyard.core.definition import Definition, invalid_input
from backyard.core.errors import UnknownTaskError
from backyard.core.log_line import chosen
from backyard.core.models import TaskView
from backyard.desk.auditing import audited
from backyard.desk.inputs import rerun_input
from backyard.desk.links import base_of, linked
from backyard.desk.past import past_log, past_record, past_view
from backyard.ledger.record import Record
from backyard.ledger.task_calls import LOG_LINES
from backyard.submit import Options

if TYPE_CHECKING:
    from backyard.app import Backyard

LONGEST_WAIT = 60
Level = Literal["debug", "info", "warning", "error", "critical"]


class Rerun(BaseModel):
    """What a rerun may change."""

    model_config = ConfigDict(extra="forbid")

    input: Any = Field(default=None, description="Instead of the first task's input")


def tasks_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["tasks"])

    @router.get("/tasks/{task_id}", response_model=TaskView, responses=documented(404, 422, 503))
    @shortcut(lambda request: get_task(request, request.path_params["task_id"]))
    async def get_task(
        request: Request,
        task_id: str,
        wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for a final state")] = 0,
    ) -> Response:
        """Look at a task; with `wait`, answer as soon as it is final, or when the time is over."""
        try:
            if wait:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await yard.feed.outcome(task_id)
            record = await yard.ledger.arecord(task_id)
        except UnknownTaskError:
            view = linked(await past_view(yard, task_id), base_of(yard, request))
            return Response(view.model_dump_json(), media_type=JSON)
        return Response(await write_view(yard, request, record), media_type=JSON)

    @router.get("/tasks/{task_id}/log", responses=documented(404, 422, 503))
    async def get_log(
        task_id: str,
        level: Annotated[Level, Query(description="That level and what is more serious")] = "debug",
        after: Annotated[float, Query(ge=0, description="Only lines whose `at` is later")] = 0,
        limit: Annotated[int, Query(ge=1, le=LOG_LINES, description="The newest so many")] = LOG_LINES,
    ) -> list[dict[str, Any]]:
        """Read the lines that the task logged, oldest first."""
        try:
            await yard.ledger.arecord(task_id)
            lines = await yard.ledger.arun(yard.ledger.calls.log(task_id))
        except UnknownTaskError:
            lines = await past_log(yard, task_id, LOG_LINES)
        return chosen(lines, level, after, limit)

    @router.delete("/tasks/{task_id}", status_code=204, responses=documented(404, 422, 503))
    async def cancel_task(
        request: Request,
        task_id: str,
        children: Annotated[bool, Query(description="Cancel what the task has submitted as well")] = True,  # noqa: FBT002 - a query parameter
    ) -> Response:
        """Cancel a task. One that waits never starts; one that runs is told to stop; a final one stays as it is."""
        (outcome,) = await yard.ledger.acancel([task_id], children=children)
        if outcome == "unknown":
            raise UnknownTaskError(f"No task has the id '{task_id}', or its record's lifetime has ended.")
        await audited(yard, request, "cancel", "task", task_id, outcome=outcome)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @router.post(
        "/tasks/{task_id}/rerun",
        status_code=201,
        response_model=TaskView,
        responses=documented(404, 413, 415, 422, 429, 503),
        openapi_extra=described(Rerun, required=False),
    )
    async def rerun_task(request: Request, task_id: str) -> Response:
        """Submit a new task with the same input, or with the one in the body: `{"input": {...}}`."""
        record = await past_record(yard, task_id)
        definition = yard.definition(record.text("name") or "")
        body = await read_body(request, yard.settings.max_body)
        payload = await aside(len(body), lambda: _read_rerun(definition, record, body))
        answer = await submitted(yard, request, definition, payload, Options(rerun_of=task_id))
        await audited(yard, request, "rerun", "task", task_id, edited=bool(body.strip()))
        return answer

    return router


def _read_rerun(definition: Definition, record: Record, body: bytes) -> bytes:
    """Return the input of a rerun: the one that its body brings, or the first task's."""
    given = members(body) if body.strip() else {}
    try:
        Rerun.model_validate(given)
    except ValidationError as error:
        raise invalid_input("a rerun", error) from None
    return rerun_input(definition, record, given.get("input"))

"""``/tasks``: list, look, wait, cancel, rerun."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from backyard.api.bodies import JSON, aside, described, read_body
from backyard.api.links import base_of, write_view, write_views
from backyard.api.problems import ProblemRoute, documented
from backyard.api.strict_json import members
from backyard.api.submits import parse_input, submitted
from backyard.core.definition import Definition, invalid_input
from backyard.core.errors import InvalidInputError, UnknownTaskError
from backyard.core.models import TaskView
from backyard.core.states import State
from backyard.ledger.record import Record
from backyard.submit import Options

if TYPE_CHECKING:
    from backyard.app import Backyard

LONGEST_WAIT = 60
MOST = 500
_SCORE = re.compile(r"[0-9]{1,16}(\.[0-9]{1,6})?")


class Rerun(BaseModel):
    """What a rerun may change."""

    model_config = ConfigDict(extra="forbid")

    input: Any = Field(default=None, description="Instead of the first task's input")


def tasks_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["tasks"])

    @router.get("/tasks", response_model=list[TaskView], responses=documented(422, 503))
    async def list_tasks(
        request: Request,
        state: Annotated[list[State] | None, Query(description="One state or several")] = None,
        name: Annotated[str, Query(description="The definition's name")] = "",
        limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
        cursor: Annotated[str, Query(description="From the Link header of the page before")] = "",
    ) -> Response:
        """List tasks, newest first. `Link: <...>; rel="next"` leads to the next page."""
        records, after = await yard.ledger.records(state or [], name, limit, _read_cursor(cursor))
        headers = {} if after is None else {"Link": _next_page(yard, request, after)}
        return Response(await write_views(yard, request, records), headers=headers, media_type=JSON)

    @router.get("/tasks/{task_id}", response_model=TaskView, responses=documented(404, 422, 503))
    async def get_task(
        request: Request,
        task_id: str,
        wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for a final state")] = 0,
    ) -> Response:
        """Look at a task; with `wait`, answer as soon as it is final, or when the time is over."""
        record = await yard.ledger.arecord(task_id)
        if wait and not record.final:
            try:
                async with asyncio.timeout(wait):
                    await yard.feed.wait(task_id)
            except TimeoutError:
                pass
            record = await yard.ledger.arecord(task_id)
        return Response(await write_view(yard, request, record), media_type=JSON)

    @router.get("/tasks/{task_id}/log", responses=documented(404, 422, 503))
    async def get_log(task_id: str) -> list[dict[str, Any]]:
        """Read the lines that the task logged, oldest first."""
        await yard.ledger.arecord(task_id)
        return await yard.ledger.arun(yard.ledger.calls.log(task_id))

    @router.delete("/tasks/{task_id}", status_code=204, responses=documented(404, 422, 503))
    async def cancel_task(
        task_id: str,
        children: Annotated[bool, Query(description="Cancel what the task has submitted as well")] = True,  # noqa: FBT002 - a query parameter
    ) -> Response:
        """Cancel a task. One that waits never starts; one that runs is told to stop; a final one stays as it is."""
        (outcome,) = await yard.ledger.acancel([task_id], children=children)
        if outcome == "unknown":
            raise UnknownTaskError(f"No task has the id '{task_id}', or its record's lifetime has ended.")
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
        record = await yard.ledger.arecord(task_id)
        definition = yard.definition(record.text("name") or "")
        body = await read_body(request, yard.settings.max_body)
        payload = await aside(len(body), lambda: _read_rerun(definition, record, body))
        return await submitted(yard, request, definition, payload, Options(rerun_of=task_id))

    return router


def _read_rerun(definition: Definition, record: Record, body: bytes) -> bytes:
    """Return the input of a rerun: the one that its body brings, or the first task's."""
    given = members(body) if body.strip() else {}
    try:
        Rerun.model_validate(given)
    except ValidationError as error:
        raise invalid_input("a rerun", error) from None
    if "input" in given:
        return parse_input(definition, given["input"], "input")
    return parse_input(definition, _kept_input(definition, record), "input")


def _kept_input(definition: Definition, record: Record) -> bytes:
    """Return the input of a task, with the arguments that Celery's callers gave by position under their names."""
    kept = record.json("input")
    if isinstance(kept, dict) and kept.keys() == {"args", "kwargs"} and not {*kept} <= {*definition.shape.names}:
        named = dict(zip(definition.shape.names, kept["args"], strict=False))
        return json.dumps({**named, **kept["kwargs"]}).encode()
    return record.fields.get("input") or b"{}"


def _next_page(yard: Backyard, request: Request, cursor: tuple[str, str]) -> str:
    query = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
    link = f"{base_of(yard, request)}/tasks?{urlencode([*query, ('cursor', _write_cursor(cursor))])}"
    return f'<{link}>; rel="next"'


def _write_cursor(cursor: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode("|".join(cursor).encode()).decode().rstrip("=")


def _read_cursor(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    try:
        score, _, last = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition("|")
    except (binascii.Error, ValueError):
        score = last = ""
    if not _SCORE.fullmatch(score) or not last:
        raise InvalidInputError("The cursor is not one that this API gave. Follow the Link header, or begin anew.")
    return score, last

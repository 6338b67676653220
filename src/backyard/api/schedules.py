"""``/schedules``: what happens by the clock."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from backyard.api.bodies import JSON, described, read_body
from backyard.api.links import write_view
from backyard.api.problems import ProblemRoute, documented
from backyard.api.queues import PauseRequest
from backyard.api.strict_json import check
from backyard.core.errors import InvalidInputError
from backyard.core.models import TaskView
from backyard.core.schedule import SCHEDULE_ID, SchedulePreview, ScheduleSpec, ScheduleView, parse_spec
from backyard.core.schedule_checks import MOST_TICKS
from backyard.desk.auditing import audited
from backyard.desk.links import base_of

if TYPE_CHECKING:
    from backyard.app import Backyard

Count = Annotated[int, Query(ge=1, le=MOST_TICKS, description="Ticks to show")]


class NewSchedule(ScheduleSpec):
    """A schedule to be made."""

    schedule_id: str | None = Field(default=None, pattern=SCHEDULE_ID, description="An id of your own")


def schedules_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["schedules"])
    _add_reads(router, yard)
    _add_changes(router, yard)
    _add_verbs(router, yard)
    return router


def _add_reads(router: APIRouter, yard: Backyard) -> None:
    @router.get("/schedules", responses=documented(503))
    async def list_schedules() -> list[ScheduleView]:
        """List the schedules by id: what they do, when they tick next, what ran, was missed and was dropped."""
        return await yard.schedules()

    @router.post(
        "/schedules/preview",
        response_model=SchedulePreview,
        responses=documented(404, 413, 415, 422, 503),
        openapi_extra=described(ScheduleSpec),
    )
    async def preview_schedule(request: Request, count: Count = 10) -> SchedulePreview:
        """Say in words when a schedule would tick, and its next ticks. Nothing is made."""
        return await yard.preview_schedule(parse_spec(await _read(request, yard)), count)

    @router.get("/schedules/{schedule_id}", responses=documented(404, 503))
    async def get_schedule(schedule_id: str) -> ScheduleView:
        """Look at a schedule."""
        return await yard.schedule_view(schedule_id)

    @router.get("/schedules/{schedule_id}/next", responses=documented(404, 422, 503))
    async def next_ticks(schedule_id: str, count: Count = 10) -> SchedulePreview:
        """Say when a schedule ticks next."""
        return await yard.schedule_ticks(schedule_id, count)


def _add_changes(router: APIRouter, yard: Backyard) -> None:
    @router.post(
        "/schedules",
        status_code=201,
        response_model=ScheduleView,
        responses=documented(404, 409, 413, 415, 422, 503),
        openapi_extra=described(NewSchedule),
    )
    async def create_schedule(request: Request) -> Response:
        """Make a schedule. Its input is checked now, and what it leaves open gets its default at each tick."""
        values = await _read(request, yard)
        schedule_id = values.pop("schedule_id", None)
        if schedule_id is not None and not isinstance(schedule_id, str):
            raise InvalidInputError("schedule_id is no text. Give letters, digits, '_', '-' and '.', or leave it out.")
        view = await yard.create_schedule(parse_spec(values), schedule_id)
        await audited(yard, request, "create", "schedule", view.schedule_id, name=view.name)
        place = f"{base_of(yard, request)}/schedules/{view.schedule_id}"
        return Response(view.model_dump_json(), HTTPStatus.CREATED, {"Location": place}, JSON)

    @router.patch(
        "/schedules/{schedule_id}",
        response_model=ScheduleView,
        responses=documented(404, 409, 413, 415, 422, 503),
        openapi_extra=described(ScheduleSpec),
    )
    async def update_schedule(request: Request, schedule_id: str) -> ScheduleView:
        """Change the fields that the body has; the others, the counters and a pause stay as they are.

        A new `cron`, `every` or `at` takes the place of the one that was there.
        """
        changes = await _read(request, yard)
        view = await yard.update_schedule(schedule_id, **changes)
        await audited(yard, request, "update", "schedule", schedule_id, fields=sorted(changes))
        return view

    @router.delete("/schedules/{schedule_id}", status_code=204, responses=documented(404, 409, 503))
    async def delete_schedule(request: Request, schedule_id: str) -> Response:
        """Delete a schedule; the tasks that it made stay."""
        await yard.delete_schedule(schedule_id)
        await audited(yard, request, "delete", "schedule", schedule_id)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _add_verbs(router: APIRouter, yard: Backyard) -> None:
    @router.post("/schedules/{schedule_id}/pause", responses=documented(404, 409, 422, 503))
    async def pause_schedule(request: Request, schedule_id: str, body: PauseRequest | None = None) -> ScheduleView:
        """Let a schedule rest until it is resumed; what ticks meanwhile is dropped, and counted."""
        reason = body.reason if body else ""
        view = await yard.pause_schedule(schedule_id, reason)
        await audited(yard, request, "pause", "schedule", schedule_id, reason=reason)
        return view

    @router.post("/schedules/{schedule_id}/resume", responses=documented(404, 409, 503))
    async def resume_schedule(request: Request, schedule_id: str) -> ScheduleView:
        """Let a schedule go on with its next tick."""
        view = await yard.resume_schedule(schedule_id)
        await audited(yard, request, "resume", "schedule", schedule_id)
        return view

    @router.post(
        "/schedules/{schedule_id}/run",
        status_code=201,
        response_model=TaskView,
        responses=documented(404, 422, 429, 503),
    )
    async def run_schedule(request: Request, schedule_id: str) -> Response:
        """Submit a task of a schedule now, beside its ticks and whatever its overlap policy is."""
        handle = await yard.run_schedule_now(schedule_id)
        await audited(yard, request, "run", "schedule", schedule_id, task_id=handle.task_id)
        record = await yard.ledger.arecord(handle.task_id)
        place = f"{base_of(yard, request)}/tasks/{handle.task_id}"
        return Response(await write_view(yard, request, record), HTTPStatus.CREATED, {"Location": place}, JSON)


async def _read(request: Request, yard: Backyard) -> dict[str, Any]:
    """Read a body that is an object, within the limit of any input."""
    body = await read_body(request, yard.settings.max_body)
    check(body)
    values = from_json(body)
    if not isinstance(values, dict):
        raise InvalidInputError("The body is no JSON object. Send {...}.")
    return values

"""``/tasks/{task_id}/attempts`` and ``/timeline``: what happened to a task, for as long as the history has it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from backyard.api.problems import ProblemRoute, documented
from backyard.desk.past import ask, catch_up, past_view
from backyard.history.queries import attempts_of, events_of

if TYPE_CHECKING:
    from backyard.app import Backyard

_Fresh = Annotated[bool, Query(description="Wait until what happened before is there, up to 3 s")]


class AttemptView(BaseModel):
    """One attempt of a task."""

    attempt: int
    worker: str | None
    ready: datetime | None = Field(description="Since when it waited")
    started: datetime | None
    ended: datetime | None
    outcome: str | None = Field(description="A final state, RETRY, or why it was cut off; null while it runs")
    failure: dict[str, Any] | None


class EventView(BaseModel):
    """One thing that happened to a task."""

    event_id: str
    event: str
    state: str
    attempt: int
    at: datetime
    data: Any


def timeline_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["history"])

    @router.get("/tasks/{task_id}/attempts", responses=documented(404, 503))
    async def list_attempts(task_id: str, *, fresh: _Fresh = False) -> list[AttemptView]:
        """List the attempts of a task: when each waited, began and ended, where, and how."""
        await _known(task_id, fresh=fresh)
        return [AttemptView.model_validate(row) for row in await ask(yard, lambda past: attempts_of(past, task_id))]

    @router.get("/tasks/{task_id}/timeline", responses=documented(404, 503))
    async def list_events(
        task_id: str, *, limit: Annotated[int, Query(ge=1, le=5_000)] = 1_000, fresh: _Fresh = False
    ) -> list[EventView]:
        """List what happened to a task, oldest first, log lines included; progress is not kept one by one."""
        await _known(task_id, fresh=fresh)
        rows = await ask(yard, lambda past: events_of(past, task_id, limit=limit))
        return [EventView.model_validate(row) for row in rows]

    async def _known(task_id: str, *, fresh: bool) -> None:
        if fresh:
            await catch_up(yard)
        await past_view(yard, task_id)

    return router

"""``/queues``: what waits where, and pauses of queues and definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from backyard.api.problems import ProblemRoute, documented
from backyard.core.queue import Queue
from backyard.desk.auditing import audited
from backyard.pauses import LONGEST_REASON

if TYPE_CHECKING:
    from backyard.app import Backyard


class PauseRequest(BaseModel):
    """Why something is paused."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=LONGEST_REASON, description="Why, for whoever finds it paused")


class PauseAnswer(BaseModel):
    """What became of a pause or a resume."""

    name: str
    paused: bool
    changed: bool = Field(description="False where it was so before")


def queues_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["queues"])

    @router.get("/queues", responses=documented(503))
    async def list_queues() -> list[Queue]:
        """List the queues by name: what waits there, and whether they are paused."""
        return await yard.queue_states()

    @router.post("/queues/{name}/pause", responses=documented(404, 422, 503))
    async def pause_queue(request: Request, name: str, body: PauseRequest | None = None) -> PauseAnswer:
        """Take nothing more from a queue until it is resumed; what runs goes on."""
        changed = await yard.pause_queue(name, body.reason if body else "")
        await audited(yard, request, "pause", "queue", name, reason=body.reason if body else "")
        return PauseAnswer(name=name, paused=True, changed=changed)

    @router.post("/queues/{name}/resume", responses=documented(422, 503))
    async def resume_queue(request: Request, name: str) -> PauseAnswer:
        """Let workers take from a queue again."""
        changed = await yard.resume_queue(name)
        await audited(yard, request, "resume", "queue", name)
        return PauseAnswer(name=name, paused=False, changed=changed)

    @router.post("/definitions/{name}/pause", responses=documented(404, 422, 503))
    async def pause_definition(request: Request, name: str, body: PauseRequest | None = None) -> PauseAnswer:
        """Start no more tasks of a definition until it is resumed; what runs goes on."""
        changed = await yard.pause_definition(name, body.reason if body else "")
        await audited(yard, request, "pause", "definition", name, reason=body.reason if body else "")
        return PauseAnswer(name=name, paused=True, changed=changed)

    @router.post("/definitions/{name}/resume", responses=documented(422, 503))
    async def resume_definition(request: Request, name: str) -> PauseAnswer:
        """Start tasks of a definition again."""
        changed = await yard.resume_definition(name)
        await audited(yard, request, "resume", "definition", name)
        return PauseAnswer(name=name, paused=False, changed=changed)

    return router

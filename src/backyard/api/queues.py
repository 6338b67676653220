"""``/queues``: what waits where, and pauses of queues and definitions."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from backyard.api.problems import ProblemRoute, documented
from backyard.api.stats import Range
from backyard.core.queue import Queue
from backyard.desk.auditing import audited
from backyard.desk.past import ask
from backyard.desk.ranges import USUAL, span_of
from backyard.history.queue_samples import queue_series
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


class PurgeAnswer(BaseModel):
    """What became of a purge."""

    name: str
    discarded: int = Field(description="Tasks and other messages that were discarded")


class DepthPoint(BaseModel):
    """The most that a queue held in a period; null where no keeper looked."""

    at: datetime = Field(description="When the period begins")
    depth: int | None
    running: int | None
    parked: int | None
    oldest: float | None = Field(description="Seconds that the first ready task had been there")


class QueueDepth(BaseModel):
    """What a queue held over time."""

    name: str
    since: datetime
    until: datetime
    step: int = Field(description="Seconds of a point")
    series: list[DepthPoint]


def queues_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["queues"])

    @router.get("/queues", responses=documented(503))
    async def list_queues() -> list[Queue]:
        """List the queues by name: what waits there, and whether they are paused."""
        return await yard.queue_states()

    @router.get("/queues/{name}/depth", responses=documented(404, 422, 503))
    async def queue_depth(name: str, range_: Annotated[Range, Query(alias="range")] = USUAL) -> QueueDepth:
        """Say what a queue held over time: samples of a keeper, of each period the most."""
        await yard.queue_state(name)
        since, until = span_of(range_)
        step, series = await ask(yard, lambda past: queue_series(past, name, since, until))
        return QueueDepth(
            name=name, since=datetime.fromtimestamp(since / 1000).astimezone(),
            until=datetime.fromtimestamp(until / 1000).astimezone(), step=step,
            series=[DepthPoint.model_validate(point) for point in series],
        )  # fmt: skip

    @router.post("/queues/{name}/purge", responses=documented(404, 422, 503))
    async def purge_queue(request: Request, name: str) -> PurgeAnswer:
        """Discard what waits in a queue, parked tasks too: they end REVOKED. What runs or is due later stays."""
        discarded = await yard.purge_queue(name)
        await audited(yard, request, "purge", "queue", name, discarded=discarded)
        return PurgeAnswer(name=name, discarded=discarded)

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

"""``/workers``: who takes tasks."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.requests import Request

from backyard.api.problems import ProblemRoute, documented
from backyard.core.worker import Worker, named
from backyard.desk.auditing import audited

if TYPE_CHECKING:
    from backyard.app import Backyard


class Draining(BaseModel):
    """A worker that was told to drain."""

    worker_name: str
    stay: bool


def workers_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["workers"])

    @router.get("/workers", responses=documented(503))
    async def list_workers() -> list[Worker]:
        """List the workers that spoke lately, by name; one that died is shown for three leases."""
        return await yard.ledger.arun(yard.ledger.calls.workers())

    @router.post("/workers/{name}/drain", status_code=HTTPStatus.ACCEPTED, responses=documented(404, 503))
    async def drain_worker(
        request: Request,
        name: str,
        *,
        stay: Annotated[bool, Query(description="Stay, idle, instead of ending")] = False,
    ) -> Draining:
        """Let a worker finish what it runs and take nothing more; it obeys within two seconds."""
        calls = yard.ledger.calls
        (full,) = named(await yard.ledger.arun(calls.workers()), [name])
        await yard.ledger.arun(calls.drain([full], stay=stay))
        await audited(yard, request, "drain", "worker", full, stay=stay)
        return Draining(worker_name=full, stay=stay)

    return router

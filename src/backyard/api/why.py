"""``/tasks/{task_id}/why``: why a task is not running, or not finished, yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from backyard.api.problems import ProblemRoute, documented
from backyard.core.why import Why

if TYPE_CHECKING:
    from backyard.app import Backyard


def why_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["tasks"])

    @router.get("/tasks/{task_id}/why", responses=documented(404, 422, 503))
    async def get_why(task_id: str) -> Why:
        """Say in one sentence, with evidence, why a task is where it is."""
        return await yard.why(task_id)

    return router

"""``/tasks/{task_id}/links``: links that show one task to anybody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from backyard.api.problems import ProblemRoute, documented
from backyard.desk.auditing import audited
from backyard.desk.links import base_of
from backyard.desk.past import past_record
from backyard.public_links import LONGEST, USUAL

if TYPE_CHECKING:
    from backyard.app import Backyard


class NewLink(BaseModel):
    """What a link shall show, and for how long."""

    model_config = ConfigDict(extra="forbid")

    expires: float = Field(default=USUAL, ge=1, le=LONGEST, description="Seconds that it is good for")
    artifacts: bool = Field(default=True, description="Whether what the task saved may be downloaded there")
    result: bool = Field(default=False, description="Whether its result is shown there")


class Link(BaseModel):
    """A link that shows one task to whoever has it."""

    url: str = Field(description="A page with its progress")
    embed_url: str = Field(description="The same without a frame around it, for an iframe on your own page")
    expires: datetime = Field(description="Until when it is good")


def public_links_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["tasks"])

    @router.post("/tasks/{task_id}/links", status_code=HTTPStatus.CREATED, responses=documented(404, 422, 503))
    async def create_link(request: Request, task_id: str, body: NewLink | None = None) -> Link:
        """Make a link to hand to an end user: a page with the progress of this one task, without a login."""
        wanted = body or NewLink()
        await past_record(yard, task_id)
        path = await yard.public_link(task_id, **wanted.model_dump())
        await audited(yard, request, "link", "task", task_id, **wanted.model_dump())
        url = str(request.base_url.replace(path=base_of(yard, request) + path))
        return Link(url=url, embed_url=f"{url}/embed", expires=datetime.now(UTC) + timedelta(seconds=wanted.expires))

    return router

"""``/dead-letters``: queue entries that no worker could read or run."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from backyard.api.bodies import JSON
from backyard.api.problems import ProblemRoute, documented
from backyard.core.dead_letter import DeadLetter, DeadLetterMessage
from backyard.desk import dead_letters
from backyard.desk.links import base_of

if TYPE_CHECKING:
    from backyard.app import Backyard

MOST = 500


class Requeued(BaseModel):
    """What became of a dead letter."""

    letter_id: str
    queue: str = Field(description="Where it waits now")


class Deleted(BaseModel):
    """How many dead letters were deleted."""

    deleted: int


def dead_letters_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["dead letters"])

    @router.get("/dead-letters", response_model=list[DeadLetter], responses=documented(404, 422, 503))
    async def list_dead_letters(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
        before: Annotated[str, Query(max_length=40, description="Only those set aside before that letter")] = "",
    ) -> Response:
        """List queue entries that no worker could read or run, newest first. `Link` leads to the next page."""
        found = await dead_letters.listing(yard, limit + 1, before)
        headers = {}
        if len(found) > limit:
            query = urlencode({"limit": limit, "before": found[limit - 1].letter_id})
            headers["Link"] = f'<{base_of(yard, request)}/dead-letters?{query}>; rel="next"'
        text = f"[{','.join(one.model_dump_json() for one in found[:limit])}]"
        return Response(text, headers=headers, media_type=JSON)

    @router.get("/dead-letters/{letter_id}", responses=documented(404, 503))
    async def get_dead_letter(letter_id: str) -> DeadLetterMessage:
        """Look at a dead letter, with its message."""
        return await dead_letters.read(yard, letter_id)

    @router.post("/dead-letters/{letter_id}/requeue", responses=documented(404, 409, 503))
    async def requeue_dead_letter(request: Request, letter_id: str) -> Requeued:
        """Put a dead letter back into its queue. The task that it ended, if any, waits again, under the same id."""
        return Requeued(letter_id=letter_id, queue=await dead_letters.requeue(yard, request, letter_id))

    @router.delete("/dead-letters/{letter_id}", status_code=204, responses=documented(404, 503))
    async def delete_dead_letter(request: Request, letter_id: str) -> Response:
        """Delete a dead letter. The record of its task stays."""
        await dead_letters.delete(yard, request, letter_id)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @router.delete("/dead-letters", responses=documented(404, 422, 503))
    async def delete_dead_letters(
        request: Request,
        until: Annotated[str, Query(max_length=40, description="The newest one that goes, with all before it")],
    ) -> Deleted:
        """Delete a dead letter and all that are older."""
        return Deleted(deleted=await dead_letters.delete_until(yard, request, until))

    return router

"""``/tasks/{task_id}/artifacts``: what tasks have made."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from backyard.desk.downloads import BYTES, HasFiles, download

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Artifact(BaseModel):
    """A file that a task has saved."""

    model_config = ConfigDict(frozen=True)

    name: str
    size: int = Field(description="Bytes.")
    content_type: str
    sha256: str = Field(description="Digest of the bytes, in hexadecimal.")
    created: datetime
    url: str = Field(description="Where it can be downloaded.")


def artifacts_router(
    yard: HasFiles,
    route_class: type[APIRoute] = APIRoute,
    require_task: Callable[[str], Awaitable[object]] | None = None,
) -> APIRouter:
    """Build the routes of ``/tasks/{task_id}/artifacts``.

    Args:
        yard: Gives the files.
        route_class: FastAPI route class for these routes.
        require_task: Awaited with the id of a task that has no artifacts; raises if there is no such task.
    """
    router = APIRouter(tags=["artifacts"], route_class=route_class)

    @router.get("/tasks/{task_id}/artifacts", summary="List a task's artifacts", name="backyard_list_artifacts")
    async def list_artifacts(request: Request, task_id: str) -> list[Artifact]:
        """List what a task has saved so far, by name."""
        found = await yard.files.list_artifacts(task_id)
        if not found and require_task:
            await require_task(task_id)
        return [
            Artifact(
                **stored.model_dump(exclude={"id"}),
                url=quote(request.url_for("backyard_download_artifact", task_id=task_id, name=stored.name).path),
            )
            for stored in found
        ]

    _add_download(router, yard)
    return router


def _add_download(router: APIRouter, yard: HasFiles) -> None:
    @router.head("/tasks/{task_id}/artifacts/{name}", include_in_schema=False)
    @router.get(
        "/tasks/{task_id}/artifacts/{name}",
        responses=BYTES,
        response_class=Response,
        summary="Download an artifact",
        name="backyard_download_artifact",
    )
    async def download_artifact(request: Request, task_id: str, name: str) -> Response:
        """Give the bytes of one artifact; `Range` asks for a part of them."""
        return await download(
            request,
            lambda: yard.files.stat_artifact(task_id, name),
            lambda stored, start, end: yard.files.read_artifact(task_id, stored, start, end),
        )

"""``/files``: uploads in, their descriptions and bytes out."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Self

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from backyard.api.multipart import FIELD, IncomingFile
from backyard.desk.downloads import BYTES, HasFiles, download

if TYPE_CHECKING:
    from backyard.files import StoredFile

_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {
                    FIELD: {"type": "string", "format": "binary", "description": "The file, with its name."}
                },
            }
        }
    },
}


class FileDescription(BaseModel):
    """An uploaded file. Its ``file_id`` is what a task's input names it by."""

    model_config = ConfigDict(frozen=True)

    file_id: str = Field(description="Names the file in a task's input.")
    name: str
    size: int = Field(description="Bytes.")
    content_type: str
    sha256: str = Field(description="Digest of the bytes, in hexadecimal.")
    created: datetime

    @classmethod
    def of(cls, stored: StoredFile) -> Self:
        """Describe a stored file as the API does."""
        return cls(file_id=stored.id, **stored.model_dump(exclude={"id"}))


def files_router(yard: HasFiles, route_class: type[APIRoute] = APIRoute) -> APIRouter:
    """Build the routes of ``/files``.

    Args:
        yard: Gives the files and the settings (``max_upload``).
        route_class: FastAPI route class for these routes.
    """
    router = APIRouter(tags=["files"], route_class=route_class)

    _add_upload(router, yard)

    @router.get("/files/{file_id}", summary="Describe an uploaded file", name="backyard_describe_file")
    async def describe_file(file_id: str) -> FileDescription:
        """Say what an uploaded file is called, how large it is and what it holds."""
        return FileDescription.of(await yard.files.describe(file_id))

    @router.head("/files/{file_id}/content", include_in_schema=False)
    @router.get(
        "/files/{file_id}/content",
        responses=BYTES,
        response_class=Response,
        summary="Download an uploaded file",
        name="backyard_download_file",
    )
    async def download_file(request: Request, file_id: str) -> Response:
        """Give the bytes of an uploaded file; `Range` asks for a part of them."""
        return await download(request, lambda: yard.files.describe(file_id), yard.files.read_upload)

    return router


def _add_upload(router: APIRouter, yard: HasFiles) -> None:
    @router.post(
        "/files",
        status_code=201,
        openapi_extra={"requestBody": _BODY},
        summary="Upload a file",
        name="backyard_upload_file",
        # The application's own limit is for bodies held in memory; here IncomingFile counts.
        max_body_size=sys.maxsize,
    )
    async def upload_file(request: Request, response: Response) -> FileDescription:
        """Store a file while it arrives. Give its `file_id` to a task that takes a file."""
        limit = yard.settings.max_upload
        incoming = IncomingFile(request, limit)
        await incoming.begin()
        stored = await yard.files.store_upload(
            incoming.chunks(), name=incoming.name, content_type=incoming.content_type, limit=limit
        )
        response.headers["Location"] = request.url_for("backyard_describe_file", file_id=stored.id).path
        return FileDescription.of(stored)

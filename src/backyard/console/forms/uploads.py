"""Files that come with a form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.datastructures import UploadFile

if TYPE_CHECKING:
    from backyard.files import Files, StoredFile

_BLOCK = 256 * 1024


async def stored(files: Files, upload: UploadFile, limit: int) -> StoredFile:
    """Store a file that came with a form, as ``POST /files`` does.

    Args:
        files: Where to.
        upload: The file.
        limit: Most bytes.

    Raises:
        UnsafeNameError: Its name is not safe.
        TooLargeError: It has more bytes.
        StorageUnavailableError: The storage is away.
    """
    return await files.store_upload(
        _chunks(upload), name=upload.filename or "", content_type=upload.content_type, limit=limit
    )


async def _chunks(upload: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await upload.read(_BLOCK):
        yield chunk

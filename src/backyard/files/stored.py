"""What is known about one stored file, and how it becomes known while the bytes pass by."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import uuid_utils
from pydantic import BaseModel, ConfigDict

from backyard.core.errors import TooLargeError
from backyard.files.names import content_type_of, safe_name


class StoredFile(BaseModel):
    """One uploaded file, or one saved version of an artifact.

    Args:
        id: The upload's id; of an artifact, the id of this version.
        name: What it is called, with no folders.
        size: Bytes.
        content_type: Its media type.
        sha256: Digest of the bytes, in hexadecimal.
        created: When it was stored, in UTC.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    size: int
    content_type: str
    sha256: str
    created: datetime


class Draft:
    """A file on its way in: measured as it passes.

    Args:
        name: What it is to be called.
        content_type: Its media type, if known.
        limit: Most bytes it may have; None for no limit.

    Raises:
        UnsafeNameError: The name is not safe.
    """

    def __init__(self, name: str, content_type: str | None, limit: int | None = None) -> None:
        self.id = str(uuid_utils.uuid7())
        self.name = safe_name(name)
        self._content_type = content_type_of(self.name, content_type)
        self._limit = limit
        self._size = 0
        self._digest = hashlib.sha256()

    def add(self, chunk: bytes | memoryview) -> None:
        """Measure the next bytes.

        Raises:
            TooLargeError: The file is over its limit.
        """
        self._size += len(chunk)
        if self._limit is not None and self._size > self._limit:
            raise TooLargeError(
                f"The file {self.name!r} is larger than the {self._limit:,} bytes allowed for an upload. "
                "Send a smaller one, or raise BACKYARD_MAX_UPLOAD."
            )
        self._digest.update(chunk)

    def finished(self) -> StoredFile:
        """Say what passed."""
        return StoredFile(
            id=self.id,
            name=self.name,
            size=self._size,
            content_type=self._content_type,
            sha256=self._digest.hexdigest(),
            created=datetime.now(UTC),
        )

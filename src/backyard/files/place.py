"""Where files are kept, as the setting ``files_url`` says it. Read without the storage library, which is heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from backyard.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, or a bucket.

    Attributes:
        url: How the user wrote it.
        folder: The folder; None where it is a bucket.
        bucket: The bucket's name; empty where it is a folder.
        prefix: What the keys in the bucket begin with; empty for none.
    """

    url: str
    folder: Path | None = None
    bucket: str = ""
    prefix: str = ""

    @classmethod
    def read(cls, url: str) -> Self:
        """Read a URL.

        Args:
            url: A folder, ``file://`` or ``s3://bucket/prefix``.

        Raises:
            SettingsError: It is of no kind that can be used.
        """
        parts = urlsplit(url)
        if parts.scheme == "s3":
            if not parts.hostname or parts.username or parts.query or parts.fragment:
                raise _unusable("s3:// and the rest of the URL must be s3://bucket or s3://bucket/prefix")
            return cls(url, bucket=parts.netloc, prefix=parts.path.strip("/"))
        if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
            return cls(url, Path(unquote(parts.path)))
        if "://" in url or not url:
            raise _unusable(f"{parts.scheme or 'an empty value'} is not supported")
        # Made absolute now: a later change of the working directory must not move the files.
        return cls(url, Path(url).expanduser().absolute())


def _unusable(what: str) -> SettingsError:
    return SettingsError(
        f"BACKYARD_FILES_URL cannot work: {what}. Give a folder, file:///folder or s3://bucket/prefix; "
        "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    )

"""What the storage library's errors mean, in sentences that say what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import obstore.exceptions

from backyard.core.errors import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Any web server answers 404; only one that says this is a storage without that object.
_MISSING = ("NoSuchKey", "No such file or directory")
# The library tells these apart in its text only. Most telling first.
_MEANINGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("NoSuchBucket",), "the bucket does not exist. Create it, or correct BACKYARD_FILES_URL"),
    (
        ("169.254.", "CredentialsNotLoaded", "metadata endpoint"),
        "there are no credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached",
    ),
    (
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "401 Unauthorized"),
        "the credentials are refused. Correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    (
        ("AccessDenied", "403 Forbidden", "Permission denied", "Operation not permitted"),
        "permission is denied. Allow reading, writing, listing and deleting there",
    ),
    (("Read-only file system",), "the file system is read-only. Choose another folder with BACKYARD_FILES_URL"),
    (("No space left", "quota exceeded"), "the disk is full. Free some space"),
    (
        ("Not a directory", "File exists", "Is a directory"),
        "a file stands where a folder is needed. Move it, or choose another folder with BACKYARD_FILES_URL",
    ),
    (
        ("kind: Connect", "kind: Timeout", "TimedOut", "error sending request"),
        "it does not answer. Check that it runs and that AWS_ENDPOINT_URL and the network lead to it",
    ),
    (("301 Moved", "PermanentRedirect", "AuthorizationHeaderMalformed"), "the region is wrong. Correct AWS_REGION"),
)


@contextmanager
def explained(place: str, *, may_miss: bool = False) -> Iterator[None]:
    """Turn every failure of the storage inside into one error.

    Args:
        place: Where the files live, as the user wrote it.
        may_miss: An object that is not there stays a FileNotFoundError.

    Raises:
        StorageUnavailableError: The storage failed; the message says what to do.
    """
    try:
        yield
    except (obstore.exceptions.BaseError, OSError, NotImplementedError) as error:
        if may_miss and isinstance(error, FileNotFoundError) and any(mark in str(error) for mark in _MISSING):
            raise
        raise _unavailable(place, error) from error


def _unavailable(place: str, error: Exception) -> StorageUnavailableError:
    text = str(error)
    for marks, meaning in _MEANINGS:
        if any(mark in text for mark in marks):
            return StorageUnavailableError(f"The file storage {place} cannot be used: {meaning}, and try again.")
    first_line = text.partition("\n")[0][:300]
    return StorageUnavailableError(
        f"The file storage {place} failed: {first_line}. Check BACKYARD_FILES_URL and the storage, and try again."
    )

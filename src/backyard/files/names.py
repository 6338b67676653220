"""What files may be called, and under which keys they lie.

Legend of the keys, below the folder or the bucket's prefix::

    uploads/<file id>/<name>              the bytes of an uploaded file
    uploads/<file id>.json                its description, written last: without it the file does not exist
    artifacts/<task>/<version>/<name>     the bytes of one saved version of an artifact
    artifacts/<task>/<name's digest>.json the current version's description: replacing it replaces the artifact

``<task>`` is the task id, or a digest of it where the id is not plain enough to be a folder's name.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from mimetypes import MimeTypes

from backyard.core.errors import UnknownFileError, UnsafeNameError

LONGEST_NAME = 200
"""Bytes of UTF-8: file systems allow 255, and the storage library adds a suffix while it writes."""

OCTET_STREAM = "application/octet-stream"

_PUNCTUATION = frozenset(" ._-()+,=@&'!")
_FILE_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# Lower case only: two ids that differ in case alone would share a folder where the file system ignores case.
_PLAIN_TASK_ID = re.compile(r"[0-9a-z](?:[0-9a-z-]|[._](?=[0-9a-z-])){0,99}")
_CONTENT_TYPE = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}(; ?charset=[\w-]{1,40})?", re.ASCII)

# The standard library's own table only: the system's files differ from machine to machine.
_TYPES = MimeTypes()
for _type, _suffix in (
    ("application/vnd.apache.parquet", ".parquet"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx"),
    ("application/x-ndjson", ".jsonl"),
    ("image/webp", ".webp"),
    ("text/markdown", ".md"),
):
    _TYPES.add_type(_type, _suffix)


def safe_name(name: str) -> str:
    """Give the name back in its one normal form (Unicode NFC).

    Args:
        name: What a user or a task calls a file.

    Raises:
        UnsafeNameError: The name could leave its folder, hide in it or upset a header; the message says what to do.
    """
    normal = unicodedata.normalize("NFC", name)
    problem = _problem(normal)
    if problem:
        raise UnsafeNameError(
            f"The file name {name[:80]!a} {problem}. Use a plain name such as 'report-2.pdf': "
            "begin with a letter or a digit, "
            f"then letters, digits, spaces and any of {''.join(sorted(_PUNCTUATION - {' '}))}, "
            f"up to {LONGEST_NAME} bytes, with no folders."
        )
    return normal


def _problem(name: str) -> str | None:
    # Harmless are letters, marks (accents and vowel signs) and numbers of every script.
    strange = next(
        (character for character in name if character not in _PUNCTUATION and _kind(character) not in "LMN"), ""
    )
    checks = (
        (not name, "is empty"),
        (strange, f"contains {strange!a}"),
        (name and _kind(name[0]) not in "LN", f"begins with {name[:1]!a}"),
        (".." in name, "contains '..'"),
        (name.endswith((" ", ".")), "ends with a space or a dot"),
        (len(name.encode("utf-8", "replace")) > LONGEST_NAME, "is too long"),
    )
    return next((text for wrong, text in checks if wrong), None)


def _kind(character: str) -> str:
    return unicodedata.category(character)[0]


def known_file_id(file_id: str) -> str:
    """Give the id back if it could be one of ours.

    Raises:
        UnknownFileError: It could not.
    """
    if not _FILE_ID.fullmatch(file_id):
        raise unknown_file(file_id)
    return file_id


def unknown_file(file_id: str) -> UnknownFileError:
    """Build the error for an id that names no file."""
    return UnknownFileError(
        f"There is no file with the id {file_id[:80]!a}. Upload it with POST /files, which answers with its id."
    )


def content_type_of(name: str, given: str | None = None) -> str:
    """Tell the media type: the given one if it is well formed, else by the name's ending.

    Args:
        name: The file's name.
        given: What the sender called it, if anything.
    """
    if given and given != OCTET_STREAM and _CONTENT_TYPE.fullmatch(given):
        return given.lower()
    kind, encoding = _TYPES.guess_type(name, strict=False)
    if encoding:
        return "application/gzip" if encoding == "gzip" else OCTET_STREAM
    return kind or OCTET_STREAM


def upload_key(file_id: str, name: str) -> str:
    """Name the place of an uploaded file's bytes."""
    return f"uploads/{file_id}/{name}"


def upload_card(file_id: str) -> str:
    """Name the place of an uploaded file's description."""
    return f"uploads/{file_id}.json"


def task_folder(task_id: str) -> str:
    """Name the folder of a task's artifacts. Celery's callers may choose any id, so an odd one becomes a digest."""
    plain = task_id if _PLAIN_TASK_ID.fullmatch(task_id) else f"_{_digest(task_id)}"
    return f"artifacts/{plain}"


def artifact_key(task_id: str, version: str, name: str) -> str:
    """Name the place of the bytes of one version of an artifact."""
    return f"{task_folder(task_id)}/{version}/{name}"


def artifact_card(task_id: str, name: str) -> str:
    """Name the place of an artifact's description. A digest, so that case and script never decide what is the same."""
    return f"{task_folder(task_id)}/{_digest(name)}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]

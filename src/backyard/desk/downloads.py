"""How stored bytes leave: headers that are safe in a browser, one range, and streaming (RFC 9110)."""

from __future__ import annotations

import re
from email.utils import format_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from starlette.responses import JSONResponse, Response, StreamingResponse

from backyard.core.errors import UnknownArtifactError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

    from backyard.files import Files, StoredFile
    from backyard.settings import Settings

BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}
"""What OpenAPI says of an answer that is a file."""

# What a browser shows without running anything in it. HTML and SVG can carry scripts that would act as this site.
_SHOWN = frozenset(
    {
        "application/json",
        "application/pdf",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/csv",
        "text/markdown",
        "text/plain",
    }
)
_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)
_TRIES = 3


class HasFiles(Protocol):
    """What these routes need of a yard."""

    @property
    def files(self) -> Files:
        """Where files and artifacts live."""

    @property
    def settings(self) -> Settings:
        """The yard's settings."""


class _UnsatisfiableRangeError(Exception):
    pass


async def download(
    request: Request,
    describe: Callable[[], Awaitable[StoredFile]],
    read: Callable[[StoredFile, int, int], Awaitable[AsyncIterator[bytes]]],
) -> Response:
    """Answer GET or HEAD for a stored file: whole, one range of it, or not at all where the asker has it.

    Args:
        request: The request.
        describe: Says what is stored.
        read: Begins to read just that, from a first byte to one past a last.

    Raises:
        BackyardError: What ``describe`` and ``read`` raise.
    """
    tries = _TRIES
    while True:
        stored = await describe()
        try:
            return await _answer(request, stored, read)
        except UnknownArtifactError:
            # Replaced between the two steps: the new one is there, so look again.
            tries -= 1
            if not tries:
                raise


async def _answer(
    request: Request,
    stored: StoredFile,
    read: Callable[[StoredFile, int, int], Awaitable[AsyncIterator[bytes]]],
) -> Response:
    headers = _headers(stored)
    if _has_it(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        wanted = _range(request, headers, stored.size)
    except _UnsatisfiableRangeError:
        return _unsatisfiable(stored)
    start, end = wanted or (0, stored.size)
    headers["Content-Length"] = str(end - start)
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
    status = HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=stored.content_type)
    pieces = await read(stored, start, end)
    return StreamingResponse(pieces, status_code=status, headers=headers, media_type=stored.content_type)


def _headers(stored: StoredFile) -> dict[str, str]:
    kind = "inline" if stored.content_type.partition(";")[0] in _SHOWN else "attachment"
    # Safe names hold no quotes, backslashes or control characters; what is not ASCII goes the way of RFC 6266.
    name = f'filename="{stored.name}"' if stored.name.isascii() else f"filename*=UTF-8''{quote(stored.name, safe='')}"
    return {
        "Accept-Ranges": "bytes",
        # An artifact may be replaced, and may be for its reader alone: keep it, but ask each time.
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f"{kind}; {name}",
        "ETag": f'"{stored.sha256[:32]}"',
        "Last-Modified": format_datetime(stored.created.replace(microsecond=0), usegmt=True),
        "X-Content-Type-Options": "nosniff",
    }


def _has_it(if_none_match: str | None, tag: str) -> bool:
    if if_none_match is None:
        return False
    tags = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return tag in tags or "*" in tags


def _range(request: Request, headers: dict[str, str], size: int) -> tuple[int, int] | None:
    """Read the one range that is asked for; None for the whole, as for anything that is not one plain range."""
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    condition = request.headers.get("if-range")
    if not found or condition not in {None, headers["ETag"], headers["Last-Modified"]}:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise _UnsatisfiableRangeError
    return start, end


def _unsatisfiable(stored: StoredFile) -> Response:
    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    return JSONResponse(
        {
            "type": "about:blank",
            "title": "The range is not in the file",
            "status": status.value,
            "detail": f"{stored.name!r} has {stored.size:,} bytes. Ask for a range that begins within them.",
            "code": "range_not_satisfiable",
        },
        status_code=status,
        headers={"Content-Range": f"bytes */{stored.size}", "Accept-Ranges": "bytes"},
        media_type="application/problem+json",
    )

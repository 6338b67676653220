"""Request bodies, read within their limit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request

from backyard.core.errors import InvalidInputError, TooLargeError, WrongContentTypeError

T = TypeVar("T")

JSON = "application/json"
_JSON = re.compile(r"application/([\w.+-]+\+)?json[ \t]*(;.*)?", re.IGNORECASE)
#: Bytes of JSON that are read or written on the event loop; more would hold other requests up.
_SMALL = 16_384
_THREAD = ThreadPoolExecutor(1, "backyard-json")


async def read_body(request: Request, limit: int) -> bytes:
    """Read a JSON body, and stop as soon as it is too large.

    A page of another site can make a browser send a form or plain text here, but not JSON; so a body has to say it is.

    Args:
        request: The request.
        limit: Most bytes.

    Raises:
        TooLargeError: The body is larger, or says so.
        WrongContentTypeError: There is a body, and it does not say that it is JSON.
        InvalidInputError: The client went away in the middle.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
    except ClientDisconnect:
        raise InvalidInputError("The connection closed before the whole body had come.") from None
    kind = request.headers.get("content-type", "")
    if body and not _JSON.fullmatch(kind.strip()):
        said = f"'{kind[:100]}'" if kind else "nothing"
        raise WrongContentTypeError(f"The Content-Type says {said}. Send JSON, with 'Content-Type: application/json'.")
    return bytes(body)


async def aside(size: int, work: Callable[[], T]) -> T:
    """Read or write JSON: a little here and now, and much in a thread, so that nobody has to wait for it.

    It is one thread for all: several would take turns with each other, and the event loop's turn would come late.

    Args:
        size: Bytes there are to read or write, about.
        work: Does it.
    """
    return work() if size <= _SMALL else await asyncio.get_running_loop().run_in_executor(_THREAD, work)


def described(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Return OpenAPI's description of a body that the handler reads itself."""
    schema = model.model_json_schema()
    content = {JSON: {"schema": _whole(schema, schema.pop("$defs", {}))}}
    return {"requestBody": {"required": required, "content": content}}


def _whole(schema: Any, parts: dict[str, Any]) -> Any:
    """Return a schema with its parts in their places: references would lead out of the API's document."""
    if isinstance(schema, list):
        return [_whole(one, parts) for one in schema]
    if not isinstance(schema, dict):
        return schema
    part = parts.get(str(schema.get("$ref", "")).removeprefix("#/$defs/"), {})
    return {name: _whole(one, parts) for name, one in (part | schema).items() if name != "$ref"}


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"The body is over {limit} bytes. Upload large data with POST /files and name its id in the input, "
        "or raise BACKYARD_MAX_BODY."
    )

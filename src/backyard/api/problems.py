"""The one error shape: problem details for HTTP APIs (RFC 9457), for every error that leaves a route."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from backyard.core.definition import told
from backyard.core.errors import (
    BackyardError,
    InvalidInputError,
    LedgerUnavailableError,
    QueueFullError,
    TooLargeError,
    WrongContentTypeError,
)

logger = logging.getLogger("backyard.api")

MEDIA_TYPE = "application/problem+json"
#: Seconds after which a client may try again when a part is away.
RETRY_AFTER = 2
#: Codes and titles of what the framework refuses; Python's own phrases change with its version.
_NAMES = {
    400: ("bad_request", "The request is not valid"),
    401: ("unauthorized", "A login is needed"),
    403: ("forbidden", "This is not allowed"),
    404: ("not_found", "There is nothing at this address"),
    405: ("method_not_allowed", "This address does not take that method"),
    413: (TooLargeError.code, TooLargeError.title),
}


class FieldError(BaseModel):
    """What is wrong with one field."""

    location: list[str | int] = Field(description="Path to the field, from the outside in")
    message: str
    type: str = Field(description="Stable name of the rule that was broken")


class Problem(BaseModel):
    """Why a request failed, and what to do."""

    type: str = Field(description="Stable URN of the problem")
    title: str
    status: int
    detail: str
    code: str = Field(description="The problem's short name")
    errors: list[FieldError] = []
    task_id: str | None = Field(
        default=None, description="With 503 on a submit: repeat it with this id, and it makes one task"
    )


def problem(status: int, code: str, title: str, detail: str, **more: Any) -> JSONResponse:
    """Return an error as a response.

    Args:
        status: HTTP status.
        code: The problem's short name.
        title: What kind of problem it is, the same each time.
        detail: What happened this time, and what to do.
        more: ``errors`` or ``task_id``.
    """
    body = {
        "type": f"urn:backyard:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        **more,
    }
    headers = {"Retry-After": str(RETRY_AFTER)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def _of_http(error: HTTPException) -> JSONResponse:
    """Return an error of the framework, or of a dependency, in our shape, with the headers that belong to it."""
    code, title = _NAMES.get(error.status_code, ("http_error", "The request cannot be served"))
    answer = problem(error.status_code, code, title, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


def problem_of(error: Exception) -> JSONResponse:
    """Return any error as a response; one that nobody expected is logged, and tells the client nothing."""
    if isinstance(error, BackyardError):
        more: dict[str, Any] = {}
        if isinstance(error, InvalidInputError) and error.errors:
            more["errors"] = error.errors
        if isinstance(error, LedgerUnavailableError) and error.task_id:
            more["task_id"] = error.task_id
        answer = problem(error.status, error.code, error.title, error.message, **more)
        if isinstance(error, QueueFullError):
            answer.headers["Retry-After"] = str(error.retry_after)
        return answer
    if isinstance(error, RequestValidationError):
        rows = [
            {"location": list(row["loc"]), "message": told(row["type"], row["msg"]), "type": row["type"]}
            for row in error.errors()
        ]
        first = rows[0]
        place = ".".join(map(str, first["location"]))
        return problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", "The request is not valid",
            f"{place}: {first['message']}", errors=rows,
        )  # fmt: skip
    if isinstance(error, HTTPException):
        return _of_http(error)
    logger.error("A route failed", exc_info=error)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Something went wrong", "The server's log has the reason."
    )


def _handled_by_app(request: Request, error: Exception) -> bool:
    """Whether the error is not of our kinds, as one that a dependency raises, and the app has an answer of its own.

    Its answer to any ``Exception`` is not meant: ours says what happened, in the shape that these routes promise.
    """
    if isinstance(error, BackyardError | RequestValidationError | HTTPException):
        return False
    kinds = type(error).__mro__[: type(error).__mro__.index(Exception)]
    return any(kind in request.app.exception_handlers for kind in kinds)


class ProblemRoute(APIRoute):
    """A route whose errors leave in the one shape, without touching the handlers of the app it is mounted in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's own handler."""
        return self.guarded(super().get_route_handler())

    @staticmethod
    def guarded(handle: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers with a problem where a handler raises an error."""

        async def guarded(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                if _handled_by_app(request, error):
                    raise
                return problem_of(error)

        return guarded


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's description of the errors a route can answer with."""
    return {status: {MARK: True, **_DOCUMENTED[status]} for status in statuses}


#: Marks an answer as a problem for :mod:`backyard.api.openapi`, which says what it looks like.
MARK = "x-problem"
_DOCUMENTED: dict[int, dict[str, Any]] = {
    404: {"description": "There is no such thing"},
    409: {"description": "It cannot be done as things stand; `detail` says what is in the way"},
    413: {"description": TooLargeError.title},
    415: {"description": WrongContentTypeError.title},
    422: {"description": "The request does not fit; `errors` names the fields"},
    429: {
        "description": QueueFullError.title,
        "headers": {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}},
    },
    503: {
        "description": "A part that is needed does not answer",
        "headers": {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}},
    },
}

"""What the app's OpenAPI document says of a yard: one typed operation a definition, and the one error shape."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Body, Header, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import Match
from starlette.types import Scope

from backyard.api.problems import MARK, MEDIA_TYPE, documented
from backyard.api.submits import BATCH_LIMIT, Batch, BatchOptions, SubmitOptions
from backyard.core.definition import Definition
from backyard.core.models import TaskView

if TYPE_CHECKING:
    from fastapi import FastAPI

_MANY_BEFORE: dict[str, Any] = {"model": Batch, "description": "The tasks that the same Idempotency-Key made before"}
_BATCH = "All inputs are checked first; if one does not fit, none is submitted."
_BEFORE = {"model": TaskView, "description": "The task that this `task_id` or `Idempotency-Key` made before"}


class _Description(APIRoute):
    """A route that exists for the document alone: it answers nothing, and costs other requests next to nothing."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return Match.NONE, scope


def operation_id(route: APIRoute) -> str:
    """Return the operation id of one of our routes: the name of its function, wherever it is mounted."""
    return route.name.removeprefix("backyard_")


def documenter(app: FastAPI, prefix: str) -> Callable[[Definition], None]:
    """Return what gives definitions their own operations in the app's OpenAPI document.

    The generic routes answer; these say what they take.

    Args:
        app: The app whose document it is.
        prefix: Path that the yard's routes begin with.
    """
    _name_media_types(app)

    def document(definition: Definition) -> None:
        _forget(app, definition)
        path = f"{prefix}/tasks/{definition.name}"
        errors = documented(404, 413, 415, 422, 429, 503)
        app.router.add_api_route(
            path, _one(definition), methods=["POST"], response_model=TaskView, status_code=201, tags=["definitions"],
            operation_id=f"submit_{definition.name}", summary=definition.summary, description=definition.doc,
            responses={200: _BEFORE, **errors}, route_class_override=_Description,
        )  # fmt: skip
        app.router.add_api_route(
            f"{path}/batch", _many(definition), methods=["POST"], response_model=Batch, status_code=201,
            tags=["definitions"], operation_id=f"batch_{definition.name}", summary=f"{definition.summary} (many)",
            description=_BATCH, responses={200: _MANY_BEFORE, **errors}, route_class_override=_Description,
        )  # fmt: skip
        app.openapi_schema = None

    return document


def _forget(app: FastAPI, definition: Definition) -> None:
    """Take out what a definition was documented as before it was registered again, as notebooks do."""
    names = {f"submit_{definition.name}", f"batch_{definition.name}"}
    for route in [one for one in app.router.routes if isinstance(one, _Description) and one.operation_id in names]:
        app.router.routes.remove(route)


def _one(definition: Definition) -> Any:
    body = Body(examples=[dict(definition.example)]) if definition.example else Body()
    return _endpoint(definition.input_model, body, SubmitOptions)


def _many(definition: Definition) -> Any:
    inputs = list[definition.input_model]  # type: ignore[name-defined]  # made at run time
    return _endpoint(inputs, Body(min_length=1, max_length=BATCH_LIMIT), BatchOptions)


def _endpoint(annotation: Any, body: Any, options: type[BaseModel]) -> Any:
    """Return an endpoint that exists for its signature alone."""

    async def endpoint(**_: Any) -> None:
        raise NotImplementedError

    parameter, keyword = inspect.Parameter, inspect.Parameter.KEYWORD_ONLY
    key = parameter("idempotency_key", keyword, default=None, annotation=Annotated[str | None, Header()])
    endpoint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # how FastAPI reads an endpoint
        [
            parameter("body", keyword, default=body, annotation=annotation),
            parameter("options", keyword, annotation=Annotated[options, Query()]),
            key,
        ]
    )
    return endpoint


def _name_media_types(app: FastAPI) -> None:
    """Give the answers that are problems their own media type: FastAPI knows one for all answers of a route."""
    write = app.openapi

    def openapi() -> dict[str, Any]:
        schema = write()
        for operations in schema.get("paths", {}).values():
            for operation in operations.values():
                for answer in operation["responses"].values() if "responses" in operation else ():
                    if answer.pop(MARK, False):
                        answer["content"] = {MEDIA_TYPE: answer["content"].pop("application/json")}
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the document

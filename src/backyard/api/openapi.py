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

from backyard.api.problems import MARK, MEDIA_TYPE, FieldError, Problem, documented
from backyard.api.submits import BATCH_LIMIT, Batch, BatchOptions, SubmitOptions
from backyard.core.definition import Definition
from backyard.core.models import TaskView

if TYPE_CHECKING:
    from fastapi import FastAPI

_MANY_BEFORE: dict[str, Any] = {"model": Batch, "description": "The tasks that the same Idempotency-Key made before"}
#: Where a document has its schemas.
_PLACE = "#/components/schemas/"
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
    _describe_problems(app)

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


def _describe_problems(app: FastAPI) -> None:
    """Say of the answers that are problems what they look like, and their own media type.

    They are only marked where the routes are made: a model at each answer of each route would be built anew each time,
    and that would take a third of an app's start.
    """
    write = app.openapi

    def openapi() -> dict[str, Any]:
        schema = write()
        operations = [one for path in schema.get("paths", {}).values() for one in path.values() if "responses" in one]
        answers = [answer for one in operations for answer in one["responses"].values() if answer.pop(MARK, False)]
        if answers:
            content = {MEDIA_TYPE: {"schema": {"$ref": _PLACE + _add_problem(schema)}}}
            for answer in answers:
                answer["content"] = content
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the document


def _add_problem(document: dict[str, Any]) -> str:
    """Add the schema of problems to a document; returns its name, which is another where the app has such a model."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    theirs = {Problem.__name__, FieldError.__name__} & schemas.keys()
    prefix = "Backyard" if theirs else ""
    schema = Problem.model_json_schema(ref_template=f"{_PLACE}{prefix}{{model}}", mode="serialization")
    parts = {**schema.pop("$defs"), Problem.__name__: schema}
    schemas |= {f"{prefix}{name}": part for name, part in parts.items()}
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return f"{prefix}{Problem.__name__}"

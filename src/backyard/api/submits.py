"""``POST /tasks...``: one typed route a definition, its batch, and the same for any definition by name."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from backyard.api.bodies import JSON, aside, described, read_body
from backyard.api.links import write_view
from backyard.api.problems import ProblemRoute, documented
from backyard.api.shortcuts import shortcut
from backyard.api.strict_json import check, elements, members
from backyard.core.definition import SHOWN_ERRORS, Definition, invalid_input
from backyard.core.errors import (
    IdempotencyConflictError,
    InvalidInputError,
    LedgerUnavailableError,
    TooLargeError,
    UnknownTaskError,
)
from backyard.core.models import Lane, TaskView
from backyard.desk.inputs import parse_input
from backyard.desk.links import base_of
from backyard.ledger.record import Record
from backyard.submit import Options

if TYPE_CHECKING:
    from backyard.app import Backyard

KEY = "idempotency-key"
BATCH_LIMIT = 10_000
BATCH_BODY_FACTOR = 64
ERRORS = documented(404, 413, 415, 422, 429, 503)
TASK_ID = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$"


class BatchOptions(BaseModel):
    """What a submit may say beside its input; in the query of the typed routes, in the body of ``POST /tasks``."""

    model_config = ConfigDict(extra="forbid")

    delay: float | None = Field(default=None, ge=0, description="Seconds to wait before the task is queued")
    at: datetime | None = Field(default=None, description="Time to queue the task at, with its time zone")
    priority: Lane | None = Field(default=None, description="Instead of the definition's")
    expires: float | None = Field(default=None, gt=0, description="Seconds after which the task starts no more")
    tags: list[str] = Field(default=[], description="Words to find the task by")
    webhook: str | None = Field(default=None, description="URL that is told when the task ends")

    def options(self, idempotency_key: str | None = None) -> Options:
        """Return the options as the yard takes them."""
        chosen = {name: getattr(self, name) for name in self.model_fields_set & _OPTIONS}
        if not chosen and idempotency_key is None:
            return _NONE
        return Options().having(**chosen, idempotency_key=idempotency_key)


class SubmitOptions(BatchOptions):
    """What the submit of one task may say beside its input."""

    task_id: str | None = Field(
        default=None, pattern=TASK_ID, description="An id of your own, so that repeating is safe"
    )


class SubmitAny(SubmitOptions):
    """A submit that names its definition."""

    name: str = Field(description="The definition's name")
    input: Any = Field(default={}, description="The definition's input")


_OPTIONS = SubmitOptions.model_fields.keys()
_NONE = Options()
_REPEAT = "Repeat the batch with the same Idempotency-Key: each task is made once."
_KEYLESS = "Repeating the batch would make those anew: send batches with an Idempotency-Key."


class Batch(BaseModel):
    """The answer to a batch."""

    task_ids: list[str] = Field(description="One id an input, in the order of the inputs")
    count: int


def read_options(request: Request, model: type[BatchOptions]) -> Options:
    """Read the options of a typed route from its query; an unknown or doubled one is an error, not silence."""
    key = request.headers.get(KEY)
    if not request.scope["query_string"]:
        return _NONE if key is None else _NONE.having(idempotency_key=key)
    query = request.query_params
    values: dict[str, Any] = {name: query[name] for name in query if name != "tags"}
    if "tags" in query:
        values["tags"] = query.getlist("tags")
    for name in values:
        if name != "tags" and len(query.getlist(name)) > 1:
            raise InvalidInputError(f"The option '{name}' comes twice. Give it once.")
    try:
        return model.model_validate(values).options(key)
    except ValidationError as error:
        raise invalid_input("the query", error) from None


async def submitted(
    yard: Backyard, request: Request, definition: Definition, payload: bytes, options: Options
) -> Response:
    """Submit, and answer: 201 with the new task, or 200 with the one that the same key or id made before.

    Raises:
        IdempotencyConflictError: The key or id made another task.
        LedgerUnavailableError: The server is away; the error has the id to repeat the submit with.
    """
    sent, accepted = await yard.accept(definition, payload, options)
    created = accepted.outcome == "created"
    record = sent.record(accepted) if created else await _earlier(yard, definition, accepted.task_id)
    return Response(
        await write_view(yard, request, record),
        HTTPStatus.CREATED if created else HTTPStatus.OK,
        {"Location": f"{base_of(yard, request)}/tasks/{accepted.task_id}"},
        JSON,
    )


async def _earlier(yard: Backyard, definition: Definition, task_id: str) -> Record:
    """Read the task that a key or id made before."""
    try:
        record = await yard.ledger.arecord(task_id)
    except UnknownTaskError:
        raise IdempotencyConflictError(
            f"The same key made task {task_id}, and its record's lifetime has ended. Use a new key."
        ) from None
    except LedgerUnavailableError as error:
        raise LedgerUnavailableError(error.message, task_id) from error
    if record.text("name") != definition.name:
        raise IdempotencyConflictError(f"The id '{task_id}' belongs to a task of {record.text('name')}. Use a new id.")
    return record


def submits_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["tasks"])

    @router.post(
        "/tasks",
        status_code=201,
        response_model=TaskView,
        responses={200: {"model": TaskView, "description": "The task that was made before"}, **ERRORS},
        openapi_extra=described(SubmitAny),
    )
    @shortcut(lambda request: submit_task(request, request.headers.get(KEY)))
    async def submit_task(request: Request, idempotency_key: Annotated[str | None, Header()] = None) -> Response:
        """Submit a task of any definition, by name."""
        body = await read_body(request, yard.settings.max_body)
        wanted, text = await aside(len(body), lambda: _read_any(body))
        definition = yard.definition(wanted.name)
        payload = await aside(len(text), lambda: parse_input(definition, text, "input"))
        return await submitted(yard, request, definition, payload, wanted.options(idempotency_key))

    @router.post("/tasks/{name}", include_in_schema=False)
    @shortcut(lambda request: submit_typed_task(request, request.path_params["name"]))
    async def submit_typed_task(request: Request, name: str) -> Response:
        definition = yard.definition(name)
        options = read_options(request, SubmitOptions)
        body = await read_body(request, yard.settings.max_body) or b"{}"
        payload = await aside(len(body), lambda: _read_typed(definition, body))
        return await submitted(yard, request, definition, payload, options)

    @router.post("/tasks/{name}/batch", include_in_schema=False)
    async def submit_batch(request: Request, name: str) -> Response:
        definition = yard.definition(name)
        options = read_options(request, BatchOptions)
        body = await read_body(request, yard.settings.max_body * BATCH_BODY_FACTOR)
        payloads = await aside(len(body), lambda: _read_batch(definition, body, yard.settings.max_body))
        try:
            handles = await yard.submit_many(definition, payloads, options)
        except LedgerUnavailableError as error:
            raise LedgerUnavailableError(
                f"{error.message} {_REPEAT if options.idempotency_key else _KEYLESS}"
            ) from error
        answer = Batch(task_ids=[handle.task_id for handle in handles], count=len(handles))
        made = any(handle.created for handle in handles)
        return Response(answer.model_dump_json(), HTTPStatus.CREATED if made else HTTPStatus.OK, None, JSON)

    return router


def _read_any(body: bytes) -> tuple[SubmitAny, str]:
    """Read a body of ``POST /tasks``; the input as the text it came as."""
    text = members(body).get("input", "{}")
    try:
        return SubmitAny.model_validate_json(body), text
    except ValidationError as error:
        raise invalid_input("POST /tasks", error) from None


def _read_typed(definition: Definition, body: bytes) -> bytes:
    check(body)
    return parse_input(definition, body)


def _read_batch(definition: Definition, body: bytes, most: int) -> list[bytes]:
    """Check all inputs of a batch; if one does not fit, none is submitted."""
    inputs = elements(body, BATCH_LIMIT)
    if not 0 < len(inputs) <= BATCH_LIMIT:
        raise InvalidInputError(f"Send a list of 1 to {BATCH_LIMIT:,} inputs.")
    payloads: list[bytes] = []
    wrong: list[dict[str, Any]] = []
    for number, one in enumerate(inputs):
        if len(one) > most:
            raise TooLargeError(f"The input {number} is over {most} bytes, the most that one input may have.")
        try:
            payloads.append(parse_input(definition, one, number))
        except InvalidInputError as error:
            wrong += error.errors or [{"location": [number], "message": error.message, "type": error.code}]
    if wrong:
        raise InvalidInputError(
            f"{len(wrong)} errors in the inputs of {definition.name}; none was submitted.", wrong[:SHOWN_ERRORS]
        )
    return payloads

"""``/operations``: cancel, rerun or delete all tasks that match a filter, in the background."""

from __future__ import annotations

import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Query
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from uuid_utils import uuid7

from backyard.api.auditing import actor_of, audited
from backyard.api.bodies import JSON, described, read_body
from backyard.api.links import base_of
from backyard.api.past import ask, catch_up
from backyard.api.problems import ProblemRoute, documented
from backyard.api.strict_json import check
from backyard.core.definition import invalid_input
from backyard.core.errors import IdempotencyConflictError, InvalidInputError, UnknownOperationError
from backyard.core.operation import Matches, Operation, OperationPlan, sealing_place
from backyard.history import operations
from backyard.history.search import read_search

if TYPE_CHECKING:
    from backyard.app import Backyard

MOST = 500
#: Ids of operations that have an Idempotency-Key are made in here.
_SPACE = uuid.UUID("0d2f7a52-90f5-5c43-8f35-5f4f4c2c6f0b")


def operations_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["operations"])
    _add_writes(router, yard)

    @router.get("/operations", response_model=list[Operation], responses=documented(422, 503))
    async def list_operations(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
        after: Annotated[str, Query(max_length=128, description="Only older ones than that operation")] = "",
    ) -> Response:
        """List operations, newest first. `Link: <...>; rel="next"` leads to the next page."""
        found = await ask(yard, lambda past: operations.listing(past, limit + 1, after or None))
        headers = {}
        if len(found) > limit:
            query = urlencode({"limit": limit, "after": found[limit - 1].operation_id})
            headers["Link"] = f'<{base_of(yard, request)}/operations?{query}>; rel="next"'
        text = f"[{','.join(one.model_dump_json() for one in found[:limit])}]"
        return Response(text, headers=headers, media_type=JSON)

    @router.get("/operations/{operation_id}", responses=documented(404, 503))
    async def get_operation(operation_id: str) -> Operation:
        """Look at an operation: how far it is, and what came of its tasks."""
        return _known(operation_id, await ask(yard, lambda past: operations.get(past, operation_id)))

    return router


def _add_writes(router: APIRouter, yard: Backyard) -> None:
    @router.post(
        "/operations/preview",
        response_model=Matches,
        responses=documented(413, 415, 422, 503),
        openapi_extra=described(OperationPlan),
    )
    async def preview_operation(request: Request) -> Matches:
        """Count the tasks that an operation would deal with. Nothing is done."""
        plan = await _read(request, yard)
        return await ask(yard, lambda past: operations.matches(past, plan))

    @router.post(
        "/operations",
        status_code=202,
        response_model=Operation,
        responses=documented(413, 415, 422, 503),
        openapi_extra=described(OperationPlan),
    )
    async def create_operation(
        request: Request, idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None
    ) -> Response:
        """Cancel, rerun or delete all tasks that match, in the background. Tasks accepted later do not belong to it.

        `cancel` takes those that have not ended, `rerun` and `delete` those that have.
        """
        plan = await _read(request, yard)
        await catch_up(yard)
        operation, created = await _create(yard, request, plan, idempotency_key)
        if created:
            details = {"filter": operation.filter.model_dump(mode="json", exclude_defaults=True)}
            await audited(yard, request, plan.verb, "operation", operation.operation_id, **details)
        place = f"{base_of(yard, request)}/operations/{operation.operation_id}"
        return Response(operation.model_dump_json(), HTTPStatus.ACCEPTED, {"Location": place}, JSON)

    @router.post("/operations/{operation_id}/stop", responses=documented(404, 503))
    async def stop_operation(request: Request, operation_id: str) -> Operation:
        """Stop an operation; what is done stays done, and a final one stays as it is."""
        now = int(time.time() * 1000)
        found = _known(operation_id, await ask(yard, lambda past: operations.stop(past, operation_id, now)))
        await audited(yard, request, "stop", "operation", operation_id)
        return found


async def _create(yard: Backyard, request: Request, plan: OperationPlan, key: str | None) -> tuple[Operation, bool]:
    operation_id = str(uuid.uuid5(_SPACE, key)) if key else str(uuid7())
    sealed = None
    if plan.options.input is not None and yard.vault is not None:
        # Any of it may be meant for a secret.
        sealed = yard.vault.seal(to_json(plan.options.input), sealing_place(operation_id))
    now, actor = int(time.time() * 1000), actor_of(request)
    operation, created = await ask(
        yard, lambda past: operations.create(past, operation_id, plan, actor=actor, now=now, sealed=sealed)
    )
    if not created and not _same(operation, plan.completed()):
        raise IdempotencyConflictError(
            f"The Idempotency-Key '{key}' made operation {operation_id}, which is another. Use a new key."
        )
    return operation, created


def _same(operation: Operation, plan: OperationPlan) -> bool:
    """Whether an operation is the one that was asked for; of an edited input, only the names may be known."""
    shown, wanted = operation.options, plan.options
    names = [None if one.input is None else sorted(one.input) for one in (shown, wanted)]
    rest = [one.model_copy(update={"input": None}) for one in (shown, wanted)]
    return (operation.verb, operation.filter, rest[0], names[0]) == (plan.verb, plan.filter, rest[1], names[1])


async def _read(request: Request, yard: Backyard) -> OperationPlan:
    """Read what an operation is to do.

    Raises:
        InvalidInputError: It cannot work; its errors name the fields.
    """
    body = await read_body(request, yard.settings.max_body)
    check(body)
    try:
        plan = OperationPlan.model_validate_json(body)
    except ValidationError as error:
        raise invalid_input("the operation", error) from None
    if plan.filter.text is not None:
        try:
            read_search(plan.filter.text)
        except InvalidInputError as error:
            raise InvalidInputError(error.message, [{**error.errors[0], "location": ["filter", "text"]}]) from None
    return plan


def _known(operation_id: str, found: Operation | None) -> Operation:
    if found is None:
        raise UnknownOperationError(f"There is no operation '{operation_id}'. GET /operations lists them.")
    return found

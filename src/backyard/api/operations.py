"""``/operations``: cancel, rerun or delete all tasks that match a filter, in the background."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Query
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from backyard.api.bodies import JSON, described, read_body
from backyard.api.problems import ProblemRoute, documented
from backyard.api.strict_json import check
from backyard.core.definition import invalid_input
from backyard.core.operation import Matches, Operation, OperationPlan
from backyard.desk.links import base_of
from backyard.desk.operations import check_text, create, known, stop
from backyard.desk.past import ask
from backyard.history import operations

if TYPE_CHECKING:
    from backyard.app import Backyard

MOST = 500


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
        return known(operation_id, await ask(yard, lambda past: operations.get(past, operation_id)))

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
        operation = await create(yard, request, plan, idempotency_key)
        place = f"{base_of(yard, request)}/operations/{operation.operation_id}"
        return Response(operation.model_dump_json(), HTTPStatus.ACCEPTED, {"Location": place}, JSON)

    @router.post("/operations/{operation_id}/stop", responses=documented(404, 503))
    async def stop_operation(request: Request, operation_id: str) -> Operation:
        """Stop an operation; what is done stays done, and a final one stays as it is."""
        return await stop(yard, request, operation_id)


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
    check_text(plan)
    return plan

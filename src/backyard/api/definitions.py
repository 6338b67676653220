"""``/definitions``: what can be submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request

from backyard.api.problems import ProblemRoute, documented
from backyard.core.definition import Definition
from backyard.core.errors import LedgerUnavailableError
from backyard.core.policy import Policy
from backyard.core.queue import Pause
from backyard.desk.links import base_of

if TYPE_CHECKING:
    from backyard.app import Backyard


class DefinitionView(BaseModel):
    """A definition as the API shows it."""

    name: str
    summary: str
    description: str
    policy: Policy
    input_schema: dict[str, Any] = Field(description="JSON Schema of the input")
    output_schema: dict[str, Any] = Field(description="JSON Schema of the result")
    example: dict[str, Any] | None = None
    is_async: bool
    url: str = Field(description="Where to submit it")
    paused: Pause | None = Field(default=None, description="That nothing of it is started; null if Redis is away")

    @classmethod
    def of(cls, definition: Definition, base: str, paused: Mapping[str, Pause]) -> DefinitionView:
        """Describe a definition."""
        return cls(
            name=definition.name,
            summary=definition.summary,
            description=definition.doc,
            policy=definition.policy,
            input_schema=definition.input_model.model_json_schema(),
            output_schema=definition.output.json_schema(mode="serialization"),
            example=dict(definition.example) if definition.example else None,
            is_async=definition.shape.is_async,
            url=f"{base}/tasks/{definition.name}",
            paused=paused.get(definition.name),
        )


def definitions_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["definitions"])

    @router.get("/definitions")
    async def list_definitions(request: Request) -> list[DefinitionView]:
        """List what can be submitted, by name."""
        base, paused = base_of(yard, request), await _paused(yard)
        return [DefinitionView.of(one, base, paused) for _, one in sorted(yard.definitions.items())]

    @router.get("/definitions/{name}", responses=documented(404, 422))
    async def get_definition(request: Request, name: str) -> DefinitionView:
        """Look at one definition."""
        definition = yard.definition(name)
        return DefinitionView.of(definition, base_of(yard, request), await _paused(yard))

    return router


async def _paused(yard: Backyard) -> Mapping[str, Pause]:
    """Return what is paused; what can be submitted is known without the server as well."""
    try:
        return await yard.paused_definitions()
    except LedgerUnavailableError:
        return {}

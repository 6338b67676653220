"""The JSON door: one router a noun, one error shape, put into any FastAPI app."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from backyard.api.artifacts import artifacts_router
from backyard.api.dead_letters import dead_letters_router
from backyard.api.definitions import definitions_router
from backyard.api.events import events_router
from backyard.api.files import files_router
from backyard.api.health import health_router
from backyard.api.listing import listing_router
from backyard.api.openapi import documenter, operation_id
from backyard.api.operations import operations_router
from backyard.api.problems import ProblemRoute, documented, problem_of
from backyard.api.public_links import public_links_router
from backyard.api.queues import queues_router
from backyard.api.schedules import schedules_router
from backyard.api.shortcuts import ShortRoute
from backyard.api.stats import stats_router
from backyard.api.submits import submits_router
from backyard.api.tasks import tasks_router
from backyard.api.timeline import timeline_router
from backyard.api.webhooks import webhooks_router
from backyard.api.why import why_router
from backyard.api.workers import workers_router
from backyard.collector import settle
from backyard.core.errors import DefinitionError

if TYPE_CHECKING:
    from backyard.app import Backyard

__all__ = ["create_app", "mount"]


def mount(yard: Backyard, app: FastAPI, prefix: str = "") -> None:
    """Put a yard's routes into an app, and its start and stop into the app's lifespan.

    Args:
        yard: The yard.
        app: The app.
        prefix: Path that all routes begin with; empty, or ``/jobs``, say.

    Raises:
        DefinitionError: The prefix cannot work, or the app has a yard already.
    """
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise DefinitionError(f"The prefix '{prefix}' cannot work: begin it with '/', and end it without one.")
    if getattr(app.state, "backyard", None) is not None:
        raise DefinitionError("This app has a yard already. Mount a second one into an app of its own.")
    app.state.backyard = yard
    yard.prefix = prefix

    _close_with(app, yard)
    for part in (
        submits_router(yard),
        listing_router(yard),
        tasks_router(yard),
        why_router(yard),
        public_links_router(yard),
        events_router(yard),
        artifacts_router(yard, ProblemRoute, yard.ledger.arecord),
        files_router(yard, ProblemRoute),
        definitions_router(yard),
        queues_router(yard),
        dead_letters_router(yard),
        operations_router(yard),
        schedules_router(yard),
        workers_router(yard),
        timeline_router(yard),
        stats_router(yard),
        webhooks_router(yard),
        health_router(yard),
    ):
        _add(app, part, prefix)
    yard.on_define(documenter(app, prefix))


def _close_with(app: FastAPI, yard: Backyard) -> None:
    """Let the yard close its connections when the app stops, around what the app does itself."""
    theirs: Callable[[Any], AbstractAsyncContextManager[Any]] = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(inner: FastAPI) -> AsyncIterator[Any]:
        async with theirs(inner) as state:
            settle()
            try:
                yield state
            finally:
                await yard.close()

    app.router.lifespan_context = lifespan


def _add(app: FastAPI, part: APIRouter, prefix: str) -> None:
    """Put routes into the app one by one: a router within a router is searched twice on each level, by each request."""
    # These routes keep limits of their own, which the app's limit for bodies held in memory must not undercut.
    limit = None if app.max_body_size is None else sys.maxsize
    for route in part.routes:
        if isinstance(route, APIWebSocketRoute):
            app.router.add_api_websocket_route(prefix + route.path, route.endpoint, route.name)
        elif isinstance(route, APIRoute):
            app.router.add_api_route(
                prefix + route.path, route.endpoint, methods=route.methods, name=route.name,
                response_model=route.response_model, status_code=route.status_code, tags=route.tags,
                summary=route.summary, responses={**documented(422), **route.responses},
                response_class=route.response_class, include_in_schema=route.include_in_schema,
                openapi_extra=route.openapi_extra, operation_id=operation_id(route),
                max_body_size=limit, route_class_override=ShortRoute,
            )  # fmt: skip
            cast("ShortRoute", app.router.routes[-1]).open(app)


def create_app(yard: Backyard) -> FastAPI:
    """Return an app of the yard's own.

    Args:
        yard: The yard.
    """
    app = FastAPI(title=yard.name, version=version("backyard"), description="Background tasks, by Backyard.")

    @app.get("/", include_in_schema=False)
    async def home(request: Request) -> Response:
        return RedirectResponse(request.scope.get("root_path", "").rstrip("/") + "/console/")

    @app.exception_handler(HTTPException)
    async def not_found(_: Request, error: Exception) -> Response:
        return problem_of(error)

    before = len(app.router.routes)
    yard.mount(app)
    # A path is compared with one route after the other, and the pages of documentation are asked for least.
    routes = app.router.routes
    routes[:] = routes[before:] + routes[:before]
    return app

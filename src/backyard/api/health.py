"""``/health``, ``/ready`` and ``/config``."""

from __future__ import annotations

from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from backyard.api.problems import RETRY_AFTER, ProblemRoute
from backyard.core.states import FINAL, State
from backyard.doctor import Severity, diagnose, quick_facts

if TYPE_CHECKING:
    from backyard.app import Backyard

#: Read once: looking it up reads the package's metadata from disk, 0.5 ms in which nobody else is served.
VERSION = version("backyard")


class Health(BaseModel):
    """Whether the process lives."""

    status: str
    version: str


class Part(BaseModel):
    """How one part does, why, and what to do about it.

    Args:
        ok: Whether there is nothing to do.
        reason: What is so.
        remedy: What to do.
    """

    ok: bool
    reason: str
    remedy: str | None = None


class Readiness(BaseModel):
    """Whether requests can be served, part by part."""

    ready: bool
    parts: dict[str, Part]


class Config(BaseModel):
    """What a front end needs to know."""

    yard: str
    version: str
    states: list[State]
    terminal_states: list[State]
    max_body: int
    max_upload: int


def health_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["health"])

    @router.get("/health")
    async def health() -> Health:
        """Say that the process lives; it asks nobody else."""
        return Health(status="ok", version=VERSION)

    @router.get("/ready", responses={503: {"model": Readiness}})
    async def ready(response: Response) -> Readiness:
        """Say whether requests can be served, with a reason for each part. Parts may be worth a look all the same."""
        findings = diagnose(await quick_facts(yard), quick=True)
        stopped = any(check.gate and one.severity is Severity.ERROR for check, one in findings)
        if stopped:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
            response.headers["Retry-After"] = str(RETRY_AFTER)
        parts = {
            check.name: Part(ok=one.severity is Severity.OK, reason=one.text, remedy=one.remedy or None)
            for check, one in findings
        }
        return Readiness(ready=not stopped, parts=parts)

    @router.get("/config")
    async def config() -> Config:
        """Say what a front end needs to know."""
        return Config(
            yard=yard.name,
            version=VERSION,
            states=list(State),
            terminal_states=[state for state in State if state in FINAL],
            max_body=yard.settings.max_body,
            max_upload=yard.settings.max_upload,
        )

    return router

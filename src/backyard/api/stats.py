"""``/stats``, ``/errors`` and ``/audit``: what happened, why it failed, who did what."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from backyard.api.problems import ProblemRoute, documented
from backyard.core.errors import InvalidInputError
from backyard.core.task_filter import TaskFilter
from backyard.desk.errors import group_in
from backyard.desk.past import ask
from backyard.desk.ranges import RANGES, USUAL, span_of
from backyard.history.causes import trend_of
from backyard.history.filters import milliseconds
from backyard.history.queries import counts_of
from backyard.history.statistics import audit_of, definitions_of, errors_of, series_of
from backyard.history.tables import event_number
from backyard.ledger.keeper_calls import lag_between

if TYPE_CHECKING:
    from backyard.app import Backyard

Range = Annotated[str, Query(pattern=f"^({'|'.join(RANGES)})$", description="How far back: " + ", ".join(RANGES))]


class Stats(BaseModel):
    """What happened in a time. Durations are in seconds."""

    since: datetime
    until: datetime
    states: dict[str, int] = Field(description="Tasks by state, now, of all time")
    history_lag: float = Field(description="Seconds that the history is behind")
    total: dict[str, Any] = Field(description="Counts, share of failures, percentiles of wait and run")
    definitions: dict[str, dict[str, Any]] = Field(description="The same for each definition")
    step: int = Field(description="Seconds of a point")
    series: list[dict[str, Any]] = Field(description="The same, point by point")


class ErrorGroup(BaseModel):
    """Failures of the same cause; each failed attempt counts."""

    fingerprint: str
    name: str
    kind: str
    type: str
    message: str
    first_seen: datetime
    last_seen: datetime
    count: int
    sample_task_id: str


class ErrorPoint(BaseModel):
    """Failures of one cause in one period."""

    at: datetime
    count: int


class ErrorSeries(BaseModel):
    """Failures of one cause over time."""

    step: int = Field(description="Seconds of a point")
    series: list[ErrorPoint]


class AuditLine(BaseModel):
    """What an operator did."""

    event_id: str
    at: datetime
    actor: str
    verb: str
    kind: str
    subject: str
    details: dict[str, Any]


def stats_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["history"])

    @router.get("/stats", responses=documented(422, 503))
    async def stats(
        range_: Annotated[Range, Query(alias="range")] = USUAL,
        name: Annotated[list[str] | None, Query(description="Of these definitions")] = None,
    ) -> Stats:
        """Say what happened lately: counts, failures, percentiles of wait and run, by definition and over time."""
        since, until = span_of(range_)
        names, calls = tuple(name or ()), yard.ledger.calls
        (total, by_name), (step, points), (states, _) = await ask(
            yard,
            lambda past: (
                definitions_of(past, since, until, names),
                series_of(past, since, until, names),
                counts_of(past, TaskFilter(name=names)),
            ),
        )
        found, newest = await yard.ledger.arun(calls.recorded()), await yard.ledger.arun(calls.last_event())
        return Stats(
            since=datetime.fromtimestamp(since / 1000).astimezone(),
            until=datetime.fromtimestamp(until / 1000).astimezone(),
            states=states, history_lag=lag_between(found.position, newest) if found else 0.0,
            total=total, definitions=by_name, step=step, series=points,
        )  # fmt: skip

    @router.get("/errors", responses=documented(422, 503))
    async def list_errors(
        name: Annotated[str | None, Query(description="Of that definition")] = None,
        since: Annotated[datetime | None, Query(description="Seen then or later")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> list[ErrorGroup]:
        """List the causes of failures, the latest first."""
        moment = 0 if since is None else milliseconds(_zoned(since, "since"))
        rows = await ask(yard, lambda past: errors_of(past, name=name, since=moment, limit=limit))
        return [ErrorGroup.model_validate(row) for row in rows]

    @router.get("/errors/{fingerprint}", responses=documented(404, 503))
    async def get_error(fingerprint: str) -> ErrorGroup:
        """Look at one cause of failures. Its tasks: `GET /tasks?fingerprint=...`."""
        return ErrorGroup.model_validate(await group_in(yard, fingerprint))

    @router.get("/errors/{fingerprint}/series", responses=documented(404, 422, 503))
    async def error_series(fingerprint: str, range_: Annotated[Range, Query(alias="range")] = "24h") -> ErrorSeries:
        """Say how many failures of a cause came lately, over time."""
        await group_in(yard, fingerprint)
        step, points = await ask(yard, lambda past: trend_of(past, fingerprint, *span_of(range_)))
        return ErrorSeries.model_validate({"step": step, "series": points})

    @router.get("/audit", responses=documented(422, 503))
    async def list_audit(
        kind: Annotated[str | None, Query(description="Done to: task, queue, schedule ...")] = None,
        subject: Annotated[str | None, Query(description="Done to that one")] = None,
        actor: Annotated[str | None, Query(description="Done by that one")] = None,
        verb: Annotated[str | None, Query(description="What was done: cancel, pause ...")] = None,
        before: Annotated[str | None, Query(description="Earlier than that event_id")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> list[AuditLine]:
        """List what operators did, newest first."""
        place = None if before is None else _place(before)
        wanted = {"kind": kind, "subject": subject, "actor": actor, "verb": verb}
        rows = await ask(yard, lambda past: audit_of(past, **wanted, before=place, limit=limit))
        return [AuditLine.model_validate(row) for row in rows]

    return router


def _place(event_id: str) -> int:
    try:
        return event_number(event_id)
    except ValueError:
        remedy = f"'{event_id}' is no event_id. Take the one of the last line that you have."
        wrong = {"location": ["query", "before"], "message": remedy, "type": "event_id"}
        raise InvalidInputError(remedy, [wrong]) from None


def _zoned(moment: datetime, name: str) -> datetime:
    if moment.tzinfo is None:
        remedy = f"{name} has no time zone. Write 2026-01-31T12:00:00Z, say."
        raise InvalidInputError(remedy, [{"location": ["query", name], "message": remedy, "type": "zone"}])
    return moment

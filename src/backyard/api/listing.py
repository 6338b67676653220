"""``GET /tasks`` and ``GET /tasks/count``: pages of tasks, and how many there are."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from backyard.api.bodies import JSON
from backyard.api.links import base_of, linked, write_views
from backyard.api.past import ask, catch_up, recorded
from backyard.api.problems import ProblemRoute, documented
from backyard.core.definition import invalid_input
from backyard.core.errors import HistoryUnavailableError, InvalidInputError
from backyard.core.models import TaskView
from backyard.core.states import State
from backyard.core.task_filter import TaskFilter
from backyard.history.queries import counts_of, page_of

if TYPE_CHECKING:
    from backyard.app import Backyard

MOST = 500
_SCORE = re.compile(r"[0-9]{1,16}(\.[0-9]{1,6})?")
_NUMBER = re.compile(r"([ab])([0-9]{1,18})")


class FilterQuery(BaseModel):
    """Which tasks are meant; what is unknown is an error, not silence."""

    model_config = ConfigDict(extra="forbid")

    state: list[State] = Field(default=[], description="One state or several")
    name: list[str] = Field(default=[], description="One definition or several")
    queue: list[str] = Field(default=[], description="One queue or several")
    worker: str | None = Field(default=None, description="The worker of the latest attempt")
    tag: list[str] = Field(default=[], description="Tags that it has, all of them")
    since: datetime | None = Field(default=None, description="Accepted then or later, with its time zone")
    until: datetime | None = Field(default=None, description="Accepted before")
    text: str | None = Field(default=None, description='Words of name, input, error and tags; "in quotes" as a phrase')
    fingerprint: str | None = Field(default=None, description="Error group of the failure")
    rerun_of: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    group_id: str | None = None
    schedule: str | None = Field(default=None, description="Made by that schedule")
    operation: str | None = Field(default=None, description="Made by that operation")

    def filter(self) -> TaskFilter:
        """Return the filter.

        Raises:
            InvalidInputError: A part of it cannot work; its errors name it.
        """
        given = {name: getattr(self, name) for name in TaskFilter.model_fields if getattr(self, name) not in ([], "")}
        try:
            return TaskFilter.model_validate(given)
        except ValidationError as error:
            wrong = invalid_input("the query", error)
            for row in wrong.errors:
                row["location"] = ["query", *row["location"]]
            raise wrong from None


class ListQuery(FilterQuery):
    """Which page of which tasks."""

    limit: int = Field(default=50, ge=1, le=MOST)
    cursor: str = Field(default="", description="From the Link header of another page")
    fresh: bool = Field(default=False, description="Wait until what was accepted before is on the list, up to 3 s")


class Counts(BaseModel):
    """How many tasks match."""

    states: dict[str, int] = Field(description="By state; those without any are left out")
    total: int
    exact: bool = Field(description="False where only the newest 10,000 matches were counted")


def listing_router(yard: Backyard) -> APIRouter:
    """Build the routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["tasks"])

    @router.get("/tasks", response_model=list[TaskView], responses=documented(422, 503))
    async def list_tasks(request: Request, query: Annotated[ListQuery, Query()]) -> Response:
        """List tasks, newest first. `Link` leads to the next page and back: `rel="next"`, `rel="prev"`."""
        wanted = query.filter()
        if not await recorded(yard):
            return await _from_ledger(yard, request, query, wanted)
        if query.fresh:
            await catch_up(yard)
        after, before = _read_place(query.cursor)
        page = await ask(yard, lambda past: page_of(past, wanted, query.limit, after=after, before=before))
        links = [("next", page.after, "a"), ("prev", page.before, "b")]
        texts = [_link(yard, request, f"{way}{number}", rel) for rel, number, way in links if number is not None]
        base = base_of(yard, request)
        views = ",".join(linked(view, base).model_dump_json() for view in page.tasks)
        return Response(f"[{views}]", headers={"Link": ", ".join(texts)} if texts else {}, media_type=JSON)

    @router.get("/tasks/count", responses=documented(422, 503))
    async def count_tasks(query: Annotated[FilterQuery, Query()]) -> Counts:
        """Count the tasks that match, by state."""
        wanted = query.filter()
        states, exact = await ask(yard, lambda past: counts_of(past, wanted))
        return Counts(states=states, total=sum(states.values()), exact=exact)

    return router


async def _from_ledger(yard: Backyard, request: Request, query: ListQuery, wanted: TaskFilter) -> Response:
    """List what the ledger has, for as long as no keeper has ever recorded the yard."""
    if wanted.beyond_the_ledger or query.fresh:
        asked = ", ".join([*wanted.beyond_the_ledger, *(["fresh"] if query.fresh else [])])
        raise HistoryUnavailableError(
            f"Only the history can answer '{asked}', and nothing has recorded it yet. Start `backyard keeper`."
        )
    name = wanted.name[0] if wanted.name else ""
    records, after = await yard.ledger.records(wanted.state, name, query.limit, _read_score(query.cursor))
    headers = {} if after is None else {"Link": _link(yard, request, "|".join(after), "next")}
    return Response(await write_views(yard, request, records), headers=headers, media_type=JSON)


def _link(yard: Backyard, request: Request, cursor: str, rel: str) -> str:
    coded = base64.urlsafe_b64encode(cursor.encode()).decode().rstrip("=")
    query = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
    return f'<{base_of(yard, request)}/tasks?{urlencode([*query, ("cursor", coded)])}>; rel="{rel}"'


def _decoded(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""


def _read_place(text: str) -> tuple[int | None, int | None]:
    """Read a cursor of the history: the number to go on after, and the one to go back before."""
    if not text:
        return None, None
    found = _NUMBER.fullmatch(_decoded(text))
    if found is None:
        raise _wrong_cursor()
    number = int(found[2])
    return (number, None) if found[1] == "a" else (None, number)


def _read_score(text: str) -> tuple[str, str] | None:
    """Read a cursor of the ledger."""
    if not text:
        return None
    score, _, last = _decoded(text).partition("|")
    if not _SCORE.fullmatch(score) or not last:
        raise _wrong_cursor()
    return score, last


def _wrong_cursor() -> InvalidInputError:
    remedy = "The cursor is not one that this API gave. Follow the Link header, or begin anew."
    return InvalidInputError(remedy, [{"location": ["query", "cursor"], "message": remedy, "type": "cursor"}])

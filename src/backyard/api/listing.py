"""``GET /tasks`` and ``GET /tasks/count``: pages of tasks, and how many there are."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from backyard.api.bodies import JSON
from backyard.api.cursors import page_link, place_in, wrong_cursor
from backyard.api.links import write_views
from backyard.api.problems import ProblemRoute, documented
from backyard.core.errors import HistoryUnavailableError
from backyard.core.models import TaskView
from backyard.core.task_filter import TaskFilter
from backyard.desk.links import base_of, linked
from backyard.desk.past import ask, catch_up, recorded
from backyard.history.queries import counts_of, page_of

if TYPE_CHECKING:
    from backyard.app import Backyard

MOST = 500
_SCORE = re.compile(r"[0-9]{1,16}(\.[0-9]{1,6})?")
_NUMBER = re.compile(r"([ab])([0-9]{1,18})")


class FilterQuery(TaskFilter):
    """Which tasks are meant; a parameter without a value, as forms send it, is none."""

    @model_validator(mode="before")
    @classmethod
    def _empty_is_none(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value != ""}

    def filter(self) -> TaskFilter:
        """Return the filter alone."""
        return TaskFilter.model_construct(**{name: getattr(self, name) for name in TaskFilter.model_fields})


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
        page = await asyncio.to_thread(page_of, yard.history, wanted, query.limit, after=after, before=before)
        links = [("next", page.after, "a"), ("prev", page.before, "b")]
        texts = [
            page_link(yard, request, "/tasks", f"{way}{number}", rel)
            for rel, number, way in links
            if number is not None
        ]
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
    headers = {} if after is None else {"Link": page_link(yard, request, "/tasks", "|".join(after), "next")}
    return Response(await write_views(yard, request, records), headers=headers, media_type=JSON)


def _read_place(text: str) -> tuple[int | None, int | None]:
    """Read a cursor of the history: the number to go on after, and the one to go back before."""
    if not text:
        return None, None
    found = _NUMBER.fullmatch(place_in(text))
    if found is None:
        raise wrong_cursor()
    number = int(found[2])
    return (number, None) if found[1] == "a" else (None, number)


def _read_score(text: str) -> tuple[str, str] | None:
    """Read a cursor of the ledger."""
    if not text:
        return None
    score, _, last = place_in(text).partition("|")
    if not _SCORE.fullmatch(score) or not last:
        raise wrong_cursor()
    return score, last

"""``GET /tasks`` and ``GET /tasks/count``: pages of tasks, and how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from backyard.api.bodies import JSON
from backyard.api.cursors import page_link
from backyard.api.links import write_views
from backyard.api.problems import ProblemRoute, documented
from backyard.core.models import TaskView
from backyard.core.task_filter import TaskFilter
from backyard.desk.links import base_of, linked
from backyard.desk.listing import Order, history_page, ledger_page, unrecorded
from backyard.desk.past import ask, catch_up, recorded
from backyard.history.queries import counts_of

if TYPE_CHECKING:
    from backyard.app import Backyard

MOST = 500


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
    order: Order = Field(default="newest", description="Which come first, by when they were accepted")
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
        if not await recorded(yard):
            return await _from_ledger(yard, request, query)
        if query.fresh:
            await catch_up(yard)
        page = await history_page(yard, query.filter(), query.limit, query.cursor, order=query.order)
        links = [
            page_link(yard, request, "/tasks", cursor, rel)
            for rel, cursor in (("next", page.next), ("prev", page.previous))
            if cursor is not None
        ]
        base = base_of(yard, request)
        views = ",".join(linked(view, base).model_dump_json() for view in page.tasks)
        return Response(f"[{views}]", headers={"Link": ", ".join(links)} if links else {}, media_type=JSON)

    @router.get("/tasks/count", responses=documented(422, 503))
    async def count_tasks(query: Annotated[FilterQuery, Query()]) -> Counts:
        """Count the tasks that match, by state."""
        wanted = query.filter()
        states, exact = await ask(yard, lambda past: counts_of(past, wanted))
        return Counts(states=states, total=sum(states.values()), exact=exact)

    return router


async def _from_ledger(yard: Backyard, request: Request, query: ListQuery) -> Response:
    """List what the ledger has, for as long as no keeper has ever recorded the yard."""
    beyond = [*(["fresh"] if query.fresh else []), *(["order"] if query.order != "newest" else [])]
    if beyond:
        raise unrecorded([*query.filter().beyond_the_ledger, *beyond])
    records, after = await ledger_page(yard, query.filter(), query.limit, query.cursor)
    headers = {} if after is None else {"Link": page_link(yard, request, "/tasks", after, "next")}
    return Response(await write_views(yard, request, records), headers=headers, media_type=JSON)

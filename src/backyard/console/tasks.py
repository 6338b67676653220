"""The table of tasks: filtered, live, page by page."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from backyard.console.page import Page, get, post
from backyard.console.task_rows import COLUMNS, COOKIE, Row, chosen_columns, columns_named, row_of
from backyard.console.task_suggestions import suggest
from backyard.core.errors import BackyardError, HistoryUnavailableError, InvalidInputError, LedgerUnavailableError
from backyard.core.models import TaskView
from backyard.core.states import State
from backyard.core.task_filter import TaskFilter
from backyard.core.task_query import Problem, TaskQuery, parse, query_text
from backyard.desk.listing import Order, history_page, ledger_page
from backyard.desk.past import catch_up, recorded
from backyard.history.queries import counts_of

if TYPE_CHECKING:
    from backyard.app import Backyard

#: Tasks on a page.
LIMIT: Final = 50
#: Tasks that are counted one by one for a page, where the history does not know how many there are.
_COUNTED: Final = 1_000
_REGION: Final = "task-table"
#: Seconds that a look at what has changed waits for a keeper to record it.
_SETTLES: Final = 0.5
_YEAR: Final = 31_536_000
#: The states that are one click away, each as it stands in a query: label, states.
_QUICK: Final[tuple[tuple[str, str, tuple[State, ...]], ...]] = (
    ("Running", "running", (State.STARTED, State.PROGRESS)),
    *((state.capitalize(), state.lower(), (state,)) for state in (
        State.PENDING, State.SCHEDULED, State.RETRY, State.SUCCESS, State.FAILURE, State.REVOKED
    )),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sight:
    """What the table shows.

    Args:
        tasks: The tasks.
        next: Cursor of the page that follows.
        previous: Cursor of the page before.
        here: Cursor of this page, whatever comes in meanwhile.
        counts: How many tasks the filter finds in each state, whatever it says of states; None where nobody knows.
        exact: Whether all were counted.
        missing: What cannot be shown now, and why.
        problem: Why the filter cannot be answered.
    """

    tasks: list[TaskView] = field(default_factory=list)
    next: str | None = None
    previous: str | None = None
    here: str | None = None
    counts: Mapping[str, int] | None = None
    exact: bool = True
    missing: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Chip:
    """A state that is one click away: its icon is that of a state, its count None where nobody knows it."""

    label: str
    state: State | None
    count: int | None
    link: str
    on: bool


async def show(page: Page) -> Response:
    """Show the tasks that a filter finds."""
    moved = _as_query(page)
    if moved is not None:
        return moved
    query = parse(page.query("q"), datetime.now(UTC))
    order: Order = "oldest" if page.query("order") == "oldest" else "newest"
    cursor = page.query("cursor")
    if page.region == _REGION:
        await _settle(page.yard)
    # The table of a page is asked for as it is held still, without changing where the page is.
    place = cursor or (page.request.headers.get("x-held", "") if page.partial else "")
    sight = Sight() if query.problems else await _look(page.yard, query.filter, order, place)
    if cursor and not sight.tasks and not sight.problem and not sight.missing:
        return RedirectResponse(page.same(cursor=None), HTTPStatus.SEE_OTHER)  # back where the list begins
    columns = chosen_columns(page)
    mark = _mark(sight, order, *(column.name for column in columns))
    if page.unchanged(mark):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    problems = [*query.problems, *([Problem("", sight.problem)] if sight.problem else [])]
    rows: list[Row] = [row_of(task) for task in sight.tasks]
    return page.show(
        "tasks/list.html",
        query=query, problems=problems, sight=sight, rows=rows, mark=mark, order=order, cursor=cursor, region=_REGION,
        chips=_chips(page, query, sight), total=_total(query.filter, sight), columns=columns, all_columns=COLUMNS,
        curl=_curl(page, query.filter, order), absolute=query_text(query.filter), tag_query=_tag_query,
    )  # fmt: skip


async def choose_columns(page: Page) -> Response:
    """Take columns from now on; the button that resets takes the usual ones."""
    form = await page.form()
    answer = RedirectResponse(page.back(page.url("/tasks")), HTTPStatus.SEE_OTHER)
    if "reset" in form:
        answer.delete_cookie(COOKIE, path=page.base or "/")
    else:
        names = ".".join(column.name for column in columns_named([str(one) for one in form.getlist("column")]))
        answer.set_cookie(COOKIE, names, _YEAR, path=page.base or "/", httponly=True, samesite="strict")
    return answer


# -- what there is ------------------------------------------------------------------------------------------------


async def _look(yard: Backyard, wanted: TaskFilter, order: Order, cursor: str) -> Sight:
    try:
        if await recorded(yard):
            return await _from_history(yard, wanted, order, cursor)
        reason = (
            "Nothing has recorded this yard's history yet. Start `backyard keeper`, or `backyard up`, which runs one."
        )
    except LedgerUnavailableError as error:
        with contextlib.suppress(HistoryUnavailableError):
            sight = await _from_history(yard, wanted, order, cursor)
            return replace(sight, missing=f"{error.message} What was recorded before is shown.")
        raise
    except HistoryUnavailableError as error:
        reason = error.message
    except InvalidInputError as error:
        return Sight(problem=error.message)
    return await _from_ledger(yard, wanted, cursor, reason)


async def _from_history(yard: Backyard, wanted: TaskFilter, order: Order, cursor: str) -> Sight:
    whatever = wanted.model_copy(update={"state": ()})
    listed, (counts, exact) = await asyncio.gather(
        history_page(yard, wanted, LIMIT, cursor, order=order, brief=True),
        asyncio.to_thread(counts_of, yard.history, whatever, _COUNTED, rough=True),
    )
    return Sight(listed.tasks, listed.next, listed.previous, listed.here, counts, exact)


async def _from_ledger(yard: Backyard, wanted: TaskFilter, cursor: str, reason: str) -> Sight:
    missing = f"{reason} Until then these are the tasks that Redis knows."
    try:
        records, after = await ledger_page(yard, wanted, LIMIT, cursor)
    except HistoryUnavailableError:
        asked = ", ".join(f"{name}:" for name in wanted.beyond_the_ledger)
        return Sight(missing=f"{reason} Only the history can answer {asked}.")
    except InvalidInputError:
        return Sight(missing=missing)  # the cursor is the history's: the next look begins anew
    return Sight([record.view() for record in records], after, missing=missing)


async def _settle(yard: Backyard) -> None:
    """Wait a moment for the history to have what the page was told of; where it comes late, the next look has it."""
    with contextlib.suppress(BackyardError, TimeoutError):
        async with asyncio.timeout(_SETTLES):
            await catch_up(yard)


# -- how it is shown ----------------------------------------------------------------------------------------------


def _mark(sight: Sight, *more: str) -> str:
    """Return a short text that is another one where anything that the table shows is."""
    shown = [task.model_dump_json() for task in sight.tasks]
    rest = (sight.next, sight.previous, sight.here, sight.exact, sight.missing, sight.problem, sight.counts, more)
    return hashlib.blake2b("\n".join([*shown, repr(rest)]).encode(), digest_size=12).hexdigest()


def _chips(page: Page, query: TaskQuery, sight: Sight) -> list[Chip]:
    counts, chosen = sight.counts, set(query.filter.state)
    every = None if counts is None else sum(counts.values())
    found = [Chip("All", None, every, page.same(q=query.replaced("state"), cursor=None), on=not chosen)]
    for label, word, states in _QUICK:
        count = None if counts is None else sum(counts.get(state, 0) for state in states)
        link = page.same(q=query.replaced("state", f"state:{word}"), cursor=None)
        found.append(Chip(label, states[0], count, link, on=chosen == set(states)))
    return found


def _total(wanted: TaskFilter, sight: Sight) -> int | None:
    """Return how many tasks the filter finds; None where nobody knows."""
    if sight.counts is None:
        return None
    return sum(number for state, number in sight.counts.items() if not wanted.state or State(state) in wanted.state)


def _tag_query(tag: str) -> str:
    return query_text(TaskFilter(tag=(tag,)))


def _curl(page: Page, wanted: TaskFilter, order: Order) -> str:
    """Return the command that gets the same list from the API."""
    given: dict[str, Any] = wanted.model_dump(mode="json", exclude_defaults=True)
    if order != "newest":
        given["order"] = order
    address = page.request.url.replace(path=f"{page.api}/tasks", query=urlencode({**given, "limit": LIMIT}, doseq=True))
    return f"curl '{str(address).replace(chr(39), '%27')}'"


def _as_query(page: Page) -> Response | None:
    """Lead from the API's parameters (``?state=FAILURE``) to the query that asks for the same."""
    given: dict[str, Any] = {}
    for name, value in page.request.query_params.multi_items():
        if name in TaskFilter.model_fields and value:
            given.setdefault(name, []).append(value)
    if not given:
        return None
    several = {"state", "name", "queue", "tag", "task_id"}
    try:
        wanted = TaskFilter.model_validate({key: one if key in several else one[0] for key, one in given.items()})
    except ValidationError as error:
        raise InvalidInputError(f"The address asks for tasks that cannot be: {error.errors()[0]['msg']}.") from None
    link = page.url("/tasks", q=query_text(wanted), order=page.query("order"))
    return RedirectResponse(link, HTTPStatus.SEE_OTHER)


ADDRESSES = (
    get("/tasks", show),
    get("/suggestions", suggest),
    post("/tasks/columns", choose_columns),
)

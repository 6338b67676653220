"""What the filter of tasks may be completed with: keys, states, names, queues, workers, tags, schedules."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from starlette.responses import JSONResponse, Response

from backyard.console.page import Page
from backyard.core.errors import BackyardError
from backyard.core.task_query import KEYS, STATES
from backyard.desk.past import ask
from backyard.history.queries import values_of

#: Values of each key, at most.
_MOST = 500
_TIMES = ("15min", "1h", "24h", "7d", "today", "yesterday")


async def suggest(page: Page) -> Response:
    """Answer with all that a filter may be completed with; the page itself chooses while one types."""
    yard = page.yard
    past, queues, workers, schedules = await asyncio.gather(
        _or_nothing(ask(yard, lambda history: values_of(history, _MOST)), {}),
        _or_nothing(yard.ledger.arun(yard.ledger.calls.queues()), []),
        _or_nothing(yard.ledger.arun(yard.ledger.calls.workers()), []),
        _or_nothing(yard.schedules(), []),
    )
    values = {
        "state": list(STATES),
        "name": _merged(yard.definitions, past.get("name", ())),
        "queue": _merged(queues, past.get("queue", ())),
        "worker": _merged(worker.worker_name for worker in workers),
        "tag": _merged(past.get("tag", ())),
        "schedule": _merged(schedule.schedule_id for schedule in schedules),
        "since": list(_TIMES),
        "until": list(_TIMES),
    }
    return JSONResponse({"keys": dict(KEYS), "values": values}, headers={"Cache-Control": "no-store"})


def _merged(*names: Any) -> list[str]:
    return sorted({name for some in names for name in some})[:_MOST]


async def _or_nothing(answer: Awaitable[Any], nothing: Any) -> Any:
    """Return an answer, or nothing where whoever knows is away: a filter can be written without help."""
    try:
        return await answer
    except BackyardError:
        return nothing

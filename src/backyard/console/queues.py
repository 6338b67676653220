"""The pages of queues: what waits where and since when, pauses, and how a queue is emptied."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from starlette.responses import Response

from backyard.console.charts import Frame, Series, Spark, lines, spark
from backyard.console.page import Page, get, post
from backyard.console.spans import chosen_range, ranges
from backyard.console.wording import plural
from backyard.core.errors import BackyardError, HistoryUnavailableError
from backyard.core.queue import Queue
from backyard.core.task_filter import TaskFilter
from backyard.core.task_query import query_text
from backyard.core.worker import Worker
from backyard.desk.past import ask
from backyard.desk.ranges import RANGES, span_of
from backyard.history.queue_samples import depths_lately, queue_series
from backyard.pauses import LONGEST_REASON

if TYPE_CHECKING:
    from backyard.app import Backyard

#: Queues on a page.
ROWS = 50


@dataclass(frozen=True, slots=True)
class Row:
    """A queue in a list.

    Args:
        queue: The queue.
        readers: The living workers that take from it.
        spark: Its depth in the last hour; None where no keeper looked.
    """

    queue: Queue
    readers: Sequence[Worker]
    spark: Spark | None

    @property
    def unread(self) -> bool:
        """Whether tasks wait that nobody takes."""
        return not self.readers and self.queue.depth > 0


def path_of(name: str) -> str:
    """Return the path of a queue's page."""
    return f"/queues/{quote(name, safe='')}"


def tasks_of(name: str, *states: str) -> str:
    """Return the query that lists a queue's tasks.

    Args:
        name: The queue.
        states: Words for their states; none means all.
    """
    query = query_text(TaskFilter(queue=(name,)))
    return f"state:{','.join(states)} {query}" if states else query


def readers_of(name: str, workers: Sequence[Worker]) -> list[Worker]:
    """Return the living workers that take from a queue."""
    return [one for one in workers if one.alive and name in one.queues]


async def rows_of(yard: Backyard, *, curves: bool = True) -> tuple[list[Row], str]:
    """Return the yard's queues by name, and why their depth over time is not known, if so.

    Args:
        yard: The yard.
        curves: Whether their depth over time is wanted.

    Raises:
        LedgerUnavailableError: The server is away.
    """
    (known, missing), queues, workers = await asyncio.gather(
        _curves(yard, wanted=curves), yard.queue_states(), yard.ledger.arun(yard.ledger.calls.workers())
    )
    return [
        Row(
            one,
            readers_of(one.name, workers),
            spark(known[one.name], "Waiting in the last hour") if one.name in known else None,
        )
        for one in queues
    ], missing


async def _curves(yard: Backyard, *, wanted: bool) -> tuple[Mapping[str, Sequence[int | None]], str]:
    if not wanted:
        return {}, ""
    try:
        return await ask(yard, lambda past: depths_lately(past, int(time.time() * 1000))), ""
    except HistoryUnavailableError as error:
        return {}, error.message


async def show_all(page: Page) -> Response:
    """List the queues."""
    rows, missing = await rows_of(page.yard)
    after = page.query("after")
    rest = [one for one in rows if one.queue.name > after]
    shown = rest[:ROWS]
    return page.show(
        "queues/list.html",
        rows=shown,
        missing=missing,
        path_of=path_of,
        tasks_of=tasks_of,
        waiting=sum(one.queue.depth for one in rows),
        running=sum(one.queue.running for one in rows),
        parked=sum(one.queue.parked for one in rows),
        paused=sum(one.queue.paused is not None for one in rows),
        oldest=max((one.queue.oldest for one in rows if one.queue.oldest is not None), default=None),
        older=page.url("/queues", after=shown[-1].queue.name) if len(rest) > ROWS else None,
        newer=page.url("/queues") if after else None,
    )


async def show(page: Page) -> Response:
    """Show one queue."""
    name, chosen = page.param("name"), chosen_range(page)
    series = _series(page.yard, name, chosen) if page.region in {"", "queue-past"} else _nothing()
    queue, workers, (charts, missing) = await asyncio.gather(
        page.yard.queue_state(name), page.yard.ledger.arun(page.yard.ledger.calls.workers()), series
    )
    definitions = sorted(one.name for one in page.yard.definitions.values() if one.policy.queue == name)
    return page.show(
        "queues/show.html",
        queue=queue,
        readers=readers_of(name, workers),
        definitions=definitions,
        charts=charts,
        missing=missing,
        ranges=ranges(),
        chosen=chosen,
        path=path_of(name),
        tasks_of=tasks_of,
    )


async def _nothing() -> tuple[list[Any], str]:
    return [], ""


async def _series(yard: Backyard, name: str, chosen: str) -> tuple[list[Any], str]:
    """Return the charts of a queue over time, or why there are none."""
    since, until = span_of(chosen)
    try:
        step, points = await ask(yard, lambda past: queue_series(past, name, since, until))
    except HistoryUnavailableError as error:
        return [], error.message
    frame = Frame([point["at"] for point in points], step, RANGES[chosen])
    held = [
        Series(label, kind, [point[value] for point in points])
        for label, kind, value in (
            ("Waiting", "ready", "depth"),
            ("Running", "held", "running"),
            ("Parked", "parked", "parked"),
        )
    ]
    oldest = [Series("Oldest", "oldest", [point["oldest"] for point in points])]
    return [
        lines("depth", "Tasks in the queue", frame, held, area=True),
        lines("oldest", "Age of the oldest that waits", frame, oldest, durations=True, area=True),
    ], ""


# -- acts ---------------------------------------------------------------------------------------------------------


async def ask_pause(page: Page) -> Response:
    """Ask why a queue is paused."""
    name = page.param("name")
    queue = await page.yard.queue_state(name)
    return page.show(
        "confirm.html",
        title=f"Pause {name}?",
        text="Workers take nothing more from it until it is resumed. What runs goes on; what waits keeps its place.",
        action=f"{path_of(name)}/pause",
        label="Pause" if queue.paused is None else "Keep the pause, with this reason",
        back=page.url(path_of(name)),
        fields={},
        typed="",
        kind="primary",
        reason_wanted=True,
    )


async def pause(page: Page) -> Response:
    """Take nothing more from a queue."""
    name = page.param("name")
    reason = str((await page.form()).get("reason") or page.query("reason")).strip()[:LONGEST_REASON]
    changed = await page.yard.pause_queue(name, reason)
    await page.audited("pause", "queue", name, reason=reason)
    said = f"{name} is paused: workers take nothing more from it." if changed else f"{name} was paused already."
    return page.done(said, _back(page, name), undo=("Resume", f"{path_of(name)}/resume"))


async def resume(page: Page) -> Response:
    """Let workers take from a queue again."""
    name = page.param("name")
    before = (await page.yard.queue_state(name)).paused
    await page.yard.resume_queue(name)
    await page.audited("resume", "queue", name)
    if before is None:
        return page.done(f"{name} was not paused.", _back(page, name))
    again = f"{path_of(name)}/pause?{urlencode({'reason': before.reason})}"
    return page.done(f"{name} goes on.", _back(page, name), undo=("Pause again", again))


async def ask_purge(page: Page) -> Response:
    """Ask whether all that waits in a queue is to be discarded."""
    name = page.param("name")
    queue = await page.yard.queue_state(name)
    return page.show(
        "confirm.html",
        title=f"Purge {name}?",
        text=_purge_text(queue),
        action=f"{path_of(name)}/purge",
        label=f"Purge {plural(queue.depth + queue.parked, 'task')}",
        back=page.url(path_of(name)),
        fields={},
        typed=name,
        kind="danger",
        reason_wanted=False,
    )


def _purge_text(queue: Queue) -> str:
    parked = f", and {plural(queue.parked, 'task')} parked for a limit or a pause" if queue.parked else ""
    running = plural(queue.running, "task")
    return (
        f"What waits here is discarded: {plural(queue.depth, 'task')}{parked}. Each ends Revoked. That cannot be "
        f"undone; they can only be run anew. What runs ({running}) goes on, and so does what is due later."
    )


async def purge(page: Page) -> Response:
    """Discard what waits in a queue."""
    name = page.param("name")
    if (await page.form()).get("typed") != name:
        said = f"Nothing was discarded: type {name} to say that you mean it."
        return page.done(said, page.url(f"{path_of(name)}/purge"), failed=True)
    try:
        gone = await page.yard.purge_queue(name)
    except BackyardError as error:
        return page.done(f"{name} was not emptied: {error.message}", page.url(path_of(name)), failed=True)
    await page.audited("purge", "queue", name, discarded=gone)
    said = f"{name} was purged: {plural(gone, 'task')} discarded, each has ended Revoked."
    return page.done(said, page.url(path_of(name)))


def _back(page: Page, name: str) -> str:
    """Return a link to where an act was asked for: a list or the queue's page, never the page that asks."""
    own = page.url(path_of(name))
    came = page.back(own)
    return own if came.split("?", maxsplit=1)[0].endswith(("/pause", "/purge")) else came


ADDRESSES = (
    get("/queues", show_all),
    get("/queues/{name}", show),
    get("/queues/{name}/pause", ask_pause),
    post("/queues/{name}/pause", pause),
    post("/queues/{name}/resume", resume),
    get("/queues/{name}/purge", ask_purge),
    post("/queues/{name}/purge", purge),
)

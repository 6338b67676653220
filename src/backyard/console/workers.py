"""The pages of workers: who takes tasks, how they do, and how one is drained."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response

from backyard.console.page import Page, get, post
from backyard.core.errors import HistoryUnavailableError, UnknownWorkerError
from backyard.core.models import TaskView
from backyard.core.queue import Queue
from backyard.core.states import FINAL
from backyard.core.task_filter import TaskFilter
from backyard.core.worker import Worker, WorkerState, named
from backyard.desk.past import ask
from backyard.history.queries import page_of
from backyard.ledger.record import Record

if TYPE_CHECKING:
    from backyard.app import Backyard

#: Workers on a page, running tasks that a row of it shows, tasks that a worker's page shows.
ROWS, SHOWN, LATELY = 50, 3, 10
#: Tasks among which those that ended are looked for.
LOOKED_AT = 50
#: Seconds that a task may run past its time limit before something is wrong: its end takes a while.
LATE = 10.0
#: Seconds that a task may wait for a worker that has room for it.
STARVING = 30.0


@dataclass(frozen=True, slots=True)
class Word:
    """How a worker does, in a word.

    Args:
        text: The word.
        icon: The name of its icon.
        colour: The state whose colour it has.
        why: The same in a sentence.
    """

    text: str
    icon: str
    colour: str
    why: str


@dataclass(frozen=True, slots=True)
class Running:
    """A task that a worker runs.

    Args:
        task_id: The task.
        name: Its definition; empty where its record is gone.
        seconds: How long its attempt has run; None where that is not known.
        percent: Its progress, if it told any.
        over: Whether it has run well past its time limit.
    """

    task_id: str
    name: str
    seconds: float | None
    percent: float | None
    over: bool


@dataclass(frozen=True, slots=True)
class Known:
    """A definition as a worker and this API know it.

    Args:
        name: The definition.
        here: Whether this API has it.
        there: Whether the worker has it.
        same: Whether both have the same input schema.
    """

    name: str
    here: bool
    there: bool
    same: bool

    @property
    def skewed(self) -> bool:
        """Whether the two do not agree."""
        return not (self.here and self.there and self.same)


_WORDS = {
    WorkerState.RUNNING: Word("Running", "play", "success", "It takes tasks."),
    WorkerState.DRAINING: Word("Draining", "drain", "retry", "It finishes what it runs and takes nothing more."),
    WorkerState.STOPPING: Word("Stopping", "stop", "revoked", "It was told to stop; what it cannot finish goes back."),
}


def word_of(worker: Worker, running: Sequence[Running], queues: Sequence[Queue]) -> Word:
    """Say how a worker does.

    Args:
        worker: The worker.
        running: What it runs.
        queues: What waits where.
    """
    if not worker.alive:
        text = f"It has not spoken for longer than its lease of {worker.lease:g} s: its tasks go to other workers."
        return Word("Silent", "warning", "failure", text)
    over = [one for one in running if one.over]
    if over:
        return Word("Stuck", "warning", "failure", f"It runs a task past its time limit: {over[0].task_id}.")
    if worker.age > worker.lease / 2:
        return Word("Late", "warning", "retry", "Half of its lease is over, and it has not spoken.")
    left = _left(worker, queues)
    if left is not None:
        text = f"It has room, and does not take what has waited in '{left.name}' for {left.oldest:.0f} s."
        return Word("Stuck", "warning", "failure", text)
    return _WORDS[worker.state]


def _left(worker: Worker, queues: Sequence[Queue]) -> Queue | None:
    """Return a queue whose tasks a worker lets wait though it has room."""
    if worker.state is not WorkerState.RUNNING or len(worker.running) >= worker.max_concurrency:
        return None
    waiting = (one for one in queues if one.name in worker.queues and one.paused is None)
    return next((one for one in waiting if one.oldest is not None and one.oldest > STARVING), None)


def skew(worker: Worker, fingerprints: Mapping[str, str]) -> list[Known]:
    """Compare what a worker knows with what this API knows, what differs first.

    Args:
        worker: The worker.
        fingerprints: Of this API's definitions, by name.
    """
    rows = [
        Known(name, name in fingerprints, name in worker.definitions, worker.definitions.get(name) == mine)
        for name, mine in fingerprints.items()
    ]
    # What has no fingerprint is no definition: a plain Celery task, which no API declares.
    rows += [
        Known(name, here=not mark, there=True, same=True)
        for name, mark in worker.definitions.items()
        if name not in fingerprints
    ]
    return sorted(rows, key=lambda one: (not one.skewed, one.name))


def path_of(name: str) -> str:
    """Return the path of a worker's page."""
    return f"/workers/{quote(name, safe='@')}"


def _running(yard: Backyard, task_ids: Sequence[str], records: Mapping[str, Record], now: datetime) -> list[Running]:
    rows = []
    for task_id in task_ids:
        record = records.get(task_id)
        if record is None:
            rows.append(Running(task_id, "", None, None, over=False))
            continue
        began, name, told = record.moment("started"), record.text("name") or "", record.progress
        seconds = None if began is None else max(0.0, (now - began).total_seconds())
        definition = yard.definitions.get(name)
        limit = definition.policy.timeout if definition else None
        over = limit is not None and seconds is not None and seconds > limit + LATE
        rows.append(Running(task_id, name, seconds, told.percent if told else None, over=over))
    return rows


async def rows_of(
    yard: Backyard, workers: Sequence[Worker], queues: Sequence[Queue], most: int
) -> list[tuple[Worker, Word, list[Running]]]:
    """Return workers with a word for each and what they run, read in one call.

    Args:
        yard: The yard.
        workers: The workers.
        queues: What waits where.
        most: Tasks of a worker that are looked at.

    Raises:
        LedgerUnavailableError: The server is away.
    """
    ids = [task_id for one in workers for task_id in one.running[:most]]
    found = await yard.ledger.arun(yard.ledger.calls.records(ids)) if ids else []
    records, now = {one.task_id: one for one in found}, datetime.now(UTC)
    rows = []
    for one in workers:
        running = _running(yard, one.running[:most], records, now)
        rows.append((one, word_of(one, running, queues), running))
    return rows


async def show_all(page: Page) -> Response:
    """List the workers."""
    workers, queues = await _facts(page.yard)
    after = page.query("after")
    rest = [one for one in workers if one.worker_name > after]
    rows = await rows_of(page.yard, rest[:ROWS], queues, SHOWN)
    alive = [one for one in workers if one.alive]
    busy = [one.cpu for one in alive if one.cpu is not None]
    return page.show(
        "workers/list.html",
        rows=rows,
        path_of=path_of,
        alive=len(alive),
        silent=len(workers) - len(alive),
        slots=sum(one.max_concurrency for one in alive),
        running=sum(len(one.running) for one in alive),
        memory=sum(one.rss for one in alive),
        cores=sum(busy) if busy else None,
        older=page.url("/workers", after=rows[-1][0].worker_name) if len(rest) > ROWS else None,
        newer=page.url("/workers") if after else None,
        paused={one.name for one in queues if one.paused is not None},
    )


async def _facts(yard: Backyard) -> tuple[list[Worker], list[Queue]]:
    """Return the workers that spoke lately, and the queues."""
    return await asyncio.gather(yard.ledger.arun(yard.ledger.calls.workers()), yard.queue_states())


async def show(page: Page) -> Response:
    """Show one worker."""
    name = page.param("name")
    (workers, queues), (lately, missing) = await asyncio.gather(_facts(page.yard), _lately(page.yard, name))
    found = next((one for one in workers if one.worker_name == name), None)
    # What a live region asks for is drawn where it stands, whatever became of the worker.
    status = HTTPStatus.OK if found or page.partial else HTTPStatus.NOT_FOUND
    if found is None:
        return page.show("workers/gone.html", status, name=name, lately=lately, missing=missing)
    ((worker, word, running),) = await rows_of(page.yard, [found], queues, len(found.running))
    fingerprints = {one.name: one.fingerprint for one in page.yard.definitions.values()}
    return page.show(
        "workers/show.html",
        worker=worker,
        word=word,
        running=running,
        known=skew(worker, fingerprints),
        lately=lately,
        missing=missing,
        paused={one.name for one in queues if one.paused is not None},
        path=path_of(name),
    )


async def _lately(yard: Backyard, name: str) -> tuple[list[TaskView], str]:
    """Return the tasks that a worker brought to their end last, or why they are not known."""
    try:
        found = await ask(yard, lambda past: page_of(past, TaskFilter(worker=name), LOOKED_AT))
    except HistoryUnavailableError as error:
        return [], error.message
    return [one for one in found.tasks if one.state in FINAL][:LATELY], ""


async def _named(page: Page) -> Worker:
    """Return the worker of the path.

    Raises:
        UnknownWorkerError: It is not there, or not any more.
    """
    workers = await page.yard.ledger.arun(page.yard.ledger.calls.workers())
    (full,) = named(workers, [page.param("name")])
    return next(one for one in workers if one.worker_name == full)


async def ask_drain(page: Page) -> Response:
    """Ask whether a worker is to be drained, and what it does then."""
    worker = await _named(page)
    return page.show("workers/drain.html", worker=worker, path=path_of(worker.worker_name))


async def drain(page: Page) -> Response:
    """Let a worker finish what it runs and take nothing more."""
    try:
        worker = await _named(page)
    except UnknownWorkerError as error:
        return page.done(error.message, page.url("/workers"), failed=True)
    stay, name = (await page.form()).get("then") == "stay", worker.worker_name
    await page.yard.ledger.arun(page.yard.ledger.calls.drain([name], stay=stay))
    await page.audited("drain", "worker", name, stay=stay)
    then = "stays, idle, until you end it" if stay else "ends"
    return page.done(f"{name} takes nothing more: it finishes what it runs, and then {then}.", page.url(path_of(name)))


ADDRESSES = (
    get("/workers", show_all),
    get("/workers/{name}", show),
    get("/workers/{name}/drain", ask_drain),
    post("/workers/{name}/drain", drain),
)

"""A worker as the registry shows it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from backyard.core.errors import UnknownWorkerError


class WorkerState(StrEnum):
    """What a worker does with what waits for it."""

    #: It takes tasks.
    RUNNING = "running"
    #: It was told to drain: it takes nothing, finishes what it holds, then ends or stays idle.
    DRAINING = "draining"
    #: It was told to stop: it takes nothing, and hands back what is not finished within its grace.
    STOPPING = "stopping"


class Worker(BaseModel):
    """A worker process, as it last spoke of itself. Ages are by the server's clock.

    Args:
        worker_name: Its name, as ``worker`` of a task has it.
        state: Whether it takes tasks.
        alive: Whether it spoke within its lease. One that did not is dead or cut off, and forgotten after three leases.
        age: Seconds since it last spoke.
        lease: Seconds that it may be silent before it counts as dead.
        uptime: Seconds since it started.
        started: When it started.
        host: Its machine.
        pid: Its main process.
        pool: Celery's name of its pool.
        max_concurrency: Tasks it runs at once.
        queues: Queues it reads.
        registered_tasks: Names of the tasks it knows.
        definitions: The same names, each with a fingerprint of its input's schema; empty for plain Celery tasks.
        running: Ids of tasks it runs, as many as it tells of.
        rss: Memory of the process and its pool, in bytes.
        cpu: Cores that the process and its pool lately kept busy, 1.5 say; None where the system does not tell.
        version: Its version of Backyard.
    """

    model_config = ConfigDict(frozen=True)

    worker_name: str
    state: WorkerState
    alive: bool
    age: float
    lease: float
    uptime: float
    started: datetime
    host: str
    pid: int
    pool: str
    max_concurrency: int
    queues: list[str]
    registered_tasks: list[str]
    definitions: Mapping[str, str] = Field(description="Task name to fingerprint of its input schema")
    running: list[str]
    rss: int
    cpu: float | None = None
    version: str


def named(workers: Sequence[Worker], names: Sequence[str]) -> list[str]:
    """Return the full names of workers.

    Args:
        workers: Those that are there.
        names: Names, or what stands before or after the @ of one worker; none means all.

    Raises:
        UnknownWorkerError: There is no such worker, or there are several; the message says which.
    """
    known = [one.worker_name for one in workers]
    return [_named(known, name) for name in names] if names else known


def _named(known: Sequence[str], name: str) -> str:
    if name in known:
        return name
    meant = [one for one in known if name in one.split("@")]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise UnknownWorkerError(f"Several workers are called '{name}': {', '.join(meant)}. Say which.")
    short = {part: one for one in known for part in one.split("@")}
    close = difflib.get_close_matches(name, [*known, *short], n=1)
    hint = f"Did you mean '{short.get(close[0], close[0])}'?" if close else f"There are: {', '.join(known) or 'none'}."
    raise UnknownWorkerError(f"There is no worker '{name}'. {hint}")

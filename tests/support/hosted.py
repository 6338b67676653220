"""Coroutines that share a process, for a worker that runs many of them at once."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from celery.exceptions import Ignore, Reject

from backyard import Backyard, Context, Retry, Settings
from support.trials import note

TARGET = "support.hosted:yard.celery"

#: Those that are in this process, and what they wait for, by the name of their meeting.
_meetings: dict[str, tuple[list[int], asyncio.Event]] = {}


async def opened(gate: str) -> None:
    """Wait until a file is there."""
    while not Path(gate).exists():  # noqa: ASYNC110, ASYNC240 - it comes from another process
        await asyncio.sleep(0.02)


async def deaf(gate: str) -> None:
    """Wait as well, and do not stop for a cancel."""
    while not Path(gate).exists():  # noqa: ASYNC240 - it comes from another process
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            note(gate, "swallowed")


def end(what: str, *, first: bool) -> None:
    """End a task in some way; return where it is to end as usual."""
    if what == "leave a child and die" and first and os.fork() == 0:
        time.sleep(60)  # it ends with the worker's group
    if what == "die" or (what == "leave a child and die" and first):
        os._exit(7)
    elif what == "fail":
        raise ValueError(what)
    elif what == "retry" and first:
        raise Retry(after=0)
    elif what == "ignore":
        raise Ignore
    elif what == "reject" or (what == "requeue" and first):
        raise Reject("not here", requeue=what == "requeue")


def define(yard: Backyard) -> Backyard:
    """Register coroutines, and a function beside them."""

    @yard.task
    async def meet(place: str, parties: int, number: int) -> tuple[int, int]:
        """End when all parties are here, in one process."""
        here, met = _meetings.setdefault(place, ([], asyncio.Event()))
        here.append(number)
        if len(here) == parties:
            met.set()
        await met.wait()
        return number, os.getpid()

    @yard.task(retries=2, backoff=0.01)
    async def step(ctx: Context, gate: str, what: str = "go", number: int = 0) -> int:
        note(gate, f"{number} {ctx.attempt} {os.getpid()}")
        await asyncio.sleep(0)
        if what == "wait" or (what == "wait once" and ctx.attempt == 1):
            await opened(gate)
        elif what == "deaf":
            await deaf(gate)
        else:
            end(what, first=ctx.attempt == 1)
        return os.getpid()

    @yard.task(timeout=60)
    async def limited() -> int:
        return os.getpid()

    @yard.task
    def plain() -> int:
        return os.getpid()

    return yard


def yard_of(environment: dict[str, str]) -> Backyard:
    """Return the yard that an environment names, for a program that submits."""
    settings = Settings(redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]))
    return define(Backyard(environment["TEST_YARD"], settings=settings))


yard = define(Backyard(os.environ.get("TEST_YARD", "hosted")))

"""Backyard, as its users have it: typed functions, the roles ``api``, ``worker`` and ``keeper``."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Annotated

from benchmarks.peers import inputs
from pydantic import Field

from backyard import Backyard, Context
from backyard.submit import Options

yard = Backyard("bench")
PART = 5_000


@yard.task(name="mark")
def empty(number: int) -> int:
    """Do nothing, and leave a mark."""
    return inputs.mark(number)


@yard.task
def take_order(customer: Annotated[int, Field(ge=1)], articles: list[str], note: str = "") -> int:
    """Take an order."""
    return customer + len(articles) + len(note)


@yard.task
def keep(text: str) -> int:
    """Take a text."""
    return len(text)


@yard.task
def nap(number: int, seconds: float) -> int:
    """Take exactly so long."""
    return inputs.nap(number, seconds)


@yard.task
async def doze(number: int, seconds: float) -> int:
    """Wait so long, as coroutines do."""
    inputs.mark(number)
    await asyncio.sleep(seconds)
    return number


@yard.task
def report(ctx: Context, number: int, pause: float) -> int:
    """Report progress, with the time at which it was reported, so many times."""
    for one in range(number):
        time.sleep(pause)
        ctx.progress(one, number, f"at {time.time_ns()}")
    return number


async def _submit(name: str, rows: Sequence[bytes]) -> None:
    for at in range(0, len(rows), PART):
        await yard.submit_many(yard.definition(name), rows[at : at + PART], Options())
    await yard.ledger.aclose()


def fill(number: int) -> None:
    """Submit empty tasks."""
    asyncio.run(_submit("mark", [b'{"number":%d}' % one for one in range(number)]))


def fill_naps(seconds: Sequence[float], name: str = "nap") -> None:
    """Submit tasks that take so long."""
    rows = [json.dumps({"number": number, "seconds": one}).encode() for number, one in enumerate(seconds)]
    asyncio.run(_submit(name, rows))


async def ask(number: int) -> int:
    """Submit a task, and await its result."""
    return await (await empty.submit(number)).result(timeout=60)


def ask_sync(number: int) -> int:
    """Submit a task, and wait for its result, without an event loop."""
    return empty.submit_sync(number).result_sync(timeout=60)

"""arq."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import uvloop
from arq import ArqRedis, create_pool
from arq.connections import RedisSettings
from benchmarks.peers.inputs import URL, Order, mark
from fastapi import FastAPI

SETTINGS = RedisSettings.from_dsn(URL)
# A fifth faster than with asyncio's own loop.
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


async def empty(_: dict[str, Any], number: int) -> int:
    """Do nothing, and leave a mark."""
    return mark(number)


async def take_order(_: dict[str, Any], customer: int, articles: list[str], note: str) -> int:
    """Take an order."""
    return customer + len(articles) + len(note)


class WorkerSettings:
    """A worker."""

    functions: ClassVar[list[Any]] = [empty, take_order]
    redis_settings = SETTINGS
    # It takes what max_jobs allows and then sleeps for poll_delay: by default 10 tasks each half a second.
    max_jobs = 100
    poll_delay = 0.01


pool: ArqRedis


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Connect, and disconnect."""
    global pool  # noqa: PLW0603 - as its documentation does
    pool = await create_pool(SETTINGS)
    yield
    await pool.aclose()


app = FastAPI(lifespan=lifespan)


@app.post("/tasks/take_order", status_code=201)
async def submit(order: Order) -> dict[str, str]:
    """Submit a task."""
    job = await pool.enqueue_job("take_order", **order.model_dump())
    return {"task_id": job.job_id if job else ""}


async def _fill(number: int) -> None:
    here = await create_pool(SETTINGS)
    for one in range(number):
        await here.enqueue_job("empty", one)
    await here.aclose()


def fill(number: int) -> None:
    """Submit empty tasks."""
    asyncio.run(_fill(number))

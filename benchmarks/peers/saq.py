"""saq."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from benchmarks.peers.inputs import URL, Order, mark
from fastapi import FastAPI
from saq import Queue

queue = Queue.from_url(URL)
# A fifth faster than with asyncio's own loop.
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


async def empty(_: dict[str, Any], *, number: int) -> int:
    """Do nothing, and leave a mark."""
    return mark(number)


async def take_order(_: dict[str, Any], *, customer: int, articles: list[str], note: str) -> int:
    """Take an order."""
    return customer + len(articles) + len(note)


# Ten tasks at once are its default; with a hundred it was not faster.
settings = {"queue": queue, "functions": [empty, take_order], "concurrency": 10}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Connect, and disconnect."""
    await queue.connect()
    yield
    await queue.disconnect()


app = FastAPI(lifespan=lifespan)


@app.post("/tasks/take_order", status_code=201)
async def submit(order: Order) -> dict[str, str]:
    """Submit a task."""
    job = await queue.enqueue("take_order", **order.model_dump())
    return {"task_id": job.id if job else ""}


async def _fill(number: int) -> None:
    await queue.connect()
    for one in range(number):
        await queue.enqueue("empty", number=one)
    await queue.disconnect()


def fill(number: int) -> None:
    """Submit empty tasks."""
    asyncio.run(_fill(number))

"""streaQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.peers.inputs import URL, Order, mark
from fastapi import FastAPI
from streaq import Worker

# Sixteen at once is its default; so it is faster, and with uvloop it is not.
worker = Worker(redis_url=URL, concurrency=32, prefetch=100)


@worker.task(name="mark")
async def empty(number: int) -> int:
    """Do nothing, and leave a mark."""
    return mark(number)


@worker.task(name="take_order")
async def take_order(customer: int, articles: list[str], note: str) -> int:
    """Take an order."""
    return customer + len(articles) + len(note)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Connect, and disconnect."""
    async with worker:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/tasks/take_order", status_code=201)
async def submit(order: Order) -> dict[str, str]:
    """Submit a task."""
    return {"task_id": (await take_order.enqueue(**order.model_dump())).id}


async def _fill(number: int) -> None:
    async with worker:
        # Its batch call.
        for at in range(0, number, 1_000):
            await worker.enqueue_many([empty.enqueue(one) for one in range(at, min(number, at + 1_000))])


def fill(number: int) -> None:
    """Submit empty tasks."""
    asyncio.run(_fill(number))

"""taskiq, with Redis Streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.peers.inputs import URL, Order, mark
from fastapi import FastAPI
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

# Of its brokers the one that acknowledges; from "0", so that it reads a queue that was filled before it came.
broker = RedisStreamBroker(URL, consumer_id="0").with_result_backend(RedisAsyncResultBackend(URL))


@broker.task(task_name="mark")
async def empty(number: int) -> int:
    """Do nothing, and leave a mark; a coroutine, since a ``def`` would go to a thread."""
    return mark(number)


@broker.task(task_name="take_order")
async def take_order(customer: int, articles: list[str], note: str) -> int:
    """Take an order."""
    return customer + len(articles) + len(note)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Connect, and disconnect."""
    await broker.startup()
    yield
    await broker.shutdown()


app = FastAPI(lifespan=lifespan)


@app.post("/tasks/take_order", status_code=201)
async def submit(order: Order) -> dict[str, str]:
    """Submit a task."""
    return {"task_id": (await take_order.kiq(**order.model_dump())).task_id}


async def _fill(number: int) -> None:
    await broker.startup()
    for one in range(number):
        await empty.kiq(one)
    await broker.shutdown()


def fill(number: int) -> None:
    """Submit empty tasks."""
    asyncio.run(_fill(number))

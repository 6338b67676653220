"""dramatiq."""

from __future__ import annotations

import dramatiq
from benchmarks.peers.inputs import URL, Order, mark
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from fastapi import FastAPI

broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def empty(number: int) -> int:
    """Do nothing, and leave a mark."""
    return mark(number)


@dramatiq.actor(store_results=True)
def take_order(customer: int, articles: list[str], note: str) -> int:
    """Take an order."""
    return customer + len(articles) + len(note)


app = FastAPI()


@app.post("/tasks/take_order", status_code=201)
def submit(order: Order) -> dict[str, str]:
    """Submit a task; a ``def``, since its submit blocks."""
    return {"task_id": take_order.send(**order.model_dump()).message_id}


def fill(number: int) -> None:
    """Submit empty tasks."""
    for one in range(number):
        empty.send(one)

"""huey."""

from __future__ import annotations

from benchmarks.peers.inputs import URL, Order, mark
from fastapi import FastAPI
from huey import RedisHuey

huey = RedisHuey("bench", url=URL)


@huey.task()
def empty(number: int) -> int:
    """Do nothing, and leave a mark."""
    return mark(number)


@huey.task()
def take_order(customer: int, articles: list[str], note: str) -> int:
    """Take an order."""
    return customer + len(articles) + len(note)


app = FastAPI()


@app.post("/tasks/take_order", status_code=201)
def submit(order: Order) -> dict[str, str]:
    """Submit a task; a ``def``, since its submit blocks."""
    return {"task_id": take_order(**order.model_dump()).id}


def fill(number: int) -> None:
    """Submit empty tasks."""
    for one in range(number):
        empty(one)

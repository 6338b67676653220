"""The hand-wired stack of FastAPI's and Celery's own documentation: a ``def`` endpoint, ``apply_async``, Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.peers import inputs
from benchmarks.peers.inputs import URL, Order
from celery import Celery
from celery.result import AsyncResult
from fastapi import FastAPI

celery = Celery("bench", broker=URL, backend=URL)
app = FastAPI()


@celery.task(name="mark")
def empty(number: int) -> int:
    """Do nothing, and leave a mark."""
    return inputs.mark(number)


@celery.task(name="take_order")
def take_order(customer: int, articles: list[str], note: str) -> int:
    """Take an order."""
    return customer + len(articles) + len(note)


@celery.task(name="nap")
def nap(number: int, seconds: float) -> int:
    """Take exactly so long."""
    return inputs.nap(number, seconds)


@app.post("/tasks/take_order", status_code=201)
def submit(order: Order) -> dict[str, str]:
    """Submit a task."""
    return {"task_id": take_order.apply_async(kwargs=order.model_dump()).id}


@app.get("/tasks/{task_id}")
def look(task_id: str) -> dict[str, Any]:
    """Show a task."""
    found = AsyncResult(task_id, app=celery)
    return {"task_id": task_id, "status": found.status, "result": found.result if found.successful() else None}


def fill(number: int) -> None:
    """Submit empty tasks."""
    for one in range(number):
        empty.delay(one)


def fill_naps(seconds: Sequence[float]) -> None:
    """Submit tasks that take so long."""
    for number, one in enumerate(seconds):
        nap.delay(number, one)


def ask(number: int) -> int:
    """Submit a task, and wait for its result."""
    found: int = empty.delay(number).get(timeout=60)
    return found

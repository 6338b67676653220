"""The app that ``loop_blocking.py`` measures: a yard behind HTTP, and a watch over the event loop that serves it.

The watch is a coroutine that sleeps a millisecond again and again. How much later than that it wakes is how long the
loop was held up: by our code, by the collector, or by another program that had the core. To tell these apart it notes
as well how much of that time this process was computing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Annotated, Any, ClassVar

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from backyard import Backyard

TICK = 0.001

yard = Backyard("loop_blocking")


class Order(BaseModel):
    """An input of a usual size."""

    customer: int
    articles: list[str] = []
    note: str = ""


@yard.task
def take_order(order: Order, copies: Annotated[int, Field(ge=1, le=10)] = 1) -> int:
    """Take an order."""
    return order.customer * copies


@yard.task
def keep(text: str) -> int:
    """Take a text of any length."""
    return len(text)


class Watch:
    """Measures how long the event loop is held up.

    Args:
        app: The app around which it stands.
    """

    #: Pairs of seconds: how late a wake-up was, and how much of that time this process was computing.
    ticks: ClassVar[list[tuple[float, float]]] = []

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch for as long as the app lives."""
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        watching = asyncio.create_task(self.watch())
        try:
            await self.app(scope, receive, send)
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def watch(self) -> None:
        """Note each wake-up."""
        before, busy = time.perf_counter(), time.process_time()
        while True:
            await asyncio.sleep(TICK)
            now, used = time.perf_counter(), time.process_time()
            self.ticks.append((max(0.0, now - before - TICK), used - busy))
            before, busy = now, used


app = FastAPI()
app.add_middleware(Watch)


@app.post("/bare")
async def bare(request: Request) -> dict[str, Any]:
    """Do what an endpoint does at least: read a body and answer."""
    return {"size": len(await request.body())}


@app.post("/ticks")
async def take_ticks() -> list[tuple[float, float]]:
    """Hand over what was measured since the last time."""
    taken, Watch.ticks[:] = list(Watch.ticks), []
    return taken


yard.mount(app)

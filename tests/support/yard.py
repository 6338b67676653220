"""The yard that tests run: one small definition for each thing to be shown.

Workers and APIs of a test import it in processes of their own; the environment names the yard and its server.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import os
import signal
import time
import uuid
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from backyard import Backyard, Context, File

yard = Backyard(os.environ.get("TEST_YARD", "test"))


class Parcel(BaseModel):
    """A model with values that JSON has no types for."""

    when: dt.datetime
    price: decimal.Decimal
    key: uuid.UUID


@yard.task(example={"a": 1, "b": 2})
def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


@yard.task
def echo(
    parcels: list[Parcel], raw: bytes, choice: int | str | None = None
) -> tuple[list[Parcel], bytes, int | str | None]:
    """Give back what came."""
    return parcels, raw, choice


@yard.task
async def echo_async(value: int) -> tuple[int, int]:
    """Give back what came, and which event loop ran it."""
    await asyncio.sleep(0)
    return value, id(asyncio.get_running_loop())


@yard.task(queue="slow")
def steps(ctx: Context, count: int = Field(ge=1, le=10_000), pause: float = 0.0, until: str = "") -> int:
    """Report progress step by step.

    It ends before its time when there is a file, where one is named.
    """
    for done, _ in enumerate(ctx.track(range(count), message="stepping"), 1):
        time.sleep(pause)
        if until and Path(until).exists():
            return done
    return count


@yard.task(retries=2, backoff=0.01)
def flaky(ctx: Context, failures: int) -> int:
    """Fail a few times first."""
    if ctx.attempt <= failures:
        raise ValueError(f"attempt {ctx.attempt} fails on purpose")
    return ctx.attempt


@yard.task
def wrong_result() -> int:
    """Return something else than declared."""
    return "not a number"  # type: ignore[return-value]  # on purpose


@yard.task
def save_and_log(ctx: Context, name: str, text: str) -> str:
    """Save an artifact and log a line."""
    ctx.log("saving", name=name)
    return ctx.save(name, text)


@yard.task
def size_of(ctx: Context, file: File) -> int:
    """Read an uploaded file."""
    with ctx.open(file) as opened:
        return len(opened.read())


@yard.task(timeout=0.5)
def too_slow() -> None:
    """Run into the time limit."""
    time.sleep(30)


@yard.task
def wait_for(ctx: Context, gate: str, note: str = "") -> int:
    """Note each start in a file, then wait for another file to appear; a test makes it when it has seen enough."""
    with Path(f"{gate}.starts").open("a") as starts:
        starts.write(f"{os.getpid()} {ctx.attempt} {note}\n")
    while not Path(gate).exists():
        if ctx.cancelled:
            return -1
        time.sleep(0.01)
    return ctx.attempt


@yard.task
def die() -> None:
    """Kill the process that runs this."""
    os.kill(os.getpid(), signal.SIGKILL)


@yard.celery.task(name="plain", shared=False)
def plain(x: Any, y: Any) -> Any:
    """Multiply, as a plain Celery task."""
    return x * y


@yard.celery.task(name="retrying", bind=True, shared=False, max_retries=5)
def retrying(self: Any, times: int) -> int:
    """Retry as Celery's users do."""
    if self.request.retries < times:
        raise self.retry(countdown=0.01, exc=KeyError("again"))
    return int(self.request.retries)

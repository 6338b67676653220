"""The yard under faults: small tasks, each of which notes its start and its end in the journal."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backyard import Backyard, Context
from backyard.core.errors import TaskCancelledError
from faults.journal import note

yard = Backyard(os.environ.get("TEST_YARD", "faults"))


@contextlib.contextmanager
def noted(ctx: Context) -> Iterator[None]:
    """Note the start and the end of an attempt, be the end a return or an exception."""
    note("start", ctx.task_id, ctx.attempt)
    try:
        yield
    finally:
        note("end", ctx.task_id, ctx.attempt)


@yard.task
def work(ctx: Context, seconds: float = 0.0) -> int:
    """Work for a while."""
    with noted(ctx):
        time.sleep(seconds)
    return ctx.attempt


@yard.task
async def work_async(ctx: Context, seconds: float = 0.0) -> int:
    """Work for a while on the event loop."""
    with noted(ctx):
        await asyncio.sleep(seconds)
    return ctx.attempt


@yard.task
def report(ctx: Context, steps: int = 5, pause: float = 0.01) -> int:
    """Work with progress reports."""
    with noted(ctx):
        for _ in ctx.track(range(steps)):
            time.sleep(pause)
    return ctx.attempt


@yard.task(retries=5, backoff=0.2)
def flaky(ctx: Context, failures: int = 1) -> int:
    """Fail a few times first."""
    with noted(ctx):
        if ctx.attempt <= failures:
            raise ValueError(f"attempt {ctx.attempt} fails on purpose")
    return ctx.attempt


@yard.task(retries=5, backoff=0.2)
def stumble(ctx: Context, gate: str) -> int:
    """Wait until a file exists, and fail then, the first time."""
    with noted(ctx):
        while not Path(gate).exists():
            time.sleep(0.02)
        if ctx.attempt == 1:
            raise ValueError("attempt 1 fails on purpose")
    return ctx.attempt


@yard.task
def fail(ctx: Context) -> None:
    """Fail."""
    with noted(ctx):
        raise ValueError("on purpose")


@yard.task
def hold(ctx: Context, gate: str) -> int:
    """Wait until a file exists, or until told to stop."""
    with noted(ctx):
        while not Path(gate).exists():
            if ctx.cancelled:
                raise TaskCancelledError("the wait is over")
            time.sleep(0.02)
    return ctx.attempt


@yard.task
def crash(ctx: Context, how: str) -> None:
    """End the process that runs this."""
    note("start", ctx.task_id, ctx.attempt)
    ctx.log(f"about to end by {how}")
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        # No core file for it.
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)


@yard.task
def crash_worker(ctx: Context) -> None:
    """Kill the whole worker that runs this."""
    note("start", ctx.task_id, ctx.attempt)
    ctx.log("about to kill the worker")
    os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)
    time.sleep(60)


@yard.task
def break_out(ctx: Context, how: str) -> Any:
    """Raise or return what could end a worker."""
    with noted(ctx):
        if how == "memory":
            raise MemoryError("no room")
        if how == "exit":
            sys.exit(3)
        if how == "interrupt":
            raise KeyboardInterrupt
        return object()


@yard.task
def whole(ctx: Context, number: int) -> int:
    """Return a number; a result that does not fit is the task's own failure."""
    with noted(ctx):
        return object() if number < 0 else number  # type: ignore[return-value]  # on purpose


@yard.task(queue="bounded")
def bounded(ctx: Context, seconds: float = 0.0) -> int:
    """Work in a queue of a limited length."""
    with noted(ctx):
        time.sleep(seconds)
    return ctx.attempt


def noted_plain(task: Any, seconds: float) -> None:
    """Note the start and the end of a plain Celery task, whose attempts are counted by its record."""
    attempt = yard.ledger.record(task.request.id).number("attempt")
    note("start", task.request.id, attempt)
    time.sleep(seconds)
    note("end", task.request.id, attempt)


@yard.celery.task(name="part", bind=True)
def part(self: Any, number: int, seconds: float = 0.0) -> int:
    """Be a part of a chord."""
    noted_plain(self, seconds)
    return number


@yard.celery.task(name="total", bind=True)
def total(self: Any, numbers: list[int]) -> int:
    """Be the body of a chord."""
    noted_plain(self, 0.0)
    return sum(numbers)

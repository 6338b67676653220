"""A yard whose definitions have limits; what starts and ends is kept in a file beside it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from backyard import Backyard, Context
from support.trials import note

TARGET = "support.limited:yard.celery"
yard = Backyard(os.environ.get("TEST_YARD", "limited"))


def work(ctx: Context, gate: str, what: str) -> None:
    """Say when it begins and when it ends, and wait in between: for a file of its name, or as long as it says."""
    note(gate, f"start {what} {ctx.task_id} {os.getpid()}")
    held = Path(f"{gate}.hold")
    while held.exists() and not ctx.cancelled:
        time.sleep(0.01)
    note(gate, f"end {what} {ctx.task_id} {os.getpid()}")


@yard.task(concurrency=2)
def two(ctx: Context, gate: str, what: str = "two") -> None:
    """Run two at once."""
    work(ctx, gate, what)


@yard.task(concurrency=1)
def single(ctx: Context, gate: str, what: str = "single") -> None:
    """Run one at once."""
    work(ctx, gate, what)


@yard.task
def free(ctx: Context, gate: str, what: str = "free") -> None:
    """Run as many as there is room for."""
    work(ctx, gate, what)


@yard.task(queue="other")
def elsewhere(ctx: Context, gate: str, what: str = "elsewhere") -> None:
    """Run in another queue."""
    work(ctx, gate, what)


@yard.task(concurrency=3, concurrency_key="customer")
def per_customer(ctx: Context, gate: str, customer: int) -> None:
    """Run three at once, and one of each customer."""
    work(ctx, gate, f"c{customer}")


@yard.task(rate="10/s burst 3")
def paced(ctx: Context, gate: str) -> None:
    """Start ten a second."""
    work(ctx, gate, "paced")


@yard.task(concurrency=1, retries=2, backoff=0.01)
def failing(ctx: Context, gate: str) -> None:
    """Fail at first."""
    work(ctx, gate, "failing")
    if ctx.attempt < 3:
        raise ValueError(ctx.attempt)


@yard.task(unique="until_done", unique_key="customer")
def alike(ctx: Context, gate: str, customer: int, what: str = "alike") -> None:  # noqa: ARG001 - it is in the key
    """Be the only one of a customer."""
    work(ctx, gate, what)

"""Trials that are about cancelling: tasks that will not stop, that stop with care, and that have children."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from celery import chain, chord, group

from backyard import Backyard, Context
from support.trials import define_celery, define_typed, note, plain_trial, typed_trial, wait_for_file


def opened(gate: str) -> bool:
    """Whether a test has let those go on that wait."""
    return Path(gate).exists()


def busy(gate: str, text: str = "") -> None:
    """Note the start, and hear nothing until the gate is there."""
    note(gate, f"{os.getpid()} {text}".rstrip())
    wait_for_file(gate)


@typed_trial(retries=3, backoff=0.01)
def deaf(gate: str, text: str = "deaf") -> str:
    busy(gate, text)
    return text


@typed_trial(retries=3, backoff=0.01)
async def deaf_async(gate: str, text: str = "deaf_async") -> str:
    note(gate, f"{os.getpid()} {text}")
    while not opened(gate):
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            note(gate, "swallowed")
    return text


@typed_trial()
async def careful(ctx: Context, gate: str) -> None:
    note(gate, f"{os.getpid()} {ctx.attempt}")
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        note(gate, "cancelled")
        for _ in range(8):
            await asyncio.sleep(0.2)  # longer than lies between two looks for a cancel
        note(gate, "cleaned")
        raise


@typed_trial()
def listens(ctx: Context, gate: str) -> int:
    note(gate, f"{os.getpid()} {ctx.attempt}")
    while not ctx.cancelled:
        time.sleep(0.01)
    note(gate, "heard")
    wait_for_file(gate)
    return 7


def send_all(app: Any, gate: str) -> None:
    """Send eight tasks in all of Celery's ways; each waits for a gate, and two more would follow."""
    where = {"queue": "children"}

    def gated(text: str) -> Any:
        return app.tasks["gated"].si(gate, text).set(**where)

    app.send_task("gated", (gate, "send_task"), **where)
    app.tasks["gated"].apply_async((gate, "later"), countdown=600, **where)
    chain(gated("first"), gated("second")).apply_async()
    group(gated("group"), gated("group")).apply_async()
    chord([gated("part"), gated("part")], gated("body")).apply_async()
    gated("delay").delay()


@typed_trial(queue="parents")
def parent(ctx: Context, gate: str, count: int = 1) -> int:
    for _ in range(count):
        typed.deaf.with_options(queue="children").submit_sync(gate)
    send_all(yard.celery, gate)
    note(gate, "sent")
    while not ctx.cancelled and not opened(gate):
        time.sleep(0.01)
    return count


@typed_trial(queue="parents")
async def parent_async(gate: str, count: int = 1) -> int:
    for _ in range(count):
        await typed.deaf.with_options(queue="children").submit(gate)
    await asyncio.to_thread(send_all, yard.celery, gate)
    send_all(yard.celery, gate)
    note(gate, "sent")
    await asyncio.sleep(0 if opened(gate) else 600)
    return count


@plain_trial(bind=True)
def plain_parent(self: Any, gate: str) -> None:
    typed.deaf.with_options(queue="children").submit_sync(gate)
    send_all(self.app, gate)
    note(gate, "sent")
    wait_for_file(gate)


@plain_trial()
def gated(gate: str, text: str) -> str:
    busy(gate, text)
    return text


@plain_trial(bind=True)
def replaced(self: Any, gate: str) -> Any:
    gated = self.app.tasks["gated"]
    raise self.replace(chain(gated.si(gate, "in its place"), gated.si(gate, "last")))


@plain_trial(bind=True)
def body(self: Any, results: Any, gate: str) -> Any:
    note(gate, f"body {self.request.id}")
    return results


@plain_trial()
def errback(request: Any, error: Any, traceback: Any, gate: str = "") -> None:
    assert traceback is None
    note(gate, f"errback {request.id} {type(error).__name__}")


@plain_trial()
def old_errback(task_id: str, gate: str) -> None:
    note(gate, f"old_errback {task_id}")


yard = Backyard(os.environ.get("TEST_YARD", "stubborn"))
typed = define_typed(yard)
plain = define_celery(yard)

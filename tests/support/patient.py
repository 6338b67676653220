"""A yard of tasks that wait, ask for another try, put themselves off or give up."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from celery import Task

from backyard import Backyard, Context, GiveUp, Retry, Snooze
from support.trials import note, wait_for_file

TARGET = "support.patient:yard.celery"
_TASKS: list[tuple[str, Callable[..., Any], dict[str, Any]]] = []


def _keep(kind: str, options: dict[str, Any], function: Callable[..., Any]) -> Callable[..., Any]:
    _TASKS.append((kind, function, options))
    return function


def trial(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Keep a function for every yard to define."""
    return functools.partial(_keep, "typed", options)


def plain(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Keep a function for every yard's Celery app to register."""
    return functools.partial(_keep, "plain", options)


def define(yard: Backyard) -> SimpleNamespace:
    """Register all of them with a yard."""
    made = SimpleNamespace()
    for kind, function, options in _TASKS:
        name = function.__name__
        register = yard.task(**options) if kind == "typed" else yard.celery.task(name=name, shared=False, **options)
        setattr(made, name, register(function))
    return made


class Busy(Exception):  # noqa: N818 - what a library of the user's might raise
    """The other side is busy."""


class VeryBusy(Busy):
    """It is very busy."""


def moment(after: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=after)


AFTER: dict[str, Any] = {"seconds": 0.01, "duration": dt.timedelta(milliseconds=10), "never mind": None}


def be_busy(number: int) -> None:
    raise Busy(f"attempt {number}")


@trial(retries=3, backoff=0.01)
def ask(ctx: Context, tries: int, after: str = "seconds", reason: str = "") -> int:
    if ctx.attempt > tries:
        return ctx.attempt
    try:
        be_busy(ctx.attempt)
    except Busy as error:
        raise Retry(reason, after=moment(0.01) if after == "moment" else AFTER[after]) from error
    return 0


@trial(retries=3, backoff=0.01)
async def ask_async(ctx: Context, tries: int, after: str = "seconds") -> int:
    await asyncio.sleep(0)
    if ctx.attempt > tries:
        return ctx.attempt
    raise Retry("later", after=AFTER[after])


@trial()
def ask_in_vain(reason: str) -> None:
    raise Retry(reason, after=0)


@trial(retries=5, backoff=0.01, give_up_on=(Retry,))
def ask_for(ctx: Context, seconds: float) -> int:
    if ctx.attempt > 1:
        return ctx.attempt
    raise Retry("closed at night", after=seconds)


@trial(retries=1, backoff=0.01)
def put_off(ctx: Context, gate: str, times: int, seconds: float = 0.01) -> int:
    note(gate, str(ctx.attempt))
    if ctx.attempt <= times:
        raise Snooze(seconds, "not ready")
    if ctx.attempt == times + 1:
        raise Busy("now it fails")
    return ctx.attempt


@trial()
async def put_off_async(ctx: Context, times: int) -> int:
    await asyncio.sleep(0)
    if ctx.attempt <= times:
        raise Snooze(dt.timedelta(milliseconds=10))
    return ctx.attempt


@trial(retries=5)
def give_up() -> None:
    raise GiveUp("no such customer")


@trial(retries=5)
async def give_up_async() -> None:
    await asyncio.sleep(0)
    raise GiveUp("no such customer")


@trial(retries=3, backoff=0.01, retry_on=(Busy, TimeoutError), give_up_on=VeryBusy)
def choosy(ctx: Context, kind: str) -> int:
    if ctx.attempt == 1:
        raise {"busy": Busy, "very busy": VeryBusy, "time": TimeoutError, "value": ValueError}[kind](kind)
    return ctx.attempt


@trial(retries=1, backoff=0.01, retry_on=TimeoutError, timeout=0.3, queue="timed")
def late_once(ctx: Context) -> int:
    if ctx.attempt == 1:
        time.sleep(60)
    return ctx.attempt


@trial(retries=2, backoff={Busy: 600, "default": 0.01}, jitter=False)
def slow_and_fast(ctx: Context, kind: str) -> int:
    if ctx.attempt == 1:
        raise {"busy": Busy, "very busy": VeryBusy, "value": ValueError}[kind](kind)
    return ctx.attempt


@trial(expires=600)
def add(a: int, b: int = 2) -> int:
    return a + b


@trial(timeout=600, queue="timed")
def nearly_late(gate: str) -> str:
    note(gate, str(os.getpid()))
    wait_for_file(gate)
    return "in time"


@trial(retries=2, backoff=0.01)
def ask_after(ctx: Context, gate: str) -> int:
    note(gate, str(ctx.attempt))
    wait_for_file(gate)
    if ctx.attempt == 1:
        raise Retry("not yet", after=0.01)
    return ctx.attempt


@plain(bind=True, max_retries=2, default_retry_delay=0.01)
def plain_ask(self: Task, how: str, *, times: int = 1) -> int:
    if self.request.retries >= times:
        return int(self.request.retries)
    if how == "retry":
        raise Retry("plain", after=0.01)
    if how == "default":
        raise Retry
    raise self.retry(exc=Busy("as ever"), countdown=600)


@plain(bind=True)
def plain_snooze(self: Task, gate: str) -> int:
    note(gate, str(self.request.retries))
    if self.yard_services.ledger.record(self.request.id).number("attempt") < 3:
        raise Snooze(0.01)
    return int(self.request.retries)


yard = Backyard(os.environ.get("TEST_YARD", "patient"))
define(yard)
if "TEST_CLOCK_OFF" in os.environ:
    # A worker whose clock is wrong, as far as Celery looks at one.
    _now = yard.celery.now
    yard.celery.now = lambda: _now() + dt.timedelta(seconds=float(os.environ["TEST_CLOCK_OFF"]))

"""Definitions and Celery tasks that put the engine to the test, for workers and for the programs that submit."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

from celery import Task, chain, chord, group
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from pydantic import BaseModel

from backyard import Backyard, Context, Settings
from support import jams  # noqa: F401 - its commands are workers' own


class Box(BaseModel):
    """Values that JSON has no types for."""

    when: dt.datetime
    day: dt.date
    lasts: dt.timedelta
    price: decimal.Decimal
    key: uuid.UUID
    kind: Literal["small", "large"] = "small"


def note(gate: str, text: str) -> None:
    """Add a line to a file in one step, so that lines of several processes do not mix."""
    handle = os.open(f"{gate}.starts", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{text}\n".encode())
    os.close(handle)


def starts(gate: Path | str) -> list[list[str]]:
    """Return what :func:`note` noted: pid, attempt and the rest of each start."""
    path = Path(f"{gate}.starts")
    return [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []


Trial = tuple[Callable[..., Any], dict[str, Any]]
TYPED: list[Trial] = []
PLAIN: list[Trial] = []


def typed_trial(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Keep a function for every yard to define."""

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        TYPED.append((function, options))
        return function

    return keep


def plain_trial(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Keep a function for every yard's Celery app to register."""

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        PLAIN.append((function, options))
        return function

    return keep


def define_typed(yard: Backyard) -> SimpleNamespace:
    """Register the typed definitions."""
    return SimpleNamespace(
        **{
            function.__name__: yard.task(**options)(function)
            for function, options in TYPED
            if not ("timeout" in options and os.environ.get("TEST_WITHOUT_LIMITS"))
        }
    )


def define_celery(yard: Backyard) -> SimpleNamespace:
    """Register plain Celery tasks, written as Celery's users write them."""
    made = {
        function.__name__: yard.celery.task(name=function.__name__, shared=False, **options)(function)
        for function, options in PLAIN
    }
    yard.celery.register_task(ClassBased)
    return SimpleNamespace(**made)


@typed_trial()
def add(a: int, b: int = 2) -> int:
    return a + b


@typed_trial()
def repeat(
    boxes: list[Box], raw: bytes, choice: int | str | Box | None = None, rates: dict[str, float] | None = None
) -> tuple[list[Box], bytes, int | str | Box | None, dict[str, float] | None]:
    return boxes, raw, choice, rates


@typed_trial()
async def on_loop(value: int) -> tuple[int, int, int]:
    await asyncio.sleep(0)
    return value, os.getpid(), id(asyncio.get_running_loop())


@typed_trial(retries=2, backoff=0.01)
def flaky(ctx: Context, failures: int) -> int:
    if ctx.attempt <= failures:
        raise ValueError(f"attempt {ctx.attempt} fails on purpose")
    return ctx.attempt


@typed_trial(retries=3, backoff=0.01)
def wrong_result() -> int:
    return "not a number"  # type: ignore[return-value]  # on purpose


@typed_trial(timeout=1)  # so that it has begun before, on any machine
def too_slow() -> None:
    time.sleep(60)


@typed_trial(timeout=1, retries=1, backoff=0.01)
def stubborn(ctx: Context, gate: str) -> None:
    note(gate, f"{os.getpid()} {ctx.attempt}")
    while True:
        try:
            time.sleep(60)
        except SoftTimeLimitExceeded:
            continue


@typed_trial(timeout=1)
async def too_slow_async(gate: str) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        note(gate, "rested")


@typed_trial()
def hold(ctx: Context, gate: str, text: str = "") -> int:
    note(gate, f"{os.getpid()} {ctx.attempt} {text}")
    while not Path(gate).exists():
        if ctx.cancelled:
            return -1
        time.sleep(0.01)
    return ctx.attempt


@typed_trial()
def walk(ctx: Context, gate: str) -> None:
    note(gate, f"{os.getpid()} {ctx.attempt}")
    for _ in ctx.track(range(100_000)):
        time.sleep(0.01)


@typed_trial()
async def doze(ctx: Context, gate: str) -> None:
    note(gate, f"{os.getpid()} {ctx.attempt}")
    try:
        await asyncio.sleep(600)
    finally:
        note(gate, "rested")


@typed_trial()
def report(ctx: Context, gate: str) -> int:
    """Report, log and save all the time; the server may come and go."""
    note(gate, f"{os.getpid()} {ctx.attempt}")
    count = 0
    while not Path(gate).exists():
        ctx.progress(count)
        if count % 10 == 0:
            ctx.log("line", number=count)
        count += 1
        time.sleep(0.02)
    ctx.progress(count, count, "done")
    ctx.save("note.txt", "kept")
    return count


@typed_trial()
def die(gate: str, how: str = "kill") -> None:
    note(gate, f"{os.getpid()} {how}")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(3)


@typed_trial()
def break_out(how: str) -> None:
    if how == "memory":
        raise MemoryError("no room")
    if how == "exit":
        sys.exit(3)
    raise KeyboardInterrupt


@typed_trial()
async def break_out_async(how: str) -> None:
    await asyncio.sleep(0)
    if how == "exit":
        sys.exit(3)
    raise asyncio.CancelledError


@typed_trial()
def wait_for_other(task_id: str) -> int:
    result: int = yard.handle(task_id, "add").result_sync(timeout=30)
    return result


@typed_trial(priority="low", queue="lanes")
def lane(gate: str, text: str) -> None:
    note(gate, text)


@typed_trial(expires=0.0005)  # less than the server's clock can tell: however quick a worker is, it comes too late
def perishable() -> None:
    raise AssertionError("must not start")


@plain_trial()
def multiply(x: Any, y: Any) -> Any:
    return x * y


@plain_trial()
def total(numbers: Any) -> Any:
    return sum(numbers)


@plain_trial()
def fail(message: str = "on purpose") -> None:
    raise ValueError(message)


@plain_trial(bind=True, max_retries=5)
def retrying(self: Any, times: int) -> int:
    if self.request.retries < times:
        raise self.retry(countdown=0.01, exc=KeyError("again"))
    return int(self.request.retries)


class OwnBase(Task):  # type: ignore[misc]  # Celery ships no types
    """A task class as Celery's users write them, with a call and attributes of its own."""

    abstract = True
    services = "mine"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        assert self.services == "mine"
        return ["called", *super().__call__(*args, **kwargs)]


class ClassBased(OwnBase):
    """A task written as a class."""

    name = "ClassBased"
    autoretry_for = (ValueError,)
    retry_kwargs: ClassVar[dict[str, Any]] = {"max_retries": 1, "countdown": 0.01}

    def run(self, x: Any) -> Any:
        if not self.request.retries:
            raise ValueError
        return [x, self.request.retries]


@plain_trial(bind=True, base=OwnBase, autoretry_for=(ValueError,), retry_kwargs={"max_retries": 1, "countdown": 0.01})
def based(self: Any, x: Any) -> Any:
    if not self.request.retries:
        raise ValueError
    return [x, self.request.retries]


@plain_trial(bind=True)
def replacing(self: Any, how: str) -> Any:
    multiply, total, fail = (self.app.tasks[name] for name in ("multiply", "total", "fail"))
    by = {
        "task": multiply.s(3, 4),
        "chain": chain(multiply.s(3, 3), multiply.s(3)),
        "group": group(multiply.s(2, 3), multiply.s(2, 4)),
        "chord": chord([multiply.s(2, 3), multiply.s(2, 4)], total.s()),
        "broken": chain(fail.s(), multiply.s(3)),
    }
    raise self.replace(by[how])


@plain_trial(bind=True)
def slow_retry(self: Any, gate: str, *, wait: bool = False) -> None:
    note(gate, str(self.request.retries))
    if wait:
        wait_for_file(gate)
    raise self.retry(countdown=600, exc=KeyError("again"))


@plain_trial(bind=True)
def reporting(self: Any, gate: str) -> str:
    self.update_state(state="PROGRESS", meta={"current": 1, "total": 4, "status": "busy"})
    wait_for_file(f"{gate}.1")
    self.update_state(state="CUSTOM", meta={"mine": True})
    wait_for_file(f"{gate}.2")
    return "done"


@plain_trial(ignore_result=True)
def quiet(x: Any) -> Any:
    return x


@plain_trial(bind=True)
def rejecting(self: Any, gate: str, *, requeue: bool) -> str:
    note(gate, str(bool(self.request.delivery_info["redelivered"])))
    if requeue and self.request.delivery_info["redelivered"]:
        return "second"
    raise Reject("no", requeue=requeue)


@plain_trial(bind=True)
def coming_back(self: Any, times: int) -> int:
    """Reject oneself often: that is no sign of a task that kills its workers."""
    attempt = self.yard_services.ledger.record(self.request.id).number("attempt")
    if attempt <= times:
        raise Reject("later", requeue=True)
    return int(attempt)


@plain_trial()
def ignoring() -> None:
    raise Ignore


@plain_trial()
def opaque() -> Any:
    return object()


@plain_trial()
def remember(gate: str, *words: Any) -> None:
    note(gate, " ".join(str(word) for word in words))


@plain_trial(acks_late=False)
def once_only(gate: str) -> None:
    note(gate, str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)


@plain_trial()
def exits() -> None:
    raise SystemExit(4)


@plain_trial(bind=True)
def sends(self: Any) -> list[str]:
    return [self.app.tasks["multiply"].delay(1, 2).id, self.app.send_task("multiply", (3, 4)).id]


@plain_trial(bind=True)
def long(self: Any, gate: str) -> str:
    note(gate, f"{os.getpid()} {self.request.id}")
    wait_for_file(gate)
    return "long"


def wait_for_file(path: str) -> None:
    """Wait until a test makes a file; a test that never does is ended by its own time limit."""
    while not Path(path).exists():
        time.sleep(0.01)


def make_yard(environment: dict[str, str]) -> Backyard:
    """Return the yard that an environment names, for a program that submits."""
    settings = Settings(
        redis_url=environment["BACKYARD_REDIS_URL"],
        data_dir=Path(environment["BACKYARD_DATA_DIR"]),
        lease=float(environment["BACKYARD_LEASE"]),
    )
    return Backyard(environment["TEST_YARD"], settings=settings)


yard = Backyard(os.environ.get("TEST_YARD", "trials"))
typed = define_typed(yard)
plain = define_celery(yard)

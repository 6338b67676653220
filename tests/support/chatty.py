"""Tasks that log, in all the ways in which tasks and libraries do, for workers and for the programs that submit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from celery.utils.log import get_task_logger

from backyard import Backyard, Context, Settings
from support.trials import note, wait_for_file

TARGET = "support.chatty:yard.celery"
LIBRARY = logging.getLogger("library.part")


class Unwritable:
    """Fails when it is written."""

    def __str__(self) -> str:
        raise RuntimeError("cannot be written")

    __repr__ = __str__


TASKS: list[tuple[Callable[..., Any], dict[str, Any]]] = []


def chatty(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Keep a function for every yard to define."""

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        TASKS.append((function, options))
        return function

    return keep


def define(yard: Backyard) -> SimpleNamespace:
    """Register the tasks."""
    return SimpleNamespace(
        **{
            function.__name__: yard.task(**options)(function)
            for function, options in TASKS
            if not ("timeout" in options and os.environ.get("TEST_WITHOUT_LIMITS"))
        }
    )


@chatty()
def talk(ctx: Context, who: str) -> int:
    """Log by a library's logger, by the own log, by Celery's task logger, and by a thread."""
    LIBRARY.info("hello %s", who, extra={"order": 7})
    ctx.log("own line", "warning", who=who)
    get_task_logger("shop.tasks").error("from Celery's task logger, %s", who)
    LIBRARY.debug("not to be seen")
    thread = threading.Thread(target=LIBRARY.warning, args=("from a thread of %s", who))
    thread.start()
    thread.join()
    logging.getLogger("celery.worker").error("of the machinery")
    logging.getLogger("backyard.pulse").error("of the machinery")
    return ctx.attempt


@chatty()
def talk_with(who: str, gate: str) -> None:
    """Log while others do."""
    LIBRARY.info("begins: %s", who)
    note(gate, who)
    wait_for_file(gate)
    thread = threading.Thread(target=LIBRARY.info, args=("cannot be told apart",))
    thread.start()
    thread.join()
    note(f"{gate}.said", who)
    wait_for_file(f"{gate}.said")
    LIBRARY.info("ends: %s", who)


@chatty()
async def talk_async(who: str, gate: str) -> None:
    """Log from a coroutine, and from a thread that it waits for."""
    LIBRARY.info("coroutine of %s", who)
    note(gate, who)
    while not Path(gate).exists():  # noqa: ASYNC110, ASYNC240 - a test opens it
        await asyncio.sleep(0.01)
    await asyncio.to_thread(LIBRARY.info, "thread of %s", who)


@chatty(retries=1, backoff=0.01)
def fail_aloud(ctx: Context, password: str = "") -> None:
    """Log an error with its traceback, and fail."""
    try:
        dict[str, int]()[f"missing in attempt {ctx.attempt}"]
    except KeyError:
        LIBRARY.exception("it went wrong %s", password)
    raise ValueError("on purpose")


@chatty()
def odd(gate: str) -> None:
    """Log what is hard to write."""
    LIBRARY.info("x" * 100_000)
    LIBRARY.info("%d is no number", "this")
    LIBRARY.info("%s", Unwritable())
    LIBRARY.info("lone \udcff surrogate and \0 zero", extra={"at": "taken", "nan": float("nan"), "big": 10**5_000})
    around: list[Any] = [1]
    around.append(around)
    LIBRARY.info("fields", extra={"thing": Unwritable(), "path": Path(gate), "around": around, "long": "y" * 100_000})
    LIBRARY.info({"a": "mapping"})
    warnings.warn("and a warning", stacklevel=1)
    LIBRARY.info("last")


@chatty()
def flood(count: int, message: str = "line %d of many") -> float:
    """Log in a tight loop, and return how long that took."""
    begun = time.perf_counter()
    for number in range(count):
        LIBRARY.info(message, number)
    return time.perf_counter() - begun


@chatty()
def speak_and_die(ctx: Context, gate: str) -> int:
    """Log, wait until it was seen, and kill the own process, once."""
    LIBRARY.info("attempt %d speaks", ctx.attempt)
    note(gate, str(os.getpid()))
    wait_for_file(gate)
    if ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return ctx.attempt


@chatty(timeout=0.5)
def talk_without_end() -> None:
    """Log until the time limit."""
    while True:
        LIBRARY.info("again")


@chatty()
def talk_from_children(ctx: Context) -> None:
    """Log from a process that the task makes."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            LIBRARY.error("of a child")
            ctx.log("own line of a child")
        os._exit(0)
    os.waitpid(child, 0)
    LIBRARY.info("of the parent")


def define_celery(yard: Backyard) -> None:
    """Register plain Celery tasks."""

    def plain_talk(self: Any) -> None:
        LIBRARY.info("plain, try %d", self.request.retries)
        if self.request.retries == 0:
            raise self.retry(countdown=0.01)

    yard.celery.task(name="plain_talk", bind=True, max_retries=1, shared=False)(plain_talk)


def yard_of(environment: dict[str, str]) -> Backyard:
    """Return the yard that an environment names, for a program that submits."""
    settings = Settings(redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]))
    return Backyard(environment["TEST_YARD"], settings=settings)


yard = Backyard(os.environ.get("TEST_YARD", "chatty"))
tasks = define(yard)
define_celery(yard)

"""Tasks that hold up, kill or crash what runs them, for workers and for the programs that submit."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from backyard import Backyard, Context, Settings
from support.trials import note, wait_for_file

TARGET = "support.deadly:yard.celery"


TASKS: list[tuple[Callable[..., Any], dict[str, Any]]] = []


def deadly(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Keep a function for every yard to define."""

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        TASKS.append((function, options))
        return function

    return keep


def define(yard: Backyard) -> SimpleNamespace:
    """Register the tasks."""
    return SimpleNamespace(**{function.__name__: yard.task(**options)(function) for function, options in TASKS})


@deadly()
def add(a: int, b: int = 2) -> int:
    return a + b


@deadly()
def hold(ctx: Context, gate: str) -> int:
    """Run until the gate opens."""
    ctx.log(f"holding in attempt {ctx.attempt}")  # first: whoever sees that it has begun may kill it
    note(gate, f"{os.getpid()} {ctx.attempt}")
    wait_for_file(gate)
    return ctx.attempt


@deadly()
def hold_interpreter(ctx: Context, gate: str, seconds: float) -> int:
    """Let no other thread of the process have a turn, as one long call into C does."""
    note(gate, f"{os.getpid()} {ctx.attempt}")
    libc = ctypes.PyDLL(None)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        libc.usleep(int(max(end - time.monotonic(), 0) * 1e6))
    return ctx.attempt


@deadly()
def crash(ctx: Context, gate: str, how: str) -> None:
    """End the own process."""
    note(gate, f"{os.getpid()} {ctx.attempt}")
    ballast = bytearray(os.urandom(1) * 60_000_000)
    ctx.log("about to end")
    logging.getLogger("shop").warning("%d bytes of ballast, attempt %d", len(ballast), ctx.attempt)
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "exit":
        os._exit(7)
    os.kill(os.getpid(), signal.SIGKILL)


@deadly(crash_limit=1)
def crash_once(gate: str) -> None:
    """End the own process, which may not happen twice."""
    note(gate, str(os.getpid()))
    os.kill(os.getpid(), signal.SIGABRT)


@deadly()
def fell_worker(ctx: Context, gate: str) -> None:
    """Kill the whole worker: its main process and all of the pool."""
    note(gate, f"{os.getpid()} {ctx.attempt}")
    ctx.log(f"felling, attempt {ctx.attempt}")
    os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)


@deadly(crash_limit=1)
def chatter(gate: str) -> None:
    """Log a lot, some of it hard to write, and end the own process."""
    note(gate, str(os.getpid()))
    for number in range(1_000):
        logging.getLogger("shop").warning("%d \udcff%s", number, "é" * 10_000)
    os._exit(1)


def yard_of(environment: dict[str, str]) -> Backyard:
    """Return the yard that an environment names, for a program that submits."""
    settings = Settings(redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]))
    return Backyard(environment["TEST_YARD"], settings=settings)


yard = Backyard(os.environ.get("TEST_YARD", "deadly"))
tasks = define(yard)

"""What all contenders have in common: the input that their endpoints validate, what their tasks do, and their marks."""

from __future__ import annotations

import mmap
import os
import random
import time
from typing import Final

from pydantic import BaseModel, Field

#: The server that all of them share.
URL: Final = os.environ.get("BENCH_URL", "redis://127.0.0.1:6379/0")
#: Of a sleep, the end that is spent looking at the clock, in seconds: a sleep alone is a tenth of a millisecond late.
EXACT: Final = 0.0002
SHORTEST: Final = 0.001
LONGEST: Final = 2.0
SEED: Final = 5


class Order(BaseModel):
    """The input of what is submitted over HTTP."""

    customer: int = Field(ge=1)
    articles: list[str]
    note: str = ""


class Marker:
    """Marks that a task ran, in a file that all processes of a contender share: a byte a task, counted up."""

    def __init__(self) -> None:
        with open(os.environ["BENCH_MARKS"], "r+b") as file:  # noqa: PTH123 - nothing but what is needed at run time
            self._marks = mmap.mmap(file.fileno(), 0)

    def __call__(self, number: int) -> None:
        """Mark a run of a task."""
        self._marks[number] += 1


_marker: Marker | None = None


def mark(number: int) -> int:
    """Be the empty task: mark that it ran, and return its number as the result."""
    global _marker  # noqa: PLW0603 - opened where tasks run, and not where they are submitted
    if _marker is None:
        _marker = Marker()
    _marker(number)
    return number


def nap(number: int, seconds: float) -> int:
    """Be a task that takes exactly so long."""
    end = time.perf_counter() + seconds
    mark(number)
    time.sleep(max(0.0, seconds - EXACT))
    while time.perf_counter() < end:
        pass
    return number


def lengths(kind: str, number: int) -> list[float]:
    """Return how long each task takes, in seconds.

    Args:
        kind: A number, which is the length of each; or ``mixed``: from a millisecond to two seconds, drawn so that
            each order of magnitude is as frequent as any other, the same for everybody.
        number: How many tasks.
    """
    if kind != "mixed":
        return [float(kind)] * number
    draw = random.Random(SEED)
    return [float(SHORTEST * (LONGEST / SHORTEST) ** draw.random()) for _ in range(number)]

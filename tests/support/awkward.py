"""A yard whose definitions are awkward to serve and to document, behind HTTP."""

from __future__ import annotations

import os
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import AfterValidator, BaseModel, Field

import backyard.api.events
from backyard import Backyard, Context, File
from backyard.api import create_app

# A comment after each quarter of a second of silence, so that a test need not wait for it.
backyard.api.events.HEARTBEAT = 0.25

yard = Backyard(os.environ.get("TEST_YARD", "test"))
app: FastAPI = create_app(yard)


def fail(value: int) -> int:
    """Fail as a bug does."""
    return value // 0


def declare(size: int) -> type[BaseModel]:
    """Return a model of a title that another one has too."""

    class Report(BaseModel):
        """A report."""

        pages: int = Field(le=size)

    return Report


Small: Any = declare(10)
Large: Any = declare(1_000)


@yard.task(example={"pages": 3})
def report_send(pages: int) -> Small:
    """Send a report.

    It goes out at once.
    """
    return Small(pages=pages)


@yard.task(name="report.send")
def send_another(text: str) -> Large:
    return Large(pages=len(text))


@yard.task
def add(first: Small, second: Large) -> None:
    """Add reports."""


@yard.task
def add_batch(numbers: list[float]) -> float:
    """Be called like the batch of another."""
    return sum(numbers)


@yard.task
def convert(ctx: Context, file: File, others: list[File] = Field(default=[], max_length=3)) -> int:
    """Convert a file."""
    ctx.log(file.id)
    return len(others)


@yard.task
def buggy(number: Annotated[int, AfterValidator(fail)]) -> int:
    """Have a bug in the check of the input."""
    return number


@yard.task
def anything(value: Any = None) -> Any:
    """Take anything, and give it back."""
    return value

"""One short task whose runs can be told to do something else, for a worker that takes short tasks in batches."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery.exceptions import Ignore, Reject

from backyard import Backyard, Context, Retry, Settings
from support.trials import note, starts, wait_for_file

TARGET = "support.quick:yard.celery"


def define(yard: Backyard) -> Backyard:
    """Register the task, and one whose results are too many to be short."""

    @yard.task(retries=2, backoff=0.01)
    def step(ctx: Context, gate: str, what: str = "go", number: int = 0) -> int:
        # Runs, not attempts: what was begun in a batch and goes back unrun begins with the next one.
        first = what == "go" or str(number) not in [before for before, *_ in starts(gate)]
        note(gate, f"{number} {ctx.attempt} {os.getpid()}")
        if what == "wait" or (what == "wait once" and first):
            wait_for_file(gate)
        elif what == "die" or (what == "die once" and first):
            os._exit(7)
        elif what == "fail":
            raise ValueError(f"number {number}")
        elif what == "retry" and first:
            raise Retry(after=0)
        elif what == "spin":
            while not Path(gate).exists():
                time.sleep(0.01)
        elif what == "ignore":
            raise Ignore
        elif what == "reject" or (what == "requeue" and first):
            raise Reject("not here", requeue=what == "requeue")
        return number

    return yard


def yard_of(environment: dict[str, str]) -> Backyard:
    """Return the yard that an environment names, for a program that submits."""
    settings = Settings(redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]))
    return define(Backyard(environment["TEST_YARD"], settings=settings))


yard = define(Backyard(os.environ.get("TEST_YARD", "quick")))

"""``sleep_task``: the simplest task there is, to watch a queue at work."""

import math
import time
from typing import Annotated

from pydantic import BaseModel, Field

from backyard import Context
from backyard.core.errors import InvalidInputError
from backyard.demo.demo_yard import yard

#: Longest sleep a worker takes on, in seconds. A worker's time limit has to be longer than this.
WORKER_MAX_TIMEOUT = 300
#: Seconds beyond it that an attempt gets before it is stopped.
GRACE = 30
#: Seconds between two looks at whether the task was cancelled.
STEP = 0.1

Duration = Annotated[int, Field(ge=1, le=300, description="How long to sleep, in seconds", examples=[5])]


class SleepResult(BaseModel):
    """How long the task slept."""

    duration: int = Field(description="Seconds asked for")
    slept: float = Field(description="Seconds slept, by the worker's clock")


@yard.task(timeout=WORKER_MAX_TIMEOUT + GRACE, example={"duration": 5})
def sleep_task(ctx: Context, duration: Duration) -> SleepResult:
    """Sleep, and say each second how long it has been.

    Stops within a fraction of a second when cancelled.
    """
    if duration > WORKER_MAX_TIMEOUT:
        raise InvalidInputError(
            f"This worker sleeps {WORKER_MAX_TIMEOUT} s at most (its worker_max_timeout), and {duration} s were asked "
            "for. Submit a shorter duration, or raise the worker's limit."
        )
    begin = time.monotonic()
    for second in range(duration + 1):
        _sleep_until(ctx, begin + second)
        ctx.progress(second, duration, f"Slept {second} of {duration} s")
    return SleepResult(duration=duration, slept=round(time.monotonic() - begin, 3))


def _sleep_until(ctx: Context, moment: float) -> None:
    """Sleep in small steps, and return early when the task is cancelled: the next report then ends it."""
    while (left := moment - time.monotonic()) > 0 and not ctx.cancelled:
        time.sleep(min(STEP, math.ceil(left * 1_000) / 1_000))

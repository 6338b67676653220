"""The yard behind ``benchmarks.console``: the definitions of its month, and one that ends 200 times a second."""

from __future__ import annotations

import time

from benchmarks.history_rows import DEFINITIONS

from backyard import Backyard

#: Seconds that each takes: two processes end 200 a second.
PAUSE = 0.01

yard = Backyard("bench")


def _work(customer: int = 0, note: str = "") -> int:
    """Do what the shop does."""
    return customer + len(note)


for _name, (_, _queue) in DEFINITIONS.items():
    yard.task(name=_name, queue=_queue)(_work)


@yard.schedule("30 23 * * *", tz="Europe/Berlin", schedule_id="nightly")
@yard.task(queue="slow")
def close_day() -> int:
    """Do what is done each night."""
    return 0


@yard.task(queue="ticks")
def tick(number: int) -> int:
    """Take a hundredth of a second."""
    time.sleep(PAUSE)
    return number

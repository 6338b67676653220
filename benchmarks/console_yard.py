"""The yard behind ``benchmarks.console``: the definitions of its month, and one that ends 200 times a second."""

from __future__ import annotations

import asyncio

from benchmarks.history_rows import DEFINITIONS

from backyard import Backyard

#: Seconds that each takes, and how many a worker runs at once: it ends 200 a second, on slow machines as on quick ones.
PAUSE, AT_ONCE = 1.0, 200

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
async def tick(number: int) -> int:
    """Take a second."""
    await asyncio.sleep(PAUSE)
    return number

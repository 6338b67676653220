"""A time limit for answers, which a program that holds its own event loop up does not run into."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: Seconds for a look at what has come when the time is up.
LAST_LOOK = 0.05


@asynccontextmanager
async def answered_by(when: float) -> AsyncIterator[None]:
    """Limit the time of what waits for an answer.

    Where the program itself held the loop up for so long, the answer is there, and nobody has looked at it yet.

    Args:
        when: When the time is up, by the loop's clock.

    Raises:
        TimeoutError: No answer came.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        up = loop.call_at(when, lambda: limit.reschedule(loop.time() + LAST_LOOK))
        try:
            yield
        finally:
            up.cancel()

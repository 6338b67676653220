"""What goes on to its end when the request that asked for it is cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

# The loop itself keeps only weak references.
_going_on: set[asyncio.Task[Any]] = set()


async def finish(cleaning: Any) -> None:
    """Run a coroutine to its end even if the caller is cancelled meanwhile."""
    task = asyncio.ensure_future(cleaning)
    _going_on.add(task)
    task.add_done_callback(_going_on.discard)
    await asyncio.shield(task)

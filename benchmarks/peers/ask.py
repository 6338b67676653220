"""Submit one task and take its result, again and again: ``python -m benchmarks.peers.ask NAME FUNCTION NUMBER``.

Prints the latencies in seconds as JSON. The function of the module gets a number, and comes back with the result.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import time
from typing import Any

#: Round trips before the first that counts.
WARM = 20


async def ask(function: Any, number: int) -> list[float]:
    """Go there and back so many times."""
    latencies = []
    for one in range(number):
        began = time.perf_counter()
        answer = function(one)
        if inspect.isawaitable(answer):
            answer = await answer
        latencies.append(time.perf_counter() - began)
        assert answer == one, answer
    return latencies[WARM:]


if __name__ == "__main__":
    found = getattr(importlib.import_module(f"benchmarks.peers.{sys.argv[1]}"), sys.argv[2])
    print(json.dumps(asyncio.run(ask(found, int(sys.argv[3]) + WARM))))

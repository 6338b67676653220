"""The last act of a worker that was told to stop and has not finished: its process, with nothing of the worker in it.

Nothing may run on while its entry goes back, or the task would run twice at a time. A pool's children can be killed; a
thread cannot. So the worker's process replaces its own program by this one: that ends every thread at once, in every
pool, and keeps the process id, for which whoever started the worker waits. It imports next to nothing: 30 ms.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from typing import Any

from backyard.engine.guardian_wire import RefusedError, Wire

#: Seconds that the server may keep it waiting. Then the guardian goes on trying, and at last the leases run out.
PATIENCE = 0.8
BACK_AT_ONCE = 200


def main() -> None:
    """Read from the given file what is to be done, and do it."""
    with os.fdopen(int(sys.argv[2])) as told:
        last_act(json.load(told))


def last_act(will: dict[str, Any]) -> None:
    """End the pool, then hand back what the worker held.

    Args:
        will: ``children`` (process ids), ``yards``: for each ``address``, ``prefix``, ``bury``, ``goodbye`` (scripts),
            ``events_kept``, ``consumers``, ``name`` and ``instance`` of the worker.
    """
    end_pool(will["children"])
    for yard in will["yards"]:
        wire = Wire(yard["address"])
        with contextlib.suppress(OSError, RefusedError):
            hand_back(wire, yard)
            wire.run(yard["goodbye"], [1, yard["prefix"], yard["name"], yard["instance"]])
        wire.close()


def end_pool(children: list[int]) -> None:
    """Kill the pool's processes, and see them dead."""
    for pid in children:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    for pid in children:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def hand_back(wire: Wire, yard: dict[str, Any]) -> None:
    """Give back all that the worker's consumers hold; it counts as no loss.

    Raises:
        RefusedError: The server will not.
        OSError: The server is away.
    """
    if not yard["consumers"]:
        return
    report = json.dumps({"consumers": yard["consumers"], "reason": "shutdown", "evidence": {}})
    words = [1, yard["prefix"], yard["events_kept"], BACK_AT_ONCE, report]
    end = time.monotonic() + PATIENCE
    more = True
    while more and time.monotonic() < end:
        more = bool(wire.run(yard["bury"], words)[1])

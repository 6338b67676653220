"""The ledger outside of the system: what test tasks write down themselves of their starts and ends."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "FAULTS_JOURNAL"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: ``time pid start|end task_id attempt``.

    Args:
        at: Seconds since 1970, by the machine's clock.
        pid: The process that ran the attempt.
        what: ``start`` or ``end``; an attempt ends by returning or by raising, not by being killed.
        task_id: The task.
        attempt: The attempt's number.
    """

    at: float
    pid: int
    what: str
    task_id: str
    attempt: int


def note(what: str, task_id: str, attempt: int) -> None:
    """Add a line in one step, so that lines of several processes do not mix, and no kill can undo it."""
    # A worker of the suite may have its time.time() shifted on purpose; this clock is not.
    at = time.clock_gettime(time.CLOCK_REALTIME)
    handle = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{at:.6f} {os.getpid()} {what} {task_id} {attempt}\n".encode())
    os.close(handle)


def read(path: Path) -> list[Line]:
    """Return all lines, in the order they were written."""
    if not path.exists():
        return []
    rows = (line.split(" ") for line in path.read_text().splitlines())
    return [Line(float(at), int(pid), what, task_id, int(attempt)) for at, pid, what, task_id, attempt in rows]

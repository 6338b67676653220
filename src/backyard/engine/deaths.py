"""What the worker's main process knows of a child of its own that died under tasks."""

from __future__ import annotations

import os
import re
import socket
from typing import Any

from billiard.exceptions import WorkerLostError

from backyard.engine import flight
from backyard.engine.processes import signal_name
from backyard.engine.pulse import stopping

#: How billiard tells the exit status; what it tells a worker of is an exception with this text, and nothing else.
_STATUS = re.compile(r"exited prematurely: (signal|exitcode) (\d+)")


def death_of(
    error: BaseException, pid: int | None, task_id: str, hostname: str | None
) -> tuple[str, dict[str, Any]] | None:
    """Return why a task goes back whose process is gone, and what is known of it; None where the process lives.

    Args:
        error: What the pool reports in place of a result.
        pid: The process that ran the task, if that is known.
        task_id: The task's id.
        hostname: The worker's name.
    """
    if not isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt) or pid == os.getpid():
        return None
    status = None
    said = _STATUS.search(str(error))
    if said is not None:
        status = -int(said[2]) if said[1] == "signal" else int(said[2])
    elif isinstance(error, SystemExit) and isinstance(error.code, int):
        status = error.code
    reason, evidence = death_with(status, hostname)
    return reason, {**evidence, **(flight.last_words(pid).get(task_id, {}) if pid else {})}


def death_with(status: int | None, hostname: str | None) -> tuple[str, dict[str, Any]]:
    """Return why tasks go back whose process ended with a status, and what that says.

    Args:
        status: Its exit code, or a signal's number below zero; None where unknown.
        hostname: The worker's name.
    """
    evidence: dict[str, Any] = {"host": socket.gethostname(), "worker": hostname}
    if status is not None:
        evidence |= {"signal": signal_name(-status)} if status < 0 else {"exit_code": status}
    # A worker that was told to stop ends its processes itself: that is not the task's doing.
    return ("shutdown" if stopping() else "crashed"), evidence

"""What the worker's main process knows of a child of its pool that died under a task."""

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


def death_of(request: Any, error: BaseException) -> tuple[str, dict[str, Any]] | None:
    """Return why a task goes back whose process is gone, and what is known of it; None where the process lives.

    Args:
        request: Celery's request.
        error: What the pool reports in place of a result.
    """
    if not isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt) or request.worker_pid == os.getpid():
        return None
    evidence: dict[str, Any] = {"host": socket.gethostname(), "worker": request.hostname}
    said = _STATUS.search(str(error))
    if said is not None:
        number = int(said[2])
        evidence.update({"signal": signal_name(number)} if said[1] == "signal" else {"exit_code": number})
    elif isinstance(error, SystemExit) and isinstance(error.code, int):
        evidence["exit_code"] = error.code
    if request.worker_pid:
        evidence.update(flight.last_words(request.worker_pid, request.id))
    # A worker that was told to stop ends its pool itself: that is not the task's doing.
    return ("shutdown" if stopping() else "crashed"), evidence

"""How the roles that only watch leave the machine to those that work."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")


def stand_back(by: int) -> None:
    """Let workers and API go first where the machine is full. With a core to spare it changes nothing.

    Args:
        by: How far, in steps of the system's niceness; at 10 this process gets a tenth of what another one does.
    """
    if not by or not hasattr(os, "nice"):
        return
    with contextlib.suppress(OSError):
        os.nice(by)
    if os.getsid(0) == os.getpid():
        # Where Linux shares the machine out by sessions, a session has a niceness too; this one is the process's own.
        with contextlib.suppress(OSError):
            _AUTOGROUP.write_text(str(by))

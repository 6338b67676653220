"""How a part tells the supervisor that it is ready, or why it never will be."""

from __future__ import annotations

import os
import stat

VARIABLE = "BACKYARD_READY_FD"
READY = b"ready"
REFUSED = b"refused "


def notify() -> None:
    """Say that this process is ready for work; does nothing when nobody asked."""
    _say(READY)


def refuse(reason: str) -> None:
    """Say that starting this process again cannot help; does nothing when nobody asked.

    Args:
        reason: What is wrong and what to do about it.
    """
    _say(REFUSED + reason.encode())


def _say(line: bytes) -> None:
    # Taken out of the environment, so that no child of this process speaks in its name.
    number = os.environ.pop(VARIABLE, "")
    if not number.isdecimal():
        return
    pipe = int(number)
    try:
        if stat.S_ISFIFO(os.fstat(pipe).st_mode):
            os.write(pipe, line + b"\n")
            os.close(pipe)
    except OSError:
        return  # the supervisor is gone, and will not miss the news

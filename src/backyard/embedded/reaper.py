"""End process groups when the pipe on standard input closes: their supervisor is gone, however it went.

Run as a file, ``python -I -S reaper.py``. Each line of input is ``add GROUP SIGNAL`` or ``drop GROUP``.
"""

import os
import signal
import sys
import time

_PATIENCE = 3.0


def main() -> None:
    """Keep the list until the input ends, then end what is on it."""
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)  # whoever ends the supervisor's session must not end its last will
    groups: dict[int, int] = {}
    for line in sys.stdin:
        verb, group, *ending_number = line.split()
        if verb == "add":
            groups[int(group)] = int(ending_number[0])
        else:
            groups.pop(int(group), None)
    alive = [group for group, ending in groups.items() if _send(group, ending)]
    deadline = time.monotonic() + _PATIENCE
    while alive and time.monotonic() < deadline:
        time.sleep(0.02)
        alive = [group for group in alive if _send(group, 0)]
    for group in alive:
        _send(group, signal.SIGKILL)


def _send(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()

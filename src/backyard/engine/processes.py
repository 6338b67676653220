"""What the system tells of a process: whether it runs, how much memory it has had, how it ended.

Linux tells it in /proc; elsewhere ``ps`` says the little that is needed. The guardian uses this without the rest of
the package, so that it imports nothing of it.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from pathlib import Path
from typing import Any

LINUX = sys.platform == "linux"
STOPPED = frozenset("Tt")
DEAD = frozenset("ZX")
#: Places in /proc/<pid>/stat after the command's name.
STATE, START, STATUS = 0, 19, 49
#: ``ioctl`` that asks a pidfd how its process ended, even after its parent has waited for it: Linux 6.15 and newer.
#: _IOWR(0xFF, 11, struct pidfd_info) of 64 bytes; see linux/pidfd.h.
PIDFD_GET_INFO = 0xC040FF0B
PIDFD_INFO_EXIT = 1 << 3
EXIT_CODE = 60  # where the 64 bytes hold it


def state_of(pid: int) -> str:
    """Return a process's state in one letter, as ``ps`` has it; empty where there is no such process."""
    if not LINUX:
        return _ps(pid)[:1]
    fields = _stat(pid)
    return fields[STATE] if fields else ""


def start_of(pid: int) -> int:
    """Return when a process started, in the kernel's ticks: with its id it names the process for ever. 0 if unknown."""
    fields = _stat(pid) if LINUX else []
    return int(fields[START]) if fields else 0


def peak_rss(pid: int) -> int:
    """Return the most memory a process has had, in bytes; 0 where unknown."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return 0
    place = status.find(b"VmHWM:")
    return int(status[place + 6 : status.find(b"kB", place)]) * 1024 if place >= 0 else 0


def own_peak_rss() -> int:
    """Return the most memory this process has had, in bytes."""
    import resource  # noqa: PLC0415 - not everywhere

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * 1024 if LINUX else peak


def open_pidfd(pid: int) -> int | None:
    """Return a handle that becomes readable when the process ends; None where the system has none."""
    opener: Any = getattr(os, "pidfd_open", None)
    try:
        return None if opener is None else int(opener(pid))
    except OSError:
        return None


def ending_of(pid: int, pidfd: int | None) -> dict[str, Any]:
    """Return how a process ended, as ``signal`` or ``exit_code``; empty where nobody can tell.

    Its parent may wait for it at any moment: until then /proc tells, from then on the pidfd does.
    """
    fields = _stat(pid) if LINUX else []
    if fields and fields[STATE] in DEAD:
        return told(int(fields[STATUS]))
    if pidfd is None:
        return {}
    import fcntl  # noqa: PLC0415 - once a life

    info = bytearray(struct.pack("Q", PIDFD_INFO_EXIT) + bytes(56))
    try:
        fcntl.ioctl(pidfd, PIDFD_GET_INFO, info)
    except OSError:
        return {}
    known = struct.unpack_from("Q", info)[0] & PIDFD_INFO_EXIT
    return told(struct.unpack_from("i", info, EXIT_CODE)[0]) if known else {}


def told(status: int) -> dict[str, Any]:
    """Return a wait status in words of the evidence."""
    if os.WIFSIGNALED(status):
        return {"signal": signal_name(os.WTERMSIG(status))}
    return {"exit_code": os.WEXITSTATUS(status)}


def signal_name(number: int) -> str:
    """Return a signal's name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _ps(pid: int) -> str:
    import subprocess  # noqa: PLC0415 - a tenth of a second for nothing, where /proc is

    asked = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607 - a number
    return asked.stdout.strip()

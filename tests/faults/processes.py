"""Looking at processes of this machine: who belongs to whom, and who is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path


def parents() -> dict[int, int]:
    """Return the parent of every process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it, whatever group or session they are in."""
    children: dict[int, list[int]] = {}
    for child, parent in parents().items():
        children.setdefault(parent, []).append(child)
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def session_of(pid: int) -> list[int]:
    """Return the members of the session that a process leads."""
    found = []
    for one in family(pid):
        with contextlib.suppress(OSError):
            if os.getsid(one) == pid:
                found.append(one)
    return found


def send_groups(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to the groups that processes are in, each group at once, the leaders' own children first.

    Where only the parent of a stopped group dies, the system lets that group run on.
    """
    groups = set()
    for one in pids:
        with contextlib.suppress(OSError):
            groups.add(os.getpgid(one))
    for group in sorted(groups, reverse=True):
        with contextlib.suppress(OSError):
            os.killpg(group, number)


def send_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes, those that are gone left out."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def state_of(pid: int) -> str:
    """Return the letter of a process's state; X when it is gone."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "X"


def memory_of(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 when it is gone."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0

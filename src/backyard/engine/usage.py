"""What a worker's processes use of the machine, as the system tells: memory and processor time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
#: Seconds that processor time is looked at over, at least: the system counts it in hundredths.
SPAN = 0.5
#: Of a line of ``/proc/<pid>/stat``, counted from behind the name: time in the program and in the kernel.
_USER, _SYSTEM = 11, 12


class Usage:
    """What some processes use.

    Args:
        pids: Returns their process ids.
    """

    def __init__(self, pids: Callable[[], Sequence[int]]) -> None:
        self._pids = pids
        self._at = 0.0
        self._before: dict[int, int] = {}
        self._cores: float | None = None

    def memory(self) -> int:
        """Return the memory that they hold, in bytes; 0 where the system does not say."""
        return sum(_rss(pid) for pid in self._pids())

    def cores(self) -> float | None:
        """Return how many cores they kept busy since the last look; None at the first, or where nobody can tell.

        A process that ended meanwhile is not counted, one that began is.
        """
        at = time.monotonic()
        if self._before and at - self._at < SPAN:
            return self._cores
        now = {pid: ticks for pid in self._pids() if (ticks := _ticks(pid)) is not None}
        if self._before and now:
            spent = sum(max(0, ticks - self._before.get(pid, 0)) for pid, ticks in now.items())
            self._cores = spent / TICKS / (at - self._at)
        self._at, self._before = at, now
        return self._cores


def _rss(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _ticks(pid: int) -> int | None:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(words[_USER]) + int(words[_SYSTEM])
    except (OSError, IndexError):
        return None

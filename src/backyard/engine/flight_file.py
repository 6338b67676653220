"""The flight recorder's file: what a process was doing, readable after any death of it.

A file mapped into memory belongs to the kernel: what was written is there after SIGKILL as well. The entry is written
into the half that is not current, and then one byte makes it current, so that no death leaves half an entry. The
guardian reads these files without the rest of the package, so that this module imports nothing of it.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import Any

SIZE = 16_384
HALF = 8_128
#: Where the parts begin: the current half (0 is none), the peak RSS as others saw it, the process's start, the halves.
CURRENT, PEAK, STARTED, FIRST = 0, 8, 16, 64
WORD = 8  # bytes of a number
LENGTH = 4  # bytes that say how long an entry is


class FlightFile:
    """The writer's end of one file.

    Args:
        path: Where it is to be; there must be none yet.
        started: When this process started, in the kernel's ticks; 0 where unknown.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: Path, started: int) -> None:
        self.path = path
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Written, not only made long: a full disk has to show now, and not as SIGBUS at the first line.
            os.write(handle, bytes(STARTED) + started.to_bytes(WORD, "little") + bytes(SIZE - STARTED - WORD))
            self._map = mmap.mmap(handle, SIZE)
        finally:
            os.close(handle)

    def write(self, entry: Mapping[str, Any]) -> None:
        """Make an entry the current one; of its ``lines`` the oldest give way if they do not fit."""
        lines = list(entry.get("lines", ()))
        while len(data := json.dumps({**entry, "lines": lines}, ensure_ascii=False).encode()) > HALF - LENGTH and lines:
            del lines[0]
        self._put(data)

    def begin(self, task_id: str, attempt: int, peak_rss: int) -> None:
        """Make an attempt the current entry that has said nothing yet; there may be thousands a second.

        Args:
            task_id: The task.
            attempt: The attempt's number.
            peak_rss: The most memory that the process has had, in bytes.
        """
        self._put(b'{"task":%b,"attempt":%d,"peak_rss":%d}' % (quoted(task_id).encode(), attempt, peak_rss))

    def _put(self, data: bytes) -> None:
        half = 2 if self._map[CURRENT] == 1 else 1
        start = FIRST + (half - 1) * HALF
        self._map[start : start + LENGTH + len(data)] = len(data).to_bytes(LENGTH, "little") + data
        self._map[CURRENT] = half

    def remove(self) -> None:
        """Take the file away."""
        self._map.close()
        self.path.unlink(missing_ok=True)


def read_flight(path: Path) -> dict[str, Any] | None:
    """Return the current entry with ``pid``, ``started`` and ``peak_rss``; None where there is no such file."""
    try:
        data = path.read_bytes()
        found: dict[str, Any] = {"pid": pid_of(path), "started": _number(data, STARTED)}
        half = data[CURRENT]
        if half:
            start = FIRST + (half - 1) * HALF
            length = int.from_bytes(data[start : start + LENGTH], "little")
            found.update(json.loads(data[start + LENGTH : start + LENGTH + length]))
    except (OSError, ValueError, IndexError):
        return None
    found["peak_rss"] = max(found.get("peak_rss", 0), _number(data, PEAK))
    return found


def write_peak(path: Path, peak: int) -> None:
    """Note from outside how much memory the process has had, in bytes."""
    try:
        handle = os.open(path, os.O_WRONLY)
    except OSError:
        return
    try:
        os.pwrite(handle, peak.to_bytes(WORD, "little"), PEAK)
    finally:
        os.close(handle)


def flights(folder: Path, pid: int | None = None) -> Iterator[Path]:
    """Return the files of a folder, of one process or of all."""
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return
    for path in found:
        if pid_of(path) and pid in (None, pid_of(path)):
            yield path


def pid_of(path: Path) -> int:
    """Return whose file it is; 0 for another file."""
    pid = path.name.partition(".")[0]
    return int(pid) if pid.isdecimal() else 0


def _number(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + WORD], "little")

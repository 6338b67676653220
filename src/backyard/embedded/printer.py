"""Log lines of many parts on one terminal."""

from __future__ import annotations

import os
import queue
import sys
import threading
from contextlib import suppress
from select import select

_COLORS = ("36", "33", "35", "32", "34", "31")
_KEPT = 20_000
_WIDTH = 9


class Printer:
    """Writes lines from a thread of its own, so that a terminal that stands still holds up nobody.

    Args:
        descriptor: Where to write; standard output by default.
        color: Whether roles are colored; by default on a terminal, unless NO_COLOR is set.
    """

    def __init__(self, descriptor: int | None = None, *, color: bool | None = None) -> None:
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self._color = os.isatty(self._descriptor) and not os.environ.get("NO_COLOR") if color is None else color
        self._colors: dict[str, str] = {}
        self._lines: queue.Queue[bytes | None] = queue.Queue(_KEPT)
        self._dropped = 0  # counted by the callers' thread, and what is
        self._confessed = 0  # printed of it by the other: no count has two writers
        self._thread = threading.Thread(target=self._write_all, name="printer", daemon=True)
        self._thread.start()

    def line(self, role: str, text: str) -> None:
        """Print one line of a role."""
        prefix = f"{role:<{_WIDTH}}|"
        if self._color:
            color = self._colors.setdefault(role, _COLORS[len(self._colors) % len(_COLORS)])
            prefix = f"\x1b[{color}m{prefix}\x1b[0m"
        try:
            self._lines.put_nowait(f"{prefix} {text}\n".encode(errors="replace"))
        except queue.Full:
            self._dropped += 1

    def close(self, timeout: float = 1.0) -> None:
        """Print what is left, unless nobody reads it.

        Args:
            timeout: Seconds to wait for the reader.
        """
        with suppress(queue.Full):
            self._lines.put(None, timeout=timeout)
        self._thread.join(timeout)

    def _write_all(self) -> None:
        try:
            while (line := self._lines.get()) is not None:
                self._confess()
                self._write(line)
            self._confess()
        except OSError:
            return  # the terminal is gone; the queue fills up and further lines are dropped

    def _confess(self) -> None:
        dropped = self._dropped - self._confessed
        if dropped:
            self._confessed += dropped
            self._write(b"(%d lines were dropped, because nobody read them)\n" % dropped)

    def _write(self, data: bytes) -> None:
        # Past sys.stdout and its lock, which a standing write would hold while the interpreter ends.
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                select([], [self._descriptor], [])

"""The supervisor's last will: a small process that ends all groups if the supervisor is killed."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal


class Guard:
    """Knows which process groups must not outlive this process."""

    def __init__(self) -> None:
        self._groups: dict[int, signal.Signals] = {}
        self._process: subprocess.Popen[str] | None = None

    def add(self, group: int, ending: signal.Signals) -> None:
        """Watch over a group.

        Args:
            group: Its process group id.
            ending: The signal to end it with; three seconds later it is killed.
        """
        self._groups[group] = ending
        self._tell(f"add {group} {int(ending)}\n")

    def drop(self, group: int) -> None:
        """Forget a group that has ended."""
        if self._groups.pop(group, None) is not None:
            self._tell(f"drop {group}\n")

    def close(self) -> None:
        """Let the process end; what is still on its list goes with it."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(BrokenPipeError):
                process.communicate(timeout=10)

    def _tell(self, line: str) -> None:
        try:
            self._write(line)
        except BrokenPipeError:  # it was killed: a new one needs the whole list
            self.close()
            self._write("".join(f"add {group} {int(ending)}\n" for group, ending in self._groups.items()))

    def _write(self, lines: str) -> None:
        if self._process is None:
            script = str(Path(__file__).with_name("reaper.py"))
            # A session of its own: a signal to the terminal's processes must not reach it.
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-I", "-S", script],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )
        if self._process.stdin is not None:
            self._process.stdin.write(lines)
            self._process.stdin.flush()

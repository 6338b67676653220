"""Programs that are measured: started with a whole environment, asked what they cost, and ended for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

ROOT: Final = Path(__file__).parents[1]
PATIENCE: Final = 60.0
_TICK: Final = os.sysconf("SC_CLK_TCK")
_MB: Final = 1024


class MeasureError(Exception):
    """A measurement that is worth nothing, and why."""


class Memory(NamedTuple):
    """What a program holds, with its children, in MB.

    Attributes:
        pss: Its own, and of what it shares with others its share.
        rss: All it has mapped; what two processes share counts twice.
    """

    pss: float
    rss: float


class Program:
    """A running command, leader of a session of its own.

    Args:
        command: Program and arguments.
        environment: What is added to this process's environment.
        log: File for what it prints.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.command = list(command)
        self.log = log
        with log.open("ab") as output:
            self.child = subprocess.Popen(
                self.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def cpu(self) -> float:
        """Return the seconds of processor that it and its children have used, user and system."""
        return cpu_of(self.child.pid)

    def memory(self) -> Memory:
        """Return what it and its children hold."""
        rows = [_memory_of(pid) for pid in tree_of(self.child.pid)]
        return Memory(round(sum(row.pss for row in rows), 1), round(sum(row.rss for row in rows), 1))

    def check(self) -> None:
        """Check that it still runs.

        Raises:
            MeasureError: It has ended; with the end of what it printed.
        """
        if self.child.poll() is not None:
            lines = self.log.read_text(errors="replace").splitlines()[-15:]
            raise MeasureError(f"{' '.join(self.command)} ended with {self.child.returncode}:\n  " + "\n  ".join(lines))

    def await_line(self, text: str) -> None:
        """Wait until it has printed a text.

        Raises:
            MeasureError: It never does.
        """
        end = time.monotonic() + 2 * PATIENCE
        while text not in self.log.read_text(errors="replace"):
            self.check()
            if time.monotonic() > end:
                raise MeasureError(f"{' '.join(self.command)} never printed {text!r}.")
            time.sleep(0.005)

    def stop(self) -> None:
        """End it and all its children."""
        children = tree_of(self.child.pid)
        if self.child.poll() is None:
            self.child.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.child.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        for pid in children:
            _await_end(pid)


def _await_end(pid: int) -> None:
    """Wait until a process that somebody else looks after is gone, and kill it if it does not go."""
    end = time.monotonic() + 5
    while time.monotonic() < end and _stat(pid):
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def tree_of(pid: int) -> list[int]:
    """Return the ids of a process and of all that it has started, as far as they live."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (fields := _stat(int(folder.name))):
            parents.setdefault(int(fields[1]), []).append(int(folder.name))
    return list(_with_children(pid, parents))


def cpu_of(pid: int) -> float:
    """Return the seconds of processor that a process and its children have used, user and system."""
    return sum(_cpu_of(one) for one in tree_of(pid))


def _with_children(pid: int, parents: Mapping[int, list[int]]) -> Iterator[int]:
    yield pid
    for child in parents.get(pid, ()):
        yield from _with_children(child, parents)


def _stat(pid: int) -> list[str]:
    """Return the fields that follow the name in a process's line of ``/proc``; none when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_of(pid: int) -> float:
    fields = _stat(pid)
    # utime and stime, and those of children that have ended.
    return sum(map(int, fields[11:15])) / _TICK if fields else 0.0


def _memory_of(pid: int) -> Memory:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return Memory(0, 0)
    found = {line.split()[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}
    return Memory(found["Pss:"] / _MB, found["Rss:"] / _MB)


def wait_until_answers(program: Program, url: str) -> None:
    """Wait until a program answers a GET with anything at all.

    Raises:
        MeasureError: It never does.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        program.check()
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - loopback
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise MeasureError(f"{url} never answered.")

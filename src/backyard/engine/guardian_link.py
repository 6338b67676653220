"""The worker's end of the pipe to its guardian."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backyard.engine import flight, waiter
from backyard.ledger.calls import Calls
from backyard.ledger.scripts import script

logger = logging.getLogger("backyard.guardian")

ROOT = Path(__file__).parents[2]
#: Isolated and without site-packages, so that it starts at once and nothing of the user's environment gets into it.
COMMAND = "import sys; sys.path.insert(0, sys.argv[1]); from backyard.engine.guardian import main; main()"
#: Seconds before a guardian that died is replaced; more each time, up to the longest.
AGAIN, LONGEST = 0.5, 60.0
#: Seconds a guardian that is no longer needed may take to end by itself. It may wait for a server that is away.
PARTING = 0.2


class GuardianLink:
    """Keeps a guardian for this process while there are consumers, and tells it which.

    Args:
        address: How to reach the server; see :class:`~backyard.engine.guardian_wire.Wire`.
        calls: The yard's calls.
        lease: Seconds a lease lasts.
    """

    def __init__(self, address: Mapping[str, Any], calls: Calls, lease: float) -> None:
        self.address = address
        self._calls = calls
        self._lease = lease
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._said = b""
        self._lock = threading.Lock()
        self._born = 0.0
        self._next = 0.0
        self._wait = AGAIN

    @property
    def guardian(self) -> int | None:
        """The guardian's process id, while there is one."""
        process = self._process
        return None if process is None else process.pid

    def tell(self, consumers: Sequence[str], *, stopping: bool = False) -> None:
        """Say who lives; the first one makes the guardian start, and the last one lets it end.

        Args:
            consumers: Names of the consumers whose leases are to be renewed.
            stopping: Whether the worker has been told to stop: its death is no longer a task's doing.
        """
        line = json.dumps({"consumers": list(consumers), "stopping": stopping}).encode() + b"\n"
        with self._lock:
            if self._pid != os.getpid():
                self._process = None  # the parent's, from before a fork
            if self._process is not None and self._process.poll() is not None:
                logger.warning("The guardian process ended (%s); starting another", self._process.returncode)
                if time.monotonic() - self._born > LONGEST:
                    self._wait = AGAIN
                self._drop()
            if self._process is None and consumers and time.monotonic() >= self._next:
                self._start()
            if self._process is not None and line != self._said:
                self._write(line)
                self._said = line
                if not consumers:
                    self._part()

    def _start(self) -> None:
        self._born = time.monotonic()
        self._next = self._born + self._wait
        self._wait = min(self._wait * 2, LONGEST)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-I", "-S", "-c", COMMAND, str(ROOT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[] if waiter.waited_by is None else [waiter.waited_by[1]],
            )
        except OSError as error:
            logger.warning("No guardian process, leases are renewed by a thread alone: %s", error)
            return
        self._pid = os.getpid()
        self._said = b""
        self._write(json.dumps(self._hello(), default=str).encode() + b"\n")
        if self._process.stdin is not None:
            # A guardian that hangs must not hold the worker up; news is short, and the pipe takes a lot of it.
            os.set_blocking(self._process.stdin.fileno(), False)

    def _hello(self) -> dict[str, Any]:
        folder = flight.folder()
        return {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "lease": self._lease,
            "folder": None if folder is None else str(folder),
            "address": self.address,
            "prefix": self._calls.keys.prefix,
            "events_kept": self._calls.events_kept,
            "guard": {"sha": script("guard").sha, "text": script("guard").text},
            "bury": {"sha": script("bury").sha, "text": script("bury").text},
            "waiter": waiter.waited_by,
        }

    def _write(self, line: bytes) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            os.write(self._process.stdin.fileno(), line)
        except OSError:  # dead, or it reads no more: another one takes its place
            with contextlib.suppress(OSError):
                self._process.kill()

    def _part(self) -> None:
        """Let a guardian go that has nothing to guard."""
        if self._process is not None:
            try:
                self._process.wait(PARTING)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._drop()
        self._next, self._wait = 0.0, AGAIN

    def _drop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process = None

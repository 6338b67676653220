"""Starts the roles of a yard quickly: by forking one process that has imported what they all need.

Half of what a test of real processes costs is Python that imports the same modules. What is forked here goes the same
way from ``python -m`` on, in a session of its own, with its own environment; nothing of a yard is imported before.
The process runs ``python -m support.nursery FD``: it reads orders from that socket, and tells there whom it has begun.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

TESTS = Path(__file__).parents[1]
#: What roles import, whatever the yard.
_IMPORTED: Final = (
    "celery.bin.celery", "celery.bin.worker", "celery.apps.worker", "celery.worker.consumer", "celery.fixups.django",
    "celery.concurrency.prefork", "celery.concurrency.asynpool", "celery.app.trace", "celery.events.state",
    "kombu.asynchronous", "kombu.transport.virtual", "fastapi", "uvicorn.main", "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto", "uvicorn.lifespan.on", "uvicorn.loops.auto", "alembic.command",
    "alembic.script", "sqlalchemy.dialects.sqlite", "jinja2", "redis.asyncio", "backyard.api", "backyard.console",
    "backyard.cli", "backyard.keeper.keeper",
)  # fmt: skip
#: Bytes of an order at most.
_LONGEST: Final = 1 << 20


class Nursling:
    """A process that was begun here, as :class:`subprocess.Popen` would show it.

    Args:
        pid: Its id.
        told: Where its end is told.
        output: Where what it prints is read.
    """

    def __init__(self, pid: int, told: int, output: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = os.fdopen(output, encoding="utf-8", errors="replace")
        self._told = told

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        return self._await(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended.

        Raises:
            TimeoutExpired: It has not.
        """
        code = self._await(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def _await(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], timeout)[0]:
            said = os.read(self._told, 64)
            os.close(self._told)
            self.returncode = int(said) if said else -signal.SIGKILL
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that begins others, kept by the process that runs the tests."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            environment = {**os.environ, "PYTHONPATH": str(TESTS)}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "support.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self._socket = ours
        self._lock = threading.Lock()

    def begin(self, words: Sequence[str], environment: Mapping[str, str]) -> Nursling:
        """Begin ``python -m`` with these words.

        Args:
            words: The module, and its arguments.
            environment: All of its environment.
        """
        output, its_output = os.pipe()
        told, its_told = os.pipe()
        order = json.dumps({"words": list(words), "environment": dict(environment), "folder": str(Path.cwd())})
        with self._lock:
            socket.send_fds(self._socket, [order.encode()], [its_output, its_told])
            pid = int(self._socket.recv(64))
        os.close(its_output)
        os.close(its_told)
        return Nursling(pid, told, output)


def may_begin(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a command can begin here: it is one of the roles, and Python itself is told nothing."""
    return (
        list(command[:2]) == [sys.executable, "-m"]
        and command[2] in ("backyard", "celery", "uvicorn")
        and not any(name.startswith("PYTHON") for name in environment)
    )


# -- the process ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Begin what is ordered, and tell of what has ended, until nobody orders any more."""
    orders = socket.socket(fileno=int(sys.argv[1]))
    for name in _IMPORTED:
        importlib.import_module(name)
    woken, wakes = os.pipe()
    for end in (woken, wakes):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(wakes)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([orders.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell(running)
        if orders.fileno() in ready:
            order, files, _, _ = socket.recv_fds(orders, _LONGEST, 2)
            if not order:
                return
            output, told = files
            pid = os.fork()
            if not pid:
                os.close(told)
                orders.close()
                for other in (*running.values(), woken, wakes):
                    os.close(other)
                _become(json.loads(order), output)
            os.close(output)
            running[pid] = told
            orders.send(str(pid).encode())


def _tell(running: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            told = running.pop(pid)
            with contextlib.suppress(BrokenPipeError):
                os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(told)


def _become(order: Mapping[str, Any], output: int) -> NoReturn:
    """Become what was ordered, and end with it."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    random.seed()
    words = order["words"]
    sys.orig_argv = [sys.executable, "-m", *words]
    sys.argv = list(words)
    sys.path.insert(0, order["folder"])
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, write_through=True)  # type: ignore[union-attr]  # of files, as here
    # Its end, or what it raises, is this process's: nothing on the way up catches it.
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    raise SystemExit


if __name__ == "__main__":
    main()

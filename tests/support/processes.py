"""Real workers and APIs as child processes, ready when they are handed over and gone afterwards."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from support.nursery import Nursery, Nursling, may_begin

TESTS = Path(__file__).parents[1]
PATIENCE = 180.0  # seconds a start may take on a busy machine before it counts as failed


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_environment(url: str, folder: Path) -> dict[str, str]:
    """Return the environment that makes a process part of a new yard."""
    return {
        "BACKYARD_REDIS_URL": url,
        "BACKYARD_DATA_DIR": str(folder),
        "BACKYARD_LEASE": "2",
        "TEST_YARD": f"y{uuid.uuid4().hex[:12]}",
        "BACKYARD_BACKGROUND_NICE": "0",  # a keeper that stands back is starved by other tests
    }


@functools.cache
def nursery() -> Nursery:
    """Return what begins the processes of this one's tests."""
    return Nursery()


class Process:
    """A child in a process group of its own, whose output is kept for when something goes wrong."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self.command = command
        self.lines: list[str] = []
        self._grown = threading.Condition()
        told = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONUNBUFFERED": "1", **environment}
        self.child: subprocess.Popen[str] | Nursling
        if may_begin(command, environment):
            self.child = nursery().begin(command[2:], told)
        else:
            self.child = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=told
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            with self._grown:
                self.lines.append(line.rstrip())
                self._grown.notify_all()
        with self._grown:
            self._grown.notify_all()

    @property
    def output(self) -> str:
        """What the child has printed."""
        return "\n".join(self.lines)

    def wait_for_line(self, text: str, patience: float = PATIENCE) -> str:
        """Wait until the child prints a line with a text, and return the line."""
        seen = 0
        end = time.monotonic() + patience
        with self._grown:
            while True:
                for line in self.lines[seen:]:
                    if text in line:
                        return line
                seen = len(self.lines)
                left = end - time.monotonic()
                if left <= 0 or (self.child.poll() is not None and not self._reader.is_alive()):
                    raise AssertionError(f"{self.command} never printed {text!r}; it printed:\n{self.output}")
                self._grown.wait(min(left, 1))

    def kill(self) -> None:
        """Kill the whole group at once, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()

    def stop(self) -> int:
        """Ask the child to end, and make sure that its group does."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.end()

    def end(self) -> int:
        """End the child and its group at once, when nothing of them is looked at any more."""
        self.kill()
        self._reader.join(5)
        if self.child.stdout is not None and not self._reader.is_alive():
            self.child.stdout.close()
        return int(self.child.wait())


def start_worker(
    environment: Mapping[str, str], *options: str, target: str = "support.yard:yard.celery", ready: str = " ready."
) -> Process:
    """Start the stock Celery worker, and return it when it reads its queues, or says whatever is waited for."""
    command = [sys.executable, "-m", "celery", "-A", target, "worker", "--loglevel=INFO", "--without-mingle"]
    if {"--pool=threads", "--pool=solo"} & set(options):
        # Such a worker refuses to start where tasks have time limits.
        environment = {"TEST_WITHOUT_LIMITS": "1", **environment}
    worker = Process([*command, *(options or ("--concurrency=2",))], environment)
    try:
        worker.wait_for_line(ready)
    except AssertionError:
        worker.stop()
        raise
    return worker


class Api:
    """A running API: its process and its address."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url


@contextlib.contextmanager
def running_api(environment: Mapping[str, str], target: str = "support.application:app") -> Iterator[Api]:
    """Run an API in a process of its own for a while."""
    command = [sys.executable, "-m", "uvicorn", target, "--port", "0", "--timeout-graceful-shutdown", "1"]
    process = Process(command, environment)
    try:
        found = re.search(r"http://127\.0\.0\.1:\d+", process.wait_for_line("Uvicorn running on"))
        assert found is not None, process.output
        yield Api(process, found[0])
    finally:
        process.end()


def wait_until_answers(url: str, patience: float = PATIENCE) -> None:
    """Wait until a URL answers with 200."""
    end = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback address
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        if time.monotonic() > end:
            raise AssertionError(f"{url} did not answer")
        time.sleep(0.05)

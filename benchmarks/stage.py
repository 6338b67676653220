"""Where everything is measured: one server for all, emptied in between, and what a contender's processes are told."""

from __future__ import annotations

import functools
import itertools
import operator
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from benchmarks.contenders import INSTALLED, Contender
from benchmarks.processes import MeasureError, Program, wait_until_answers

from backyard.embedded.ports import free_port
from backyard.embedded.server import EmbeddedServer


class Stage:
    """A server, and the programs that are measured on it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench")
        self.folder = Path(self._folder.name)
        self._server = EmbeddedServer(self.folder / "server", appendfsync="no")
        self._numbers = itertools.count(1)
        self._programs: list[Program] = []

    def __enter__(self) -> Self:
        self.url = self._server.start()
        self.client: Any = redis.Redis.from_url(self.url)
        self._here = self.folder / "0"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_programs()
        self.client.close()
        self._server.stop()
        self._folder.cleanup()

    @contextmanager
    def turn(self, contender: Contender) -> Iterator[None]:
        """Give the stage to a contender: an empty server with its persistence, and a new folder."""
        self._here = self.folder / str(next(self._numbers))
        self._here.mkdir()
        self.client.flushall()
        self.client.config_set("appendfsync", "always" if contender.durable else "no")
        self.client.config_set("appendonly", "yes" if contender.durable else "no")
        while contender.durable and self.client.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.01)
        try:
            yield
        finally:
            self.end_programs()

    @property
    def marks(self) -> Path:
        """The file in which tasks mark that they ran: a byte each."""
        return self._here / "marks"

    @property
    def environment(self) -> dict[str, str]:
        """What the programs of this turn are told."""
        # What a worker of Backyard runs at once follows the cores, and two processes are what all contenders have.
        two = {} if os.cpu_count() == 2 else {"BACKYARD_CONCURRENCY": "2"}
        return {
            **two,
            "BENCH_URL": self.url, "BENCH_NODE": str(INSTALLED / "bullmq"), "BENCH_MARKS": str(self.marks),
            "BACKYARD_REDIS_URL": self.url, "BACKYARD_DATA_DIR": str(self._here),
        }  # fmt: skip

    def start(self, command: Sequence[str], **environment: str) -> Program:
        """Start a program of this turn."""
        log = self._here / f"log{len(self._programs)}"
        words = [self.url if word == "URL" else word for word in command]
        program = Program(words, {**self.environment, **environment}, log)
        self._programs.append(program)
        return program

    def serve(self, contender: Contender) -> tuple[Program, int]:
        """Start a contender's HTTP server; returns it when it answers, with its port."""
        port = free_port()
        program = self.start([word.replace("PORT", str(port)) for word in contender.command(contender.server)])
        wait_until_answers(program, f"http://127.0.0.1:{port}/nothing")
        return program, port

    def start_companions(self, contender: Contender) -> list[Program]:
        """Start what runs beside a contender's workers."""
        programs = []
        for words in contender.companions:
            port = str(free_port())
            program = self.start([word.replace("PORT", port) for word in contender.command(words)])
            if "PORT" in words:
                wait_until_answers(program, f"http://127.0.0.1:{port}/")
            programs.append(program)
        return programs

    def run(self, command: Sequence[str]) -> str:
        """Run a program of this turn to its end, and return what it printed.

        Raises:
            MeasureError: It failed.
        """
        program = self.start(command)
        if program.child.wait():
            program.check()
        self._programs.remove(program)
        text = program.log.read_text()
        program.log.unlink()
        return text

    def end_programs(self) -> None:
        """End all programs of this turn, the last one first."""
        while self._programs:
            self._programs.pop().stop()

    def make_marks(self, number: int) -> Marks:
        """Make the file in which tasks mark that they ran."""
        self.marks.write_bytes(bytes(number))
        return Marks(self.marks, number)

    def server_cpu(self) -> float:
        """Return the seconds of processor that the server has used."""
        known = self.client.info("cpu")
        return float(known["used_cpu_user"] + known["used_cpu_sys"])

    def server_version(self) -> str:
        """Return the server's name and version."""
        known = self.client.info("server")
        return f"{known.get('server_name', 'redis')} {known.get('valkey_version', known['redis_version'])}"


class Marks:
    """What tasks have marked, in a file that processes share, or in several with its name and an end of their own.

    Args:
        path: The file.
        number: How many tasks there are.
    """

    def __init__(self, path: Path, number: int) -> None:
        self._path = path
        self.number = number

    def done(self) -> int:
        """Return how many tasks have run at least once."""
        parts = [int.from_bytes(part, "little") for part in self._parts()]
        return self.number - functools.reduce(operator.or_, parts).to_bytes(self.number, "little").count(0)

    def check(self) -> None:
        """Check that each task ran exactly once.

        Raises:
            MeasureError: One did not.
        """
        times = Counter(self._times())
        if set(times) != {1}:
            wrong = self.number - times[1]
            raise MeasureError(f"{wrong} of {self.number} tasks did not run exactly once; runs: {dict(times)}.")

    def check_none_twice(self) -> None:
        """Check that no task ran twice, where not all of them were to run.

        Raises:
            MeasureError: One did.
        """
        if max(self._times()) > 1:
            raise MeasureError("A task ran twice.")

    def _times(self) -> Iterator[int]:
        return map(sum, zip(*self._parts(), strict=True))

    def _parts(self) -> list[bytes]:
        found = (path.read_bytes() for path in self._path.parent.glob(f"{self._path.name}*"))
        return [part for part in found if len(part) == self.number]

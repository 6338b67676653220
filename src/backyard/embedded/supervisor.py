"""The supervisor behind ``backyard up``: server first, then all parts; watched; stopped in order."""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import groupby
from typing import TYPE_CHECKING

from backyard.core.errors import BackyardError
from backyard.embedded.guard import Guard
from backyard.embedded.parts import Part, Runner
from backyard.embedded.printer import Printer
from backyard.embedded.serving import ServerRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from pathlib import Path

    from backyard.embedded.server import EmbeddedServer

ROLE = "backyard"
_NEWS_AFTER = 10.0
_STOPPED_WITHIN = 9.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Runs parts, and the embedded server if there is one, until a signal or a part that cannot start.

    SIGINT, SIGTERM and SIGHUP stop everything in order within ten seconds; a second one kills it at once. If this
    process is killed, nothing it started stays.

    Args:
        parts: What to run; their ports are known to be free.
        server: Started before the parts, stopped after them; its address is in their BACKYARD_REDIS_URL.
        summary: Called when everything is ready, for the lines to print.
        reload_dir: Restart parts marked so when a Python file below this directory changes.
        printer: Where lines go; standard output by default.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        server: EmbeddedServer | None = None,
        summary: Callable[[], Sequence[str]] | None = None,
        reload_dir: Path | None = None,
        printer: Printer | None = None,
    ) -> None:
        self._parts = parts
        self._server = server
        self._summary = summary
        self._reload_dir = reload_dir
        self._printer = printer or Printer()
        self._guard = Guard()
        self._runners: list[Runner] = []
        self._server_runner: ServerRunner | None = None
        self._signals = 0

    def run(self) -> int:
        """Run until told to stop.

        Returns:
            Exit code: 0 after a signal, 1 when a part cannot start.
        """
        try:
            return asyncio.run(self._run())
        finally:
            self._guard.close()
            self._printer.close()

    async def _run(self) -> int:
        loop = asyncio.get_running_loop()
        work = loop.create_task(self._work())
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number, work)
        code = 0
        try:
            await work
        except asyncio.CancelledError:
            pass  # by a signal
        except BackyardError as error:
            self._say(ROLE, f"Error: {error}")
            code = 1
        finally:
            await self._stop()
        return code

    async def _work(self) -> None:
        """Start everything, then watch."""
        if self._server is not None:
            self._server_runner = ServerRunner(self._server, say=self._say, guard=self._guard)
            await self._server_runner.start()
        for part in self._parts:
            runner = Runner(
                part,
                environment=self._environment,
                say=self._say,
                guard=self._guard,
                patient=part.reload and self._reload_dir is not None,
            )
            self._runners.append(runner)
        await _together([*(runner.run() for runner in self._runners), *self._watchers()])

    def _watchers(self) -> list[Coroutine[None, None, None]]:
        watchers = [self._announce()]
        if self._server_runner is not None:
            watchers.append(self._server_runner.watch(self._on_moved))
        if self._reload_dir is not None:
            watchers.append(self._reload(self._reload_dir))
        return watchers

    async def _announce(self) -> None:
        """Print the summary once everything is ready, and until then what it waits for."""
        waiting = {asyncio.create_task(runner.ready.wait()): runner for runner in self._runners}
        pending = set(waiting)
        while pending:
            done, pending = await asyncio.wait(pending, timeout=_NEWS_AFTER)
            if pending and not done:
                roles = ", ".join(sorted(waiting[task].part.role for task in pending))
                self._say(ROLE, f"still waiting for {roles}")
        for line in self._summary() if self._summary is not None else ["ready"]:
            self._say(ROLE, line)

    async def _reload(self, directory: Path) -> None:
        from watchfiles import PythonFilter, awatch  # noqa: PLC0415 - only for those who ask for it

        async for changes in awatch(directory, watch_filter=PythonFilter(), debounce=300, step=50):
            self._say(ROLE, f"{_names(directory, (path for _, path in changes))} changed: restarting")
            await asyncio.gather(*(runner.restart() for runner in self._runners if runner.part.reload))

    async def _on_moved(self) -> None:
        """Give all parts the server's new address; it could not have its old port back."""
        await asyncio.gather(*(runner.restart() for runner in self._runners))

    def _environment(self) -> Mapping[str, str]:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if self._server is not None:
            environment["BACKYARD_REDIS_URL"] = self._server.url
        return environment

    def _on_signal(self, number: signal.Signals, work: asyncio.Task[None]) -> None:
        self._signals += 1
        if self._signals == 1:
            self._say(ROLE, f"{number.name}: stopping (once more: kill everything at once)")
            work.cancel()
        else:
            self._kill()

    def _kill(self) -> None:
        for runner in self._runners:
            runner.kill()
        if self._server is not None:
            self._server.kill()

    async def _stop(self) -> None:
        """Stop stage by stage: first who takes new work, last the server."""
        deadline = asyncio.get_running_loop().call_later(_STOPPED_WITHIN, self._kill)
        by_stage = sorted(self._runners, key=_stage)
        for _, runners in groupby(by_stage, key=_stage):
            await asyncio.gather(*(runner.stop() for runner in runners))
        if self._server_runner is not None:
            await self._server_runner.stop()
        deadline.cancel()
        self._say(ROLE, "stopped")

    def _say(self, role: str, text: str) -> None:
        for line in text.splitlines() or [""]:
            self._printer.line(role, line)


async def _together(coroutines: Sequence[Coroutine[None, None, None]]) -> None:
    """Run all until one fails; none runs on afterwards."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _names(directory: Path, paths: Iterable[str]) -> str:
    names = sorted({os.path.relpath(path, directory) for path in paths})
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004 - as above


def _stage(runner: Runner) -> int:
    return runner.part.stage

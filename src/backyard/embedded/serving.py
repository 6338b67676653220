"""The embedded server in the supervisor's care."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from backyard.core.errors import ServerError
from backyard.embedded.parts import MOST_FAILURES, describe_exit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from backyard.embedded.guard import Guard
    from backyard.embedded.server import EmbeddedServer

_ROLE = "server"
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class ServerRunner:
    """Keeps the embedded server running.

    Args:
        server: The server, not started yet.
        say: Called with role and text of each line to print.
        guard: Told of its process group.
    """

    def __init__(self, server: EmbeddedServer, *, say: Callable[[str, str], None], guard: Guard) -> None:
        self._server = server
        self._say = say
        self._guard = guard
        self._starting: asyncio.Task[str] | None = None
        self._group: int | None = None

    async def start(self) -> None:
        """Start the server.

        Raises:
            ServerError: It cannot start.
        """
        # In a thread: loading much data takes a while, and Ctrl-C must work meanwhile.
        self._starting = asyncio.create_task(asyncio.to_thread(self._server.start))
        url = await asyncio.shield(self._starting)
        if self._server.pid is not None:
            self._group = self._server.pid
            self._guard.add(self._group, signal.SIGTERM)
        self._say(_ROLE, f"{url}, data in {self._server.folder.path}")

    async def watch(self, on_moved: Callable[[], Awaitable[None]]) -> None:
        """Start the server again whenever it dies, until cancelled.

        Args:
            on_moved: Awaited when its address is not the old one.

        Raises:
            ServerError: It cannot start again.
        """
        while True:
            code = await asyncio.shield(asyncio.wrap_future(self._server.exited))
            self._forget()
            self._say(_ROLE, f"ended with {describe_exit(code)}; it is started again")
            before = self._server.url
            await self._start_again()
            if self._server.url != before:
                await on_moved()

    async def stop(self) -> None:
        """Stop the server, also in the middle of its start."""
        await asyncio.to_thread(self._server.stop)
        if self._starting is not None:
            await asyncio.wait([self._starting])
            # A start that was only about to begin has not noticed.
            await asyncio.to_thread(self._server.stop)
        self._forget()

    async def _start_again(self) -> None:
        pause = _SHORTEST_PAUSE
        for failures in range(MOST_FAILURES):
            try:
                return await self.start()
            except ServerError as error:
                if failures == MOST_FAILURES - 1:
                    raise
                self._say(_ROLE, f"{error}\nit is tried again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 4, _LONGEST_PAUSE)
        return None

    def _forget(self) -> None:
        if self._group is not None:
            self._guard.drop(self._group)
            self._group = None

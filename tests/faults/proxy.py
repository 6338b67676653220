"""A TCP proxy of our own, which can do to connections what networks do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Literal

Way = Literal["up", "down"]


class Proxy:
    """Stands between workers and their server, on a thread of its own.

    Args:
        port: The server's port on this machine.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        #: Directions in which bytes vanish: ``up`` is towards the server.
        self.lost: set[Way] = set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.listen()

    # -- what can be done -----------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Accept connections, on the port used before."""
        self._run(self._listen)

    def refuse(self) -> None:
        """Refuse new connections and reset those that are there."""
        self._run(self._refuse)

    def reset(self) -> None:
        """Reset every connection."""
        self._run(self._reset)

    def lose(self, *ways: Way) -> None:
        """Let bytes vanish from now on, without anybody being told."""
        self.lost = set(ways)

    def heal(self) -> None:
        """Let bytes through. What has vanished stays so: connections that lost some are reset, as they would be."""
        self.lost = set()
        self.reset()

    def close(self) -> None:
        """End the proxy."""
        self._run(self._refuse)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # -- how it is done -------------------------------------------------------------------------------------------

    def _run(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(make(), self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        for writer in list(self._writers):
            raw = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                # Closing without lingering sends RST instead of FIN.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(far_writer)
        try:
            await asyncio.gather(self._pump(reader, far_writer, "up"), self._pump(far_reader, writer, "down"))
        finally:
            for one in (writer, far_writer):
                one.close()
                self._writers.discard(one)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if way not in self.lost:
                    writer.write(data)
                    await writer.drain()
        writer.close()

"""Many who watch one task, in a process of their own: ``python -m benchmarks.watchers PORT PATH NUMBER``.

Prints a line when all streams are open, and figures as JSON when all have ended. A report's message is the time at
which it was made; how much later it arrives is what counts.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Final, cast

import uvloop
from benchmarks.figures import percentile

_MADE: Final = re.compile(rb'"at (\d{19})"')
#: More than a message, which may come in two parts.
_TAIL: Final = 30


class Crowd:
    """All watchers together.

    Args:
        message: The request.
        number: How many there are.
    """

    def __init__(self, message: bytes, number: int) -> None:
        self.message = message
        self.opened = self.left = number
        self.late: list[float] = []
        self.errors = 0
        loop = asyncio.get_running_loop()
        self.ready = loop.create_future()
        self.over = loop.create_future()


class Watcher(asyncio.Protocol):
    """One stream.

    Args:
        crowd: Where it counts.
    """

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._rest = b""
        self._opened = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._crowd.message)

    def data_received(self, data: bytes) -> None:
        """Take a part of the stream."""
        now = time.time_ns()
        if not self._opened:
            self._open(data)
        data = self._rest + data
        end = 0
        for found in _MADE.finditer(data):
            self._crowd.late.append((now - int(found[1])) / 1e9)
            end = found.end()
        self._rest = data[max(end, len(data) - _TAIL) :]
        if data.endswith(b"0\r\n\r\n"):
            self._transport.close()

    def _open(self, data: bytes) -> None:
        self._opened = True
        if not data.startswith(b"HTTP/1.1 200"):
            self._crowd.errors += 1
        self._crowd.opened -= 1
        if self._crowd.opened == 0:
            self._crowd.ready.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a stream that has ended."""
        if exc is not None:
            self._crowd.errors += 1
        self._crowd.left -= 1
        if self._crowd.left == 0:
            self._crowd.over.set_result(None)


async def watch(port: int, path: str, number: int) -> None:
    """Watch until all streams have ended, and print how late news came."""
    loop = asyncio.get_running_loop()
    crowd = Crowd(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode(), number)
    for _ in range(number):
        await loop.create_connection(lambda: Watcher(crowd), "127.0.0.1", port)
    await crowd.ready
    print("ready", flush=True)
    await crowd.over
    figures = {f"p{share}_ms": percentile(crowd.late, share / 100) for share in (50, 99, 100)}
    print(json.dumps({**figures, "received": len(crowd.late), "errors": crowd.errors}))


if __name__ == "__main__":
    uvloop.run(watch(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))

"""A lean HTTP client in a process of its own: ``python -m benchmarks.load PORT CONNECTIONS SECONDS``.

Reads a request from standard input, sends it again and again over each of so many connections, and prints figures as
JSON. It takes about 20 us of processor a request, so that whatever answers is the bottleneck.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final, cast

import uvloop
from benchmarks.figures import percentile

#: Seconds before the measurement, in which connections are made and code is warmed up.
WARM: Final = 0.5


class Tally:
    """What has happened so far.

    Args:
        message: The request.
        seconds: How long it is sent.
    """

    def __init__(self, message: bytes, seconds: float) -> None:
        self.message = message
        self.begin = time.perf_counter() + WARM
        self.end = self.begin + seconds
        self.latencies: list[float] = []
        self.answers = 0
        self.errors: dict[str, int] = {}
        self.open = 0
        self.over = asyncio.get_running_loop().create_future()

    def error(self, what: str) -> None:
        """Count an error."""
        self.errors[what] = self.errors.get(what, 0) + 1

    def close(self) -> None:
        """Take note that a connection is through."""
        self.open -= 1
        if self.open == 0 and not self.over.done():
            self.over.set_result(None)


class Connection(asyncio.Protocol):
    """One connection, which sends the next request when the answer is there.

    Args:
        tally: Where it counts.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._rest = b""
        self._through = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._tally.message)

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        data = self._rest + data
        head = data.find(b"\r\n\r\n")
        if head < 0 or len(data) < head + 4 + _length(data[:head]):
            self._rest = data
            return
        self._rest = b""
        now = time.perf_counter()
        tally = self._tally
        if data[9:10] == b"2":
            tally.answers += 1
        else:
            tally.error(data[9:12].decode())
        if tally.begin <= self._sent and now <= tally.end:
            tally.latencies.append(now - self._sent)
        if now < tally.end:
            self._send()
        else:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that was cut."""
        if not self._through:
            self._tally.error(f"cut: {exc}")
            self._end()

    def _end(self) -> None:
        self._through = True
        self._transport.close()
        self._tally.close()


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0] or 0)


async def drive(port: int, message: bytes, connections: int, seconds: float) -> dict[str, Any]:
    """Send a request over many connections; returns figures."""
    loop = asyncio.get_running_loop()
    tally = Tally(message, seconds)
    tally.open = connections
    for _ in range(connections):
        try:
            await loop.create_connection(lambda: Connection(tally), "127.0.0.1", port)
        except OSError as error:
            tally.error(f"refused: {error}")
            tally.close()
    await tally.over
    rows = tally.latencies
    return {
        "per_second": round(len(tally.latencies) / seconds, 1),
        # None where not one request was sent and answered in time.
        **{f"p{share}_ms": percentile(rows, share / 100) if rows else None for share in (50, 99, 100)},
        "answers": tally.answers,
        "errors": sum(tally.errors.values()),
        "seen": tally.errors,
    }


if __name__ == "__main__":
    figures = uvloop.run(drive(int(sys.argv[1]), sys.stdin.buffer.read(), int(sys.argv[2]), float(sys.argv[3])))
    print(json.dumps(figures))

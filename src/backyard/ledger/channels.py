"""The channels: one connection of an event loop on which the news of all watched tasks arrives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import groupby

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

#: Seconds of silence after which the server is asked whether it is still there, and by when it must have answered.
SILENCE = 5.0
#: Seconds between two tries to connect.
RECONNECT = 0.2
#: Seconds until the server hears that a channel was left.
LATER = 0.05
#: What a connection may break with. A driver that is read and written to while it breaks raises RuntimeError as well.
_BROKEN = (RedisError, OSError, RuntimeError, AttributeError)

logger = logging.getLogger("backyard.feed")


class Channels:
    """Subscriptions that are held whatever happens to the connection, which is open while there are any.

    Whoever subscribes does not wait: the word goes out with those of others, and the server's answer comes by ``hear``.

    Args:
        connect: Makes a connection, not connected yet.
        timeout: Seconds that connecting may take.
        linger: Seconds the connection stays open after the last channel was left.
        hear: Told a channel and what came on it; None says that the channel is heard from here on, and that news may
            have been missed before.
        fail: Told why the server cannot be reached.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        timeout: float,
        linger: float,
        hear: Callable[[str, bytes | None], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._connect = connect
        self._timeout = timeout
        self._linger = linger
        self._hear = hear
        self._fail = fail
        self._wanted: set[str] = set()
        self._words: list[tuple[str, str]] = []
        self._connection: AbstractConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None

    @property
    def connection(self) -> AbstractConnection | None:
        """The connection; None while there is none."""
        return self._connection

    def join(self, channel: str) -> None:
        """Listen on a channel."""
        self._wanted.add(channel)
        if self._connection is not None:
            self._subscribe(channel)
        elif self._reader is None:
            self._reader = asyncio.get_running_loop().create_task(self._read(), name="backyard-feed")

    def leave(self, channel: str) -> None:
        """Listen on a channel no more."""
        self._wanted.discard(channel)
        if self._connection is not None:
            self._words.append(("UNSUBSCRIBE", channel))
            if len(self._words) == 1:
                # Nobody waits for it: it goes out with the next word, or by itself a little later.
                asyncio.get_running_loop().call_later(LATER, self._begin)

    async def close(self) -> None:
        """Close the connection."""
        self._wanted.clear()
        self._words.clear()
        tasks = [task for task in (self._reader, self._sender) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _subscribe(self, channel: str) -> None:
        self._words.append(("SUBSCRIBE", channel))
        self._begin()

    def _begin(self) -> None:
        if self._sender is None and self._words:
            # Its first step comes when all that is ready now has had its turn, and has joined as well.
            self._sender = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        try:
            while self._words and (connection := self._connection) is not None and connection.is_connected:
                words, self._words = self._words, []
                commands = [
                    (word, *(channel for _, channel in some)) for word, some in groupby(words, lambda one: one[0])
                ]
                try:
                    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                except _BROKEN as error:  # the reader finds out as well, and subscribes to all on a new one
                    logger.debug("The feed's connection broke while it was written to: %r", error)
        finally:
            self._sender = None

    async def _read(self) -> None:
        """Bring the news for as long as anybody listens."""
        try:
            while self._wanted:
                connection = self._connect()
                try:
                    async with asyncio.timeout(self._timeout):
                        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
                except _BROKEN as error:
                    self._fail(error)
                    await asyncio.sleep(RECONNECT)
                    continue
                self._connection, self._words = connection, []
                try:
                    for channel in self._wanted:
                        self._subscribe(channel)
                    await self._pump(connection)
                except _BROKEN as error:
                    logger.debug("The feed's connection broke, connecting anew: %r", error)
                    self._connection = None
                    await asyncio.sleep(RECONNECT)
                finally:
                    self._connection = None
                    await connection.disconnect(nowait=True)
        finally:
            self._reader = None

    async def _pump(self, connection: AbstractConnection) -> None:
        """Hand on what comes, until nobody has listened for a while."""
        asked = False
        while True:
            try:
                async with asyncio.timeout(SILENCE if self._wanted else self._linger):
                    row = await connection.read_response(disconnect_on_error=False)
            except TimeoutError:
                if not self._wanted:
                    return
                if asked:
                    raise
                asked = True
                await connection.send_packed_command(connection.pack_command("PING"), check_health=False)
                continue
            asked = False
            if row[0] == b"message":
                self._hear(row[1].decode(), row[2])
            elif row[0] == b"subscribe":
                self._hear(row[1].decode(), None)

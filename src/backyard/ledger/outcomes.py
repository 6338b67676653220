"""How threads wait for the end of a task: each hears of it on a connection of its own, which it keeps for the next."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from backyard.core.errors import LedgerUnavailableError
from backyard.ledger.away import translated
from backyard.ledger.channels import RECONNECT, SILENCE
from backyard.ledger.events import read_ending
from backyard.ledger.keys import Keys
from backyard.ledger.record import Record


class Outcomes:
    """Waits for tasks of a yard outside of event loops.

    Args:
        url: The server's URL.
        keys: The yard's keys.
        connect: Makes a connection, not connected yet; redis-py leaves its methods untyped.
        read: Reads a record.
    """

    def __init__(self, url: str, keys: Keys, connect: Callable[[], Any], read: Callable[[str], Record]) -> None:
        self._url = url
        self._keys = keys
        self._connect = connect
        self._record = read
        self._own = threading.local()

    def wait(self, task_id: str, timeout: float | None = None) -> Record | None:
        """Wait until a task is final. Once begun, it waits for a server that goes away.

        Args:
            task_id: The task.
            timeout: Seconds to wait; None waits without end.

        Returns:
            Its record, or what of it says how the task ended: state, result and failure. None where the time is over.

        Raises:
            LedgerUnavailableError: The server is away.
            UnknownTaskError: There is no such task.
        """
        end = None if timeout is None else time.monotonic() + timeout
        begun = False
        while end is None or not begun or time.monotonic() < end:
            try:
                with translated(self._url):
                    connection = self._subscribed(task_id)
                record = self._record(task_id)
                begun = True
                if not record.final:
                    record = self._heard(connection, task_id, end) or self._record(task_id)
                self._send(connection, "UNSUBSCRIBE", task_id)
            except LedgerUnavailableError:
                self._drop()
                if not begun:
                    raise
                time.sleep(RECONNECT)
            except (RedisError, OSError):
                self._drop()
            except BaseException:  # a time limit, say: what was to be read may still come
                self._drop()
                raise
            else:
                return record if record.final else None
        return None

    def close(self) -> None:
        """Close the running thread's connection."""
        self._drop()

    def _subscribed(self, task_id: str) -> Any:
        """Return the thread's connection, subscribed to a task's channel, and heard by the server."""
        connection = getattr(self._own, "connection", None)
        if connection is not None and self._own.pid == os.getpid():
            try:
                self._subscribe(connection, task_id)
            except (RedisError, OSError):
                self._drop()  # it has died since it was last needed
            else:
                return connection
        connection = self._own.connection = self._connect()
        self._own.pid = os.getpid()
        self._subscribe(connection, task_id)
        return connection

    def _subscribe(self, connection: Any, task_id: str) -> None:
        self._send(connection, "SUBSCRIBE", task_id)
        channel = self._keys.task(task_id).encode()
        while self._read(connection)[:2] != [b"subscribe", channel]:
            pass  # what came late of an earlier one

    def _heard(self, connection: Any, task_id: str, end: float | None) -> Record | None:
        """Return what the task's final news says of its end; None where the record has to be read, or the time is over.

        Raises:
            RedisError: The connection is broken.
        """
        channel = self._keys.task(task_id).encode()
        while True:
            left = SILENCE if end is None else min(max(end - time.monotonic(), 0), SILENCE)
            if not connection.can_read(left):
                if left < SILENCE:
                    return None
                connection.send_command("PING", check_health=False)  # its answer, or an error, comes in time
            row = self._read(connection)
            if row[0] == b"message" and row[1] == channel:
                final, record = read_ending(row[2])
                if final:
                    return record

    def _send(self, connection: Any, word: str, task_id: str) -> None:
        connection.send_command(word, self._keys.task(task_id), check_health=False)

    def _read(self, connection: Any) -> list[Any]:
        row: list[Any] = connection.read_response()
        return row

    def _drop(self) -> None:
        connection = getattr(self._own, "connection", None)
        if connection is not None:
            self._own.connection = None
            if self._own.pid == os.getpid():
                connection.disconnect()

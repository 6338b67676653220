"""Asking before the answer is needed, and asking until there is one: how a worker's process talks for its batches."""

from __future__ import annotations

import logging
import time
from typing import Any

import redis

from backyard.core.errors import LedgerUnavailableError
from backyard.ledger.call import Call
from backyard.ledger.ledger import Ledger

logger = logging.getLogger("backyard.ledger")

#: Seconds between two tries while the server is away.
AWAY = 0.5


def insist(ledger: Ledger, call: Call[Any]) -> Any:
    """Send a call, however long the server is away; it may be repeated without harm."""
    waits = False
    while True:
        try:
            return ledger.run(call)
        except LedgerUnavailableError as error:
            if not waits:
                logger.warning("Waiting for the server: %s", error)
            waits = True
            time.sleep(AWAY)


class Ahead:
    """A connection on which a question is asked before its answer is read.

    Args:
        ledger: Whose server it leads to.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._connection: Any = None
        self._sent = False

    def send(self, call: Call[Any]) -> bool:
        """Send a call, and return whether that went well; one that cannot be sent is sent when its answer is read."""
        self._sent = False
        script = call.script
        if script is None:
            return False
        try:
            if self._connection is None:
                self._connection = self._ledger.client.connection_pool.get_connection()
            self._connection.send_command("EVALSHA", script.sha, 1, self._ledger.keys.prefix, *call.words)
            self._sent = True
        except (redis.RedisError, OSError):
            self._drop()
        return self._sent

    def read(self, call: Call[Any]) -> Any:
        """Return the answer to what was sent last, however long the server is away."""
        if self._sent:
            self._sent = False
            try:
                return call.read(self._connection.read_response())
            except redis.exceptions.NoScriptError:
                pass
            except (redis.RedisError, OSError):
                self._drop()
        return insist(self._ledger, call)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()

    def leads_to(self, ledger: Ledger) -> bool:
        """Whether it leads to the server of a ledger."""
        return self._ledger is ledger

    def rest(self) -> None:
        """Have no answer on its way that nobody reads; the connection is kept."""
        if self._sent:
            self._sent = False
            self._drop()

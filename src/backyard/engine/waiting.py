"""How callers wait for results: on the tasks' own channels, and without ever making the garbage collector wait."""

from __future__ import annotations

from typing import Any

import redis
from celery import states
from celery.backends import redis as stock
from redis.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


class Subscriptions(PubSub):
    """Channels that results come on. Letting go of one happens in the collector too: it never waits for the server.

    A connection that breaks there is made anew by the next who may wait.
    """

    connection: Any
    broken = False

    def unsubscribe(self, *channels: Any) -> None:
        """Send the word, if there is a connection to send it on."""
        connection = self.connection
        if self.broken or connection is None or connection._sock is None:  # noqa: SLF001 - sending would connect, and wait
            self.broken = True
            return
        try:
            connection.send_command("UNSUBSCRIBE", *channels, check_health=False)
        except (RedisConnectionError, RedisTimeoutError, OSError):
            self.broken = True
        else:
            self.pending_unsubscribe_channels.update(self._normalize_keys(dict.fromkeys(channels)))


class Client(redis.Redis):
    """A client whose subscriptions can be let go of anywhere."""

    def pubsub(self, **options: Any) -> Subscriptions:
        """Make a set of subscriptions."""
        return Subscriptions(self.connection_pool, **options)


class ResultConsumer(stock.ResultConsumer):
    """Waits for results on the tasks' own channels."""

    _pubsub: Subscriptions | None

    def __init__(self, backend: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(backend, *args, **kwargs)
        self._get_key_for_task = backend.channel_of

    def _repair(self) -> bool:
        """Connect anew where letting go of a result met a broken connection."""
        if self._pubsub is None or not self._pubsub.broken:
            return False
        self._reconnect()
        return True

    def _consume_from(self, task_id: str) -> None:
        self._repair()
        super()._consume_from(task_id)

    def _drain_one(self, pubsub: Any, timeout: float | None) -> bool:
        return self._repair() or bool(super()._drain_one(pubsub, timeout))

    def _reconnect_pubsub(self) -> None:
        if self._pubsub is not None and self._pubsub.connection is not None:
            self._pubsub.connection.disconnect()
        # Celery forgets the connections and leaves their sockets to the collector.
        self.backend.client.connection_pool.disconnect(inuse_connections=False)
        super()._reconnect_pubsub()
        # Subscribed first, read second: what ended while the connection was away is found, and nothing falls between.
        for key in list(self.subscribed_to):
            meta = self.backend._get_task_meta_for(self.backend.task_of(key))  # noqa: SLF001 - our own backend
            if meta["status"] in states.READY_STATES:
                self.on_state_change(meta, None)

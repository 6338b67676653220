"""Words to all who listen: Celery's events and remote control, on the server's channels."""

from __future__ import annotations

import re
from typing import Any

from kombu.transport import redis as stock
from kombu.utils.json import dumps

#: The queues that answers to remote control come on, as kombu names them.
REPLIES = re.compile(r".\.reply\..+\.pidbox$")


class FanoutChannel(stock.Channel):
    """A channel that knows how many heard its last word to all."""

    #: How many heard it.
    heard = 0

    def _is_mailbox(self, queue: str) -> bool:
        return queue in self._fanout_queues or REPLIES.search(queue) is not None

    def _put_fanout(self, exchange: str, message: Any, routing_key: str, **options: Any) -> None:
        if options.get("_publish_batch") is not None:
            self.heard = 1  # it goes out later: somebody may hear it
            super()._put_fanout(exchange, message, routing_key, **options)
            return
        payload = dumps(message)
        with self.conn_or_acquire() as client:
            topics = self._get_publish_topics(exchange, routing_key)
            self.heard = sum(int(client.publish(topic, payload)) for topic in topics)

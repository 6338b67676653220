"""What a channel hands out: messages that were looked at, and the account of them."""

from __future__ import annotations

import binascii
from typing import Any

from kombu.transport import virtual

from backyard.engine.intake import intake
from backyard.engine.message import MalformedMessageError, check_body, is_task
from backyard.ledger.keys import split_queue_key

JSON = "application/json"
#: Queue, lane, entry id, message, and whether it was handed out before.
Row = tuple[str, str, str, bytes, bool]


class QoS(virtual.QoS):
    """Counts what is handed out, and passes acknowledgements to the ledger."""

    def can_consume(self) -> bool:
        """Whether more may be taken: not over the limit, and not when the worker drains or stops."""
        # A read under way is waited for all the same: what it brings goes back.
        closed = intake.closed and self.channel.task_queues and not self.channel._in_poll  # noqa: SLF001 - kombu's own
        if not closed and self.can_consume_max_estimate() != 0:
            return True
        intake.read()  # that nothing is read is no fault now
        return False

    def can_consume_max_estimate(self) -> int | None:
        """Return how many entries there is room for; None where that is any number. A batch under way counts as one."""
        room: int | None = super().can_consume_max_estimate()
        batches = self.channel.batches
        return room if room is None or batches is None else batches.room(room)

    def ack(self, delivery_tag: str) -> None:
        """Drop an entry that was dealt with."""
        self.channel.settle_entry(delivery_tag)
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Give an entry back to the head of its queue, or drop it; one whose task never started is set aside."""
        if requeue:
            self.channel.return_entry(delivery_tag)
            super().ack(delivery_tag)
        else:
            self.set_aside(delivery_tag, "A worker rejected the message before it started the task.")

    def set_aside(self, delivery_tag: str, reason: str, kind: str = "Rejected") -> None:
        """Keep an entry that cannot be run where people can look at it, and end its task."""
        self.channel.set_entry_aside(delivery_tag, reason, kind)
        super().ack(delivery_tag)

    def put_off(self, delivery_tag: str, task: str, worker: str) -> str:
        """Leave an entry to workers that know its task; see :meth:`~backyard.ledger.worker_calls.WorkerCalls.put_off`.

        Args:
            delivery_tag: The entry's.
            task: The task's name.
            worker: Who does not know it.

        Raises:
            redis.RedisError: The server is away.
        """
        queue, lane, entry = delivery_tag.rsplit("/", 2)
        outcome: str = self.channel.send(self.channel.calls.put_off(queue, lane, entry, task=task, worker=worker))
        if outcome == "put_off":
            super().ack(delivery_tag)
        return outcome

    def restore_unacked(self) -> list[Any]:
        """Give back what was handed out and never started. What runs keeps its lease and is never started twice."""
        self._delivered.clear()
        self._dirty.clear()
        self.channel.retire()
        return []


class Message(virtual.Message):
    """A message whose body was looked at before a worker may rely on it."""

    def __init__(self, payload: dict[str, Any], channel: Any = None, **kwargs: Any) -> None:
        """Read a message.

        Raises:
            MalformedMessageError: It is a task that no worker could read.
        """
        try:
            super().__init__(payload, channel=channel, **kwargs)
        except (TypeError, KeyError, AttributeError, binascii.Error) as error:
            raise MalformedMessageError(f"not a kombu message: {type(error).__name__}: {error}") from error
        if is_task(payload) and self.content_type == JSON:
            # Nothing else is decoded here: whether a worker may is for its own settings to say.
            try:
                decoded = self.decode()
            except Exception as error:
                raise MalformedMessageError(f"its body cannot be read: {type(error).__name__}: {error}") from error
            check_body(decoded)


def read_taken(reply: Any) -> list[Row]:
    """Read the answer of ``take.lua``."""
    return [
        (queue.decode(), lane.decode(), entry.decode(), text, again == b"1")
        for queue, lane, entry, text, again in reply
    ]


def read_waited(reply: Any) -> list[Row]:
    """Read the answer of XREADGROUP; entries that were deleted meanwhile come without fields."""
    rows = []
    for key, entries in reply or ():
        queue, lane = split_queue_key(key.decode())
        for entry, fields in entries:
            named = dict(zip(fields[::2], fields[1::2], strict=True)) if fields else {}
            rows.append((queue, lane, entry.decode(), named.get(b"m", b""), named.get(b"r") == b"1"))
    return rows

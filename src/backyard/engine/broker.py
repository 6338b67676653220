"""The kombu transport: queues are Redis Streams with a consumer group, submits are one atomic script.

A task message becomes record, queue entry and event together. Redis moves an entry to its consumer's pending list in
the step that hands it out, so there is no moment at which a task is nowhere. Mailbox replies stay on lists, as in
kombu's own transport: they are short-lived news for one reader, and lists vanish when they are empty.
"""

from __future__ import annotations

import binascii
import logging
import os
import socket
import uuid
from functools import cached_property
from queue import Empty
from time import monotonic, sleep
from typing import Any, ClassVar

import redis
from kombu.transport import redis as stock
from kombu.transport import virtual
from kombu.utils.json import dumps

from backyard.engine.current import current_attempt
from backyard.engine.message import MalformedMessageError, check_body, is_task, read_message, submission_of
from backyard.engine.pulse import Pulse, pulse_of
from backyard.ledger.call import Call
from backyard.ledger.calls import Calls
from backyard.ledger.keys import GROUP, LANES, PRIORITY, Keys, lane_of, split_queue_key
from backyard.ledger.ledger import send, unavailable
from backyard.ledger.scripts import script

logger = logging.getLogger("backyard.broker")

MAILBOX = ".pidbox"
JSON = "application/json"
UNBOUNDED = 64
PURGED_AT_ONCE = 500
BLOCK = 1_000  # milliseconds a read waits for an entry
REFUSED = 0.2  # seconds to wait where the server refuses to hand out


class QoS(virtual.QoS):
    """Counts what is handed out, and passes acknowledgements to the ledger."""

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

    def restore_unacked(self) -> list[Any]:
        """Give back what was handed out and never started. What runs keeps its lease and is never started twice."""
        self._delivered.clear()
        self._dirty.clear()
        self.channel.retire()
        return []


class Message(virtual.Message):
    """A message whose body was looked at before a worker may rely on it."""

    def __init__(self, payload: dict[str, Any], channel: Channel | None = None, **kwargs: Any) -> None:
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


class Channel(stock.Channel):
    """A channel of the yard that ``transport_options`` names."""

    QoS = QoS
    Message = Message
    yard = "celery"
    lease = 10.0
    events_kept = 100_000
    result_expires = 86_400
    socket_timeout = 5.0
    socket_connect_timeout = 2.0

    from_transport_options = (*stock.Channel.from_transport_options, "yard", "lease", "events_kept", "result_expires")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls = Calls(Keys(self.yard), self.events_kept)
        prefix = self.calls.keys.prefix
        self.keyprefix_queue = f"{prefix}binding:%s"
        self.keyprefix_binding_permanent = f"{prefix}binding_permanent:%s"
        self.keyprefix_binding_deadlines = f"{prefix}binding_deadlines"
        self.consumer = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._joined = False
        self._no_ack: set[str] = set()
        #: Whether there may be entries now.
        self._more = True
        #: What the read under way asked for: "take" what is there, "wait" for an entry, or "mail".
        self._reading = "mail"

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - kombu's signature
        params: dict[str, Any] = super()._connparams(asynchronous=asynchronous)
        params["protocol"] = 2  # replies are read from the raw connection, so their shape must not vary
        return params

    def send(self, call: Call[Any]) -> Any:
        """Send a call on a connection of the channel's pool; the driver's errors pass as they are."""
        return send(self._create_client(), self.calls.keys, call)

    def prepare_message(self, body: Any, priority: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """Compose a message; one that says nothing of its priority has the normal one, not the highest."""
        return super().prepare_message(body, PRIORITY["normal"] if priority is None else priority, *args, **kwargs)

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> list[str]:
        """Find the queues of a message. Ours are bound by their own names, also after a flush took the bindings."""
        found: list[str] = super()._lookup(exchange, routing_key, default)
        return found or ([routing_key] if routing_key and self.typeof(exchange).type == "direct" else [])

    # -- submit ---------------------------------------------------------------------------------------------------

    def encode_body(self, body: Any, encoding: str | None = None) -> tuple[Any, str | None]:
        """Leave text as it is; only binary bodies need base64 to travel in JSON."""
        if isinstance(body, str):
            return body, "utf-8"
        encoded: tuple[Any, str | None] = super().encode_body(body, encoding or "base64")
        return encoded

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        if queue.endswith(MAILBOX):
            super()._put(queue, message, **kwargs)
            return
        priority = self._get_message_priority(message, reverse=False)
        if is_task(message):
            attempt = current_attempt(message["headers"]["id"])
            submission = submission_of(
                message, queue, priority, self.result_expires, attempt=attempt.number if attempt else None
            )
            self.send(self.calls.submit([submission]))
        else:
            self.send(self.calls.put(queue, lane_of(priority), dumps(message).encode()))

    # -- take -----------------------------------------------------------------------------------------------------

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:  # noqa: FBT001 - kombu's signature
        """Begin to read a queue, under a lease."""
        if not queue.endswith(MAILBOX) and queue not in self._fanout_queues:
            self._join()
            if no_ack:
                self._no_ack.add(queue)
            self._more = True
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    @cached_property
    def pulse(self) -> Pulse:
        """The process's pulse: it outlives this channel."""
        params = self._connparams()
        client = self.Client(connection_pool=redis.ConnectionPool(**params))
        identity = f"{params.get('host')}:{params.get('port')}:{params.get('path')}:{params.get('db')}"
        return pulse_of(identity, client, self.calls, float(self.lease))

    def _join(self) -> None:
        """Take a lease before the first entry, and a new one after the consumer was retired."""
        if not self._joined:
            self.pulse.join(self.consumer)
            self._joined = True

    def close(self) -> None:
        """Close the channel; what it took and never started goes back, seen by the process or not."""
        try:
            super().close()
        finally:
            self.retire()

    def retire(self) -> None:
        """Close this channel's consumer; the process goes on to renew what still runs."""
        if self._joined:
            self._joined = False
            self.pulse.retire(self.consumer)
            self.consumer = f"{self.consumer.rpartition(':')[0]}:{uuid.uuid4().hex[:8]}"

    @property
    def _task_queues(self) -> list[str]:
        return [queue for queue in self.active_queues if not queue.endswith(MAILBOX)]

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for entries: at once while there are some, else by waiting for the first."""
        queues = self._task_queues
        if not queues:
            self._reading = "mail"
            super()._brpop_start(timeout)
            return
        self._join()
        queues = [queue for queue in self._queue_cycle.consume(len(self.active_queues)) if queue in queues]
        most = self.qos.can_consume_max_estimate()
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        self._reading = "take" if self._more else "wait"
        if self._reading == "take":
            words = self.calls.take(
                self.consumer, UNBOUNDED if most is None else max(most, 1), self.lease, queues
            ).words
            command = ["EVALSHA", script("take").sha, 1, self.calls.keys.prefix, *words]
        else:
            keys = [self.calls.keys.queue(queue, lane) for lane in LANES for queue in queues]
            command = ["XREADGROUP", "GROUP", GROUP, self.consumer, "COUNT", 1, "BLOCK", BLOCK, "STREAMS", *keys]
            command += [">"] * len(keys)
        self.client.connection.send_command(*command)

    def _brpop_read(self, **options: Any) -> bool:
        if self._reading == "mail":
            return bool(super()._brpop_read(**options))
        try:
            rows = self._read_rows()
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        for row in rows:
            self._deliver_row(*row)
        if not rows:
            raise Empty
        return True

    def _read_rows(self) -> list[tuple[str, str, str, bytes, bool]]:
        self._more = False
        try:
            reply = self.client.connection.read_response()
        except redis.exceptions.NoScriptError:
            self._create_client().script_load(script("take").text)
            self._more = True
            return []
        except self.ResponseError as error:
            if unavailable(error):
                # A full disk or memory, say. What runs goes on; Celery would take it for the worker's end.
                logger.warning("The server hands nothing out: %s", error)
                sleep(REFUSED)
                return []
            # The streams were deleted under us (a flush, a failover to an empty replica): the script makes them anew.
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            self._more = True
            return []
        except self.connection_errors:
            # An answer may be lost on the way; what it held is given back under the old name.
            self.client.connection.disconnect()
            self.retire()
            raise
        rows = _taken(reply) if self._reading == "take" else _waited(reply)
        self._more = bool(rows)
        return rows

    def _deliver_row(self, queue: str, lane: str, entry: str, text: bytes, again: bool) -> None:  # noqa: FBT001 - a row
        tag = f"{queue}/{lane}/{entry}"
        self._queue_cycle.rotate(queue)
        try:
            message = read_message(text, tag=tag, entry=f"{lane}/{entry}", again=again)
            self.connection._deliver(message, queue)  # noqa: SLF001 - kombu's own name for it
        except MalformedMessageError as error:
            logger.error("Set aside entry %s of queue %s: %s", entry, queue, error)  # noqa: TRY400 - no traceback of ours
            self.set_entry_aside(tag, str(error), "MalformedMessage")
        except Exception as error:
            # kombu counts KeyError as a broken connection: delivered after each reconnect, it would go on for ever.
            if isinstance(error, self.connection_errors) and not isinstance(error, KeyError):
                raise
            # Left alone it would stay with this consumer for ever, counted against its prefetch.
            logger.exception("Set aside entry %s of queue %s", entry, queue)
            self.qos.set_aside(
                tag, f"The worker could not take it: {type(error).__name__}: {error}", "MalformedMessage"
            )
        else:
            if queue in self._no_ack:
                self.settle_entry(tag)

    def _get(self, queue: str) -> Any:
        if queue.endswith(MAILBOX):
            return super()._get(queue)
        self._join()
        rows = _taken(self.send(self.calls.take(self.consumer, 1, self.lease, [queue])))
        if not rows:
            raise Empty
        _, lane, entry, text, again = rows[0]
        return read_message(text, tag=f"{queue}/{lane}/{entry}", entry=f"{lane}/{entry}", again=again)

    # -- settle ---------------------------------------------------------------------------------------------------

    def settle_entry(self, tag: str) -> None:
        """Drop the entry of a delivery tag."""
        queue, lane, entry = tag.rsplit("/", 2)
        self.pulse.settle(self.calls.acknowledge([(queue, lane, entry)]))

    def return_entry(self, tag: str) -> None:
        """Give the entry of a delivery tag back to the head of its queue."""
        queue, lane, entry = tag.rsplit("/", 2)
        self.pulse.settle(self.calls.give_back([(queue, lane, entry)], "rejected"))

    def set_entry_aside(self, tag: str, reason: str, kind: str) -> None:
        """Keep the entry of a delivery tag on the dead-letter stream."""
        queue, lane, entry = tag.rsplit("/", 2)
        self.pulse.settle(self.calls.set_aside(queue, lane, entry, reason, kind))

    # -- queues ---------------------------------------------------------------------------------------------------

    def _new_queue(self, queue: str, auto_delete: bool = False, **kwargs: Any) -> None:  # noqa: FBT001, FBT002 - kombu's
        super()._new_queue(queue, auto_delete=auto_delete, **kwargs)
        if not queue.endswith(MAILBOX) and not auto_delete:
            self.send(self.calls.declare(queue))

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return bool(super()._has_queue(queue, **kwargs) or self.send(self.calls.known(queue)))

    def _size(self, queue: str) -> int:
        if queue.endswith(MAILBOX):
            return int(super()._size(queue))
        return int(self.send(self.calls.depth([queue]))[queue])

    def _purge(self, queue: str) -> int:
        if queue.endswith(MAILBOX):
            return int(super()._purge(queue))
        gone = last = int(self.send(self.calls.purge(queue, PURGED_AT_ONCE)))
        while last == PURGED_AT_ONCE:
            last = int(self.send(self.calls.purge(queue, PURGED_AT_ONCE)))
            gone += last
        return gone

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **kwargs: Any) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Delete a queue, be it bound to an exchange or known by its name alone."""
        if if_empty and self._size(queue):
            return
        super().queue_delete(queue, if_unused=if_unused, **kwargs)
        if not queue.endswith(MAILBOX):
            self._purge(queue)
            self.send(self.calls.drop_queue(queue))


def _taken(reply: Any) -> list[tuple[str, str, str, bytes, bool]]:
    """Read the answer of ``take.lua``."""
    return [
        (queue.decode(), lane.decode(), entry.decode(), text, again == b"1")
        for queue, lane, entry, text, again in reply
    ]


def _waited(reply: Any) -> list[tuple[str, str, str, bytes, bool]]:
    """Read the answer of XREADGROUP; entries that were deleted meanwhile come without fields."""
    rows = []
    for key, entries in reply or ():
        queue, lane = split_queue_key(key.decode())
        for entry, fields in entries:
            named = dict(zip(fields[::2], fields[1::2], strict=True)) if fields else {}
            rows.append((queue, lane, entry.decode(), named.get(b"m", b""), named.get(b"r") == b"1"))
    return rows


class Transport(stock.Transport):
    """What ``broker_transport`` names."""

    Channel = Channel
    implements: ClassVar[Any] = stock.Transport.implements.extend(batch_publish=False)

"""The kombu transport: queues are Redis Streams with a consumer group, submits are one atomic script.

A task message becomes record, queue entry and event together. Redis moves an entry to its consumer's pending list in
the step that hands it out, so there is no moment at which a task is nowhere. Mailbox replies stay on lists, as in
kombu's own transport: they are short-lived news for one reader, and lists vanish when they are empty.
"""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Callable, Sequence
from functools import cached_property
from queue import Empty
from time import monotonic, sleep
from typing import Any, ClassVar

import redis
from kombu.transport import redis as stock
from kombu.utils.json import dumps

from backyard.engine.current import current_attempt, lineage, note_accepted, running
from backyard.engine.delivery import Message, QoS, Row, read_taken, read_waited
from backyard.engine.fanout import FanoutChannel
from backyard.engine.intake import intake
from backyard.engine.message import MalformedMessageError, is_task, read_message, submission_of
from backyard.engine.panel import install
from backyard.engine.pulse import Pulse, pulse_of
from backyard.ledger.away import refusing, unavailable
from backyard.ledger.call import Call
from backyard.ledger.calls import Calls
from backyard.ledger.keys import PRIORITY, Keys, lane_of
from backyard.ledger.ledger import send
from backyard.ledger.queue_calls import PURGED_AT_ONCE
from backyard.ledger.scripts import script

logger = logging.getLogger("backyard.broker")
install()

UNBOUNDED = 64
REFUSED = 0.2  # seconds to wait where the server refuses to hand out


class Channel(FanoutChannel):
    """A channel of the yard that ``transport_options`` names."""

    QoS = QoS
    Message = Message
    yard = "celery"
    #: Whether the ledger starts and fences the attempts of the app's tasks, as it does for a yard.
    fenced = False
    lease = 10.0
    events_kept = 100_000
    result_expires = 86_400
    max_queued: int | None = None
    queue_limits: ClassVar[dict[str, int]] = {}
    socket_timeout = 5.0
    socket_connect_timeout = 2.0

    from_transport_options = (
        *stock.Channel.from_transport_options, "yard", "fenced", "lease", "events_kept", "result_expires",
        "max_queued", "queue_limits",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls = Calls(Keys(self.yard), self.events_kept)
        prefix = self.calls.keys.prefix
        self.keyprefix_queue = f"{prefix}binding:%s"
        self.keyprefix_binding_permanent = f"{prefix}binding_permanent:%s"
        self.keyprefix_binding_deadlines = f"{prefix}binding_deadlines"
        self.consumer = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._joined = False
        #: Why entries go back whose process died, and what is known of that, by delivery tag.
        self.deaths: dict[str, tuple[str, dict[str, Any]]] = {}
        self._no_ack: set[str] = set()
        #: Whether there may be entries now.
        self._more = True
        #: What the read under way asked for: "take" what is there, "wait" for an entry, or "mail".
        self._reading = "mail"
        #: For how many entries there is room; None is any number.
        self._most: int | None = None
        #: Runs short tasks together, in a worker that can.
        self.batches: Any = None

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - kombu's signature
        if self.connection is None:
            # Closed while it was used, as after an outage: kombu tries again after errors of the connection alone.
            raise redis.ConnectionError("The channel was closed.")
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
        if self._is_mailbox(queue):
            super()._put(queue, message, **kwargs)
            return
        priority = self._get_message_priority(message, reverse=False)
        if is_task(message):
            headers = message["headers"]
            attempt = current_attempt(headers["id"])
            if not headers.get("parent_id"):
                headers.update(lineage(headers["id"]))  # inside of a coroutine Celery does not know where it is
            number = attempt.number if attempt else None
            lifetime = int(self.result_expires)
            submission = submission_of(
                message,
                queue,
                priority,
                lifetime,
                attempt=number,
                plain=not self.fenced and number is None,
                most=None if running() else self.queue_limits.get(queue, self.max_queued),
            )
            (accepted,) = self._bring(self.calls.submit([submission]))
            note_accepted(submission.task_id, accepted.task_id)
        else:
            self._bring(self.calls.put(queue, lane_of(priority), dumps(message).encode()))

    def _bring(self, call: Call[Any]) -> Any:
        """Bring in what is new; what a running task sends on waits until the server has room for it."""
        waits = False
        while True:
            try:
                return self.send(call)
            except self.ResponseError as error:
                if not running() or not refusing(error):
                    raise
                if not waits:
                    logger.warning("A running task waits to send: %s", error)
                waits = True
                sleep(REFUSED)

    # -- take -----------------------------------------------------------------------------------------------------

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:  # noqa: FBT001 - kombu's signature
        """Begin to read a queue, under a lease."""
        if not self._is_mailbox(queue):
            self._join()
            if no_ack:
                self._no_ack.add(queue)
            self._more = True
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    @cached_property
    def pulse(self) -> Pulse:
        """The process's pulse: it outlives this channel."""
        return pulse_of(self._connparams(), self.calls, float(self.lease))

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

    def stop_taking(self) -> None:
        """Take nothing from now on, for the worker ends: a read under way is cut off, what never started goes back."""
        if self._in_poll:
            self.client.connection.disconnect()
        self.retire()

    @property
    def task_queues(self) -> list[str]:
        """The queues of tasks that this channel reads."""
        return [queue for queue in self.active_queues if not self._is_mailbox(queue)]

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for entries: at once while there are some, else by waiting for the first."""
        queues = self.task_queues
        intake.read()
        if not queues:
            self._reading = "mail"
            super()._brpop_start(timeout)
            return
        self._join()
        queues = [queue for queue in self._queue_cycle.consume(len(self.active_queues)) if queue in queues]
        self._most = self.qos.can_consume_max_estimate()
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        self._reading = "take" if self._more else "wait"
        if self._reading == "take":
            most = UNBOUNDED if self._most is None else self._most
            most = most if self.batches is None else self.batches.wanted(most)
            self._take = self.calls.take(self.consumer, most, self.lease, queues)
            command = ["EVALSHA", script("take").sha, 1, self.calls.keys.prefix, *self._take.words]
        else:
            open_queues = [queue for queue in queues if queue not in self.pulse.paused]
            command = [*self.calls.wait(self.consumer, int(self.brpop_timeout * 1000), open_queues).words]
        self.client.connection.send_command(*command)

    def _brpop_read(self, **options: Any) -> bool:
        if self._reading == "mail":
            return bool(super()._brpop_read(**options))
        try:
            rows = self._read_rows()
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if intake.closed:
            self._release(rows)  # handed out while the worker was told to take no more
            raise Empty
        if not rows:
            raise Empty
        if self.batches is not None:
            rows, rest = self.batches.place(rows, self._most or 1)
        else:
            # A blocking read brings one entry of each lane that has some; another worker may have room for the rest.
            most = len(rows) if self._most is None else self._most
            rows, rest = rows[:most], rows[most:]
        self._release(rest)
        for row in rows:
            self._deliver_row(*row)
        return True

    def _release(self, rows: Sequence[tuple[str, str, str, bytes, bool]]) -> None:
        """Give back what was handed out and is not wanted."""
        if rows:
            entries = [(queue, lane, entry) for queue, lane, entry, *_ in rows]
            self.pulse.settle(self.calls.give_back(entries, "released"))

    def _read_rows(self) -> list[Row]:
        self._more = False
        try:
            try:
                reply = self.client.connection.read_response()
            except redis.exceptions.NoScriptError:
                reply = self.send(self._take)  # with its text, which a new server does not know
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
        rows = read_taken(reply) if self._reading == "take" else read_waited(reply)
        self._more = bool(rows)
        return rows

    def _deliver_row(self, queue: str, lane: str, entry: str, text: bytes, again: bool) -> None:  # noqa: FBT001 - a row
        tag = f"{queue}/{lane}/{entry}"
        self._queue_cycle.rotate(queue)
        try:
            message = read_message(text, tag=tag, entry=f"{lane}/{entry}", again=again, plain=not self.fenced)
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
        if self._is_mailbox(queue):
            return super()._get(queue)
        self._join()
        rows = read_taken(self.send(self.calls.take(self.consumer, 1, self.lease, [queue])))
        if not rows:
            raise Empty
        _, lane, entry, text, again = rows[0]
        tag = f"{queue}/{lane}/{entry}"
        return read_message(text, tag=tag, entry=f"{lane}/{entry}", again=again, plain=not self.fenced)

    # -- settle ---------------------------------------------------------------------------------------------------

    def settle_entry(self, tag: str) -> None:
        """Drop the entry of a delivery tag."""
        self.deaths.pop(tag, None)
        queue, lane, entry = tag.rsplit("/", 2)
        self.pulse.settle(self.calls.acknowledge([(queue, lane, entry)], plain=not self.fenced))

    def return_entry(self, tag: str) -> None:
        """Give the entry of a delivery tag back to the head of its queue."""
        queue, lane, entry = tag.rsplit("/", 2)
        reason, evidence = self.deaths.pop(tag, ("rejected", None))
        self.pulse.settle(self.calls.give_back([(queue, lane, entry)], reason, evidence))

    def set_entry_aside(self, tag: str, reason: str, kind: str) -> None:
        """Keep the entry of a delivery tag on the dead-letter stream."""
        queue, lane, entry = tag.rsplit("/", 2)
        self.pulse.settle(self.calls.set_aside(queue, lane, entry, reason, kind))

    # -- queues ---------------------------------------------------------------------------------------------------

    def _new_queue(self, queue: str, auto_delete: bool = False, **kwargs: Any) -> None:  # noqa: FBT001, FBT002 - kombu's
        super()._new_queue(queue, auto_delete=auto_delete, **kwargs)
        if not self._is_mailbox(queue) and not auto_delete:
            self._make_known(self.send, self.calls.declare(queue))

    def _queue_bind(self, *args: Any) -> None:
        self._make_known(super()._queue_bind, *args)

    def _make_known(self, write: Callable[..., Any], *args: Any) -> None:
        """Write what others are to know of a queue; a server without memory must not keep a worker from its work."""
        try:
            write(*args)
        except self.ResponseError as error:
            if not refusing(error):
                raise
            logger.warning("Could not note a queue: %s", error)

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return bool(super()._has_queue(queue, **kwargs) or self.send(self.calls.known(queue)))

    def _size(self, queue: str) -> int:
        if self._is_mailbox(queue):
            return int(super()._size(queue))
        return int(self.send(self.calls.depth([queue]))[queue])

    def _purge(self, queue: str) -> int:
        if self._is_mailbox(queue):
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
        mailbox = self._is_mailbox(queue)
        try:
            super().queue_delete(queue, if_unused=if_unused, **kwargs)
        except self.connection_errors as error:
            if not self._closing:
                raise
            # Raised here, it would keep the channel from closing its sockets, and say nothing that is not known.
            logger.info("The server is away, so that the mailbox %s stays: %s", queue, error)
        if not mailbox:
            self._purge(queue)
            self.send(self.calls.drop_queue(queue))


class Transport(stock.Transport):
    """What ``broker_transport`` names."""

    Channel = Channel
    implements: ClassVar[Any] = stock.Transport.implements.extend(batch_publish=False)

"""What a consuming process does between tasks: renew its leases, promote what is due, take over from the dead.

One thread a process, started with the first consumer and independent of the tasks that run beside it. It holds no
lock on the server: every step is one atomic script, and any process may do it at any time.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import redis
from celery import signals
from celery.worker import state

from backyard.engine.check import walk_on
from backyard.engine.due import keep_time
from backyard.engine.guardian_link import GuardianLink
from backyard.ledger.call import Call
from backyard.ledger.calls import Calls
from backyard.ledger.keys import Keys
from backyard.ledger.ledger import send

logger = logging.getLogger("backyard.pulse")

#: Seconds between two looks at what is due.
TICK = 0.25
#: Seconds between two slices of the self-check by this process; all of a yard share one walk.
CHECK = 1.0
REAPED_AT_ONCE = 200


class Pulse:
    """The heartbeat of one process towards one yard.

    Args:
        client: A connection pool of its own, so that no task can hold it up.
        calls: The yard's calls.
        lease: Seconds a lease lasts.
        link: The guardian, which renews as well: a task may keep this thread from its turn.
    """

    def __init__(self, client: redis.Redis, calls: Calls, lease: float, link: GuardianLink) -> None:
        self.client = client
        self.link = link
        self.calls = calls
        self.keys: Keys = calls.keys
        self.lease = lease
        #: Queues that nothing is to be taken from now.
        self.paused: frozenset[str] = frozenset()
        self._living: set[str] = set()
        self._retired: set[str] = set()
        self._unsettled: list[Call[Any]] = []
        self._lock = threading.Lock()
        #: One renewal at a time: one that began before a consumer was retired would take its lease anew after that.
        self._renewing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._renewed = 0.0
        self._checked = 0.0

    def join(self, consumer: str) -> None:
        """Take a lease for a consumer, before it reads its first entry.

        Raises:
            redis.RedisError: The server is away.
        """
        send(self.client, self.keys, self.calls.renew(self.lease, [consumer], []))
        with self._lock:
            self._living.add(consumer)
            if self._thread is None or not self._thread.is_alive() or self._pid != os.getpid():
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._beat, name="backyard-pulse", daemon=True)
                self._thread.start()
                atexit.register(self._leave)
        self._tell()

    def settle(self, call: Call[Any]) -> None:
        """Drop an entry, or give it back: now, or as soon as the server answers again.

        The channel that took the entry may be closed since, and its connection gone; a task that runs outlives both.

        Args:
            call: What to send. Sending it twice must do no harm.
        """
        try:
            send(self.client, self.keys, call)
        except (redis.RedisError, OSError) as error:
            logger.warning("Could not settle a queue entry, will try again: %s", error)
            with self._lock:
                self._unsettled.append(call)

    def retire(self, consumer: str) -> None:
        """Note that a consumer's channel is closed: what never started goes back at once, what runs keeps its lease."""
        if self._pid != os.getpid():
            return  # a pool's child closes its copy of the parent's channel
        with self._lock:
            self._living.discard(consumer)
            self._retired.add(consumer)
        try:
            self._renew()
        except redis.RedisError as error:
            logger.warning("Could not give back what %s held; its lease will run out: %s", consumer, error)
        self._tell()

    @property
    def renewed(self) -> float:
        """When the leases were last renewed, by the monotonic clock."""
        return self._renewed or time.monotonic()

    @property
    def consumers(self) -> list[str]:
        """The consumers that this process speaks for."""
        with self._lock:
            return sorted(self._living | self._retired)

    def part(self) -> None:
        """Tell the guardian that this process is about to end, and that it was told to."""
        _stopping.set()
        self._tell()

    def _tell(self) -> None:
        """Let the guardian know whose leases it renews."""
        if self._pid == os.getpid():
            with self._lock:
                consumers = sorted(self._living | self._retired)
            self.link.tell(consumers, stopping=stopping())

    def _leave(self) -> None:
        """Say goodbye at the end of the process, so that nobody waits for a lease to run out."""
        if self._pid == os.getpid():
            with self._lock:
                self._retired |= self._living
                self._living.clear()
            try:
                self._settle_rest()
                self._renew()
            except (redis.RedisError, OSError) as error:
                logger.debug("The ledger is away at the end: %s", error)
            # What runs is cut off now, by a worker that was told to stop: its guardian gives it back.
            _stopping.set()
            self._tell()

    def _settle_rest(self) -> None:
        with self._lock:
            waiting, self._unsettled = self._unsettled, []
        for call in waiting:
            self.settle(call)

    def _beat(self) -> None:
        while True:
            try:
                self.tick()
            except (redis.RedisError, OSError) as error:
                logger.debug("The ledger is away, trying again: %s", error)
            except Exception:
                logger.exception("The pulse met an error, and goes on")
            time.sleep(TICK)

    def tick(self) -> None:
        """Do once what is to be done now."""
        self._tell()
        now = time.monotonic()
        if now - self._renewed >= self.lease / 4:
            self._renew()
            self._renewed = now
            back = send(self.client, self.keys, self.calls.reap(REAPED_AT_ONCE))
            if back:
                logger.warning("Took back %d tasks of workers that were lost", back)
            self._settle_rest()
        self.paused = frozenset(send(self.client, self.keys, self.calls.paused("queue")))
        who, longest = f"{socket.gethostname()}:{os.getpid()}", min(1.0, self.lease / 8)
        keep_time(lambda call: send(self.client, self.keys, call), self.calls, who, longest)
        if now - self._checked >= CHECK:
            self._checked = now
            walk_on(lambda call: send(self.client, self.keys, call), self.calls, self.lease)

    def _renew(self) -> None:
        with self._renewing:
            with self._lock:
                living, retired = sorted(self._living), sorted(self._retired)
            if not living and not retired:
                return
            empty = send(self.client, self.keys, self.calls.renew(self.lease, living, retired))
            with self._lock:
                self._retired.difference_update(empty)


#: By process as well: a fork speaks for none of its parent's consumers, and may find its parent's locks held for ever.
_pulses: dict[tuple[int, str, str], Pulse] = {}
_pulses_lock = threading.Lock()
_stopping = threading.Event()


def pulses() -> list[Pulse]:
    """Return this process's pulses."""
    return [pulse for (pid, *_), pulse in _pulses.items() if pid == os.getpid()]


def stopping() -> bool:
    """Whether this process has been told to stop: a death from now on is no task's doing."""
    return _stopping.is_set() or state.should_stop is not None or state.should_terminate is not None


def pulse_of(params: Mapping[str, Any], calls: Calls, lease: float) -> Pulse:
    """Return this process's pulse towards a yard.

    Args:
        params: How the driver reaches the server.
        calls: The yard's calls.
        lease: Seconds a lease lasts.
    """
    address = address_of(params)
    identity = os.getpid(), f"{address['host']}:{address['port']}:{address['path']}:{address['db']}", calls.keys.yard
    with _pulses_lock:
        if identity not in _pulses:
            client = redis.Redis(connection_pool=redis.ConnectionPool(**params))
            _pulses[identity] = Pulse(client, calls, lease, GuardianLink(address, calls, lease))
        return _pulses[identity]


def address_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the address in the words of :class:`~backyard.engine.guardian_wire.Wire`."""
    provider = params.get("credential_provider")
    login = (params.get("username"), params.get("password")) if provider is None else provider.get_credentials()
    user, password = login if len(login) > 1 else (None, *login)
    options = {name: value for name, value in params.items() if name.startswith("ssl_")}
    secure = issubclass(params.get("connection_class", redis.Connection), redis.SSLConnection)
    return {
        **{name: params.get(name) for name in ("host", "port", "path", "db")},
        "username": user,
        "password": password,
        "ssl": options if secure else None,
    }


def _on_stop(**_: Any) -> None:
    """Note that the worker was told to stop; called in a signal's handler, it may not wait for anybody."""
    _stopping.set()


signals.worker_shutting_down.connect(_on_stop, weak=False)

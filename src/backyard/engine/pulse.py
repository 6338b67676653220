"""What a consuming process does between tasks: renew its leases, promote what is due, take over from the dead.

One thread a process, started with the first consumer and independent of the tasks that run beside it. It holds no
lock on the server: every step is one atomic script, and any process may do it at any time.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from typing import Any

import redis

from backyard.ledger.call import Call
from backyard.ledger.calls import Calls
from backyard.ledger.keys import Keys
from backyard.ledger.ledger import send

logger = logging.getLogger("backyard.pulse")

#: Seconds between two looks at what is due.
TICK = 0.25
#: Seconds between two sweeps of the index of tasks.
SWEEP = 60.0
PROMOTED_AT_ONCE = 500
REAPED_AT_ONCE = 200
SWEPT_AT_ONCE = 500


class Pulse:
    """The heartbeat of one process towards one yard.

    Args:
        client: A connection pool of its own, so that no task can hold it up.
        calls: The yard's calls.
        lease: Seconds a lease lasts.
    """

    def __init__(self, client: redis.Redis, calls: Calls, lease: float) -> None:
        self.client = client
        self.calls = calls
        self.keys: Keys = calls.keys
        self.lease = lease
        self._living: set[str] = set()
        self._retired: set[str] = set()
        self._unsettled: list[Call[Any]] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._renewed = 0.0
        self._swept = 0.0
        self._offset = 0

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
        now = time.monotonic()
        if now - self._renewed >= self.lease / 4:
            self._renew()
            self._renewed = now
            back = send(self.client, self.keys, self.calls.reap(REAPED_AT_ONCE))
            if back:
                logger.warning("Took back %d tasks of workers that were lost", back)
            self._settle_rest()
        while send(self.client, self.keys, self.calls.promote(PROMOTED_AT_ONCE)) == PROMOTED_AT_ONCE:
            pass
        if now - self._swept >= SWEEP:
            self._swept = now
            looked, gone = send(self.client, self.keys, self.calls.sweep(self._offset, SWEPT_AT_ONCE))
            self._offset = self._offset + looked - gone if looked == SWEPT_AT_ONCE else 0

    def _renew(self) -> None:
        with self._lock:
            living, retired = sorted(self._living), sorted(self._retired)
        if not living and not retired:
            return
        empty = send(self.client, self.keys, self.calls.renew(self.lease, living, retired))
        with self._lock:
            self._retired.difference_update(empty)


_pulses: dict[tuple[str, str], Pulse] = {}
_pulses_lock = threading.Lock()


def pulse_of(identity: str, client: redis.Redis, calls: Calls, lease: float) -> Pulse:
    """Return this process's pulse towards a yard.

    Args:
        identity: The server, for telling pulses apart.
        client: The client to make a pulse with, if there is none yet.
        calls: The yard's calls.
        lease: Seconds a lease lasts.
    """
    with _pulses_lock:
        return _pulses.setdefault((identity, calls.keys.yard), Pulse(client, calls, lease))

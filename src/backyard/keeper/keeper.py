"""A keeper: duties, each in a thread of its own, each led by one of the yard's keepers at a time."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from backyard.core.errors import HistoryUnavailableError, LedgerUnavailableError, StorageUnavailableError
from backyard.ledger.ledger import Ledger

logger = logging.getLogger("backyard.keeper")

#: Seconds that a keeper leads a duty without asking again; when it dies, another leads after that.
LEAD = 5.0
#: Seconds between two looks whether a duty is free, and between two tries while a part is away.
PAUSE = 1.0
_AWAY = (HistoryUnavailableError, LedgerUnavailableError, StorageUnavailableError)


class Duty(Protocol):
    """What a keeper does again and again.

    Nothing may rest on there being one leader: one that stood still may go on beside its successor.
    """

    @property
    def name(self) -> str:
        """Its name, in the ledger and in the log."""

    def step(self) -> float:
        """Do what is to be done now; returns the seconds until the next look."""


class Keeper:
    """Runs duties until it is told to stop.

    Args:
        ledger: The yard's ledger, where keepers agree on who leads.
        duties: The duties.
        name: The keeper's name; None makes one.
    """

    def __init__(self, ledger: Ledger, duties: Sequence[Duty], name: str | None = None) -> None:
        self.ledger = ledger
        self.name = name or f"keeper{os.getpid()}@{socket.gethostname()}"
        self._duties = list(duties)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def take(self, duties: Sequence[Duty]) -> None:
        """Take duties on, before the start."""
        self._duties += duties

    def start(self) -> None:
        """Begin with all duties."""
        for duty in self._duties:
            thread = threading.Thread(target=self._serve, args=(duty,), name=f"keeper-{duty.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, patience: float = 5.0) -> bool:
        """End the duties after their running steps; returns whether all did.

        Args:
            patience: Seconds to wait for them.
        """
        self._stop.set()
        end = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _serve(self, duty: Duty) -> None:
        leads, asked, away = False, float("-inf"), False
        while not self._stop.is_set():
            try:
                if time.monotonic() - asked >= LEAD / 3:
                    asked = time.monotonic()
                    leads = self._ask(duty, LEAD)
                pause = duty.step() if leads else PAUSE
                if away:
                    logger.info("The duty '%s' goes on.", duty.name)
                away = False
            except _AWAY as error:
                if not away:
                    logger.warning("The duty '%s' waits: %s", duty.name, error)
                away, pause = True, PAUSE
            except Exception:
                # A duty that fails is tried again: the others, and the tasks, go on.
                logger.exception("The duty '%s' failed, and is tried again.", duty.name)
                pause = PAUSE
            self._stop.wait(pause)
        if leads:
            self._give_up(duty)

    def _ask(self, duty: Duty, seconds: float) -> bool:
        return self.ledger.run(self.ledger.calls.lead(duty.name, self.name, seconds))

    def _give_up(self, duty: Duty) -> None:
        try:
            self._ask(duty, 0)
        except LedgerUnavailableError:
            logger.info("The duty '%s' is left to run out.", duty.name)

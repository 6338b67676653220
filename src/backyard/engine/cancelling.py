"""What a worker does about cancelled tasks: goes on with their children, tells the canvas, kills what overstays."""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import bootsteps

from backyard.core.errors import LedgerUnavailableError
from backyard.engine.canvas import tell_untold
from backyard.engine.force import Force
from backyard.ledger.ledger import Ledger

logger = logging.getLogger("backyard.cancel")

#: Seconds between two looks.
LOOK = 0.5


class Cancelling(bootsteps.StartStopStep):
    """Looks after cancelled tasks in a thread of its own: a solo pool's task holds the main one."""

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        services = consumer.app.services
        given = services.ledger
        # Of its own, so that no task can hold it up.
        self.ledger = Ledger(given.url, given.keys.yard, events_kept=given.calls.events_kept, timeout=given.timeout)
        self.app = consumer.app
        self.force = Force(consumer, self.ledger, services.cancel_grace)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Begin to look; a lost connection does not end it."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="backyard-cancel", daemon=True)
            self._thread.start()

    def shutdown(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
        """End with the worker."""
        self._end.set()

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Let the main thread kill what is overdue; Celery ends it with the connection, and calls again for another."""
        hub.call_repeatedly(LOOK, self.force.strike)

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except LedgerUnavailableError as error:
                logger.debug("The ledger is away, trying again: %s", error)
            except Exception:
                logger.exception("Looking after cancelled tasks met an error, and goes on")
            if self._end.wait(LOOK):
                return

    def look(self) -> None:
        """Do once what is to be done now.

        Raises:
            LedgerUnavailableError: The server is away.
        """
        while self.ledger.run(self.ledger.calls.descend()) and not self._end.is_set():
            pass
        while tell_untold(self.app, self.ledger) and not self._end.is_set():
            pass
        self.force.look()

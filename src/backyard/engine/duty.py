"""What a worker of ours has beside Celery's: a place in the registry, an end within its grace, a sign of life."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from celery import bootsteps

from backyard.core.errors import PoolError
from backyard.core.worker import WorkerState
from backyard.engine import forks
from backyard.engine.alive import SignOfLife
from backyard.engine.intake import intake
from backyard.engine.pools import require_time_limits
from backyard.engine.registry import Presence, pool_name, running_ids
from backyard.engine.shutdown import Departure
from backyard.ledger.ledger import Ledger

#: Seconds between two looks at the main loop.
TURN = 1.0

logger = logging.getLogger("backyard.duty")


class Duty(bootsteps.StartStopStep):
    """Begins before the worker reads its queues, in every pool and under both command lines."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        pool = pool_name(worker.pool_cls)
        try:
            given = worker.time_limit or worker.soft_time_limit
            require_time_limits(worker.app, pool, worker.app.amqp.queues.consume_from, given=given)
        except PoolError as error:
            raise SystemExit(f"Error: {error}") from None
        known, settings = worker.app.services.ledger, worker.app.yard_settings
        ledger = Ledger(known.url, known.keys.yard, timeout=known.timeout)
        self.presence = Presence(worker, ledger, settings.lease, self.on_drain)
        self.departure = Departure(worker, self.presence, settings.stop_grace)
        self.sign = self.sign_of_life(settings.alive_file) if settings.alive_file else None
        self.solo = pool == "solo"
        forks.install()

    def sign_of_life(self, path: Path) -> SignOfLife:
        """Return the sign of life, written with each beat."""
        sign = SignOfLife(path, lambda: self.presence.heard_at, self.is_held, self.presence.lease)
        self.presence.after_beat.append(sign.write)
        self.presence.at_end.append(sign.remove)
        return sign

    def start(self, worker: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Begin."""
        intake.turn()
        intake.read()
        self.departure.start()
        self.presence.start()

    def is_held(self) -> bool:
        """Whether the main thread rightly does something else than turn its loop."""
        return self.departure.begun or (self.solo and bool(running_ids()))

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Watch the main loop turn; called for each new connection."""
        hub.call_repeatedly(TURN, intake.turn)

    def close(self, worker: Any) -> None:
        """Take nothing more; called by Celery's main thread when the worker is to end, before it waits for the pool."""
        self.departure.heard()
        consumer = getattr(worker.consumer, "task_consumer", None)
        if consumer is not None:
            consumer.channel.stop_taking()
        batches = getattr(worker.consumer, "batches", None)
        if batches is not None and batches.hosting is not None:
            batches.hosting.end()

    def on_drain(self, *, stay: bool) -> None:
        """Take nothing more, for somebody asked; end when all that runs is finished, or stay.

        Args:
            stay: Whether to stay, idle.
        """
        logger.warning("Asked to drain: taking nothing more, %s", "staying idle" if stay else "ending when all is done")
        if stay:
            intake.closed = True
            self.presence.become(WorkerState.DRAINING)
        else:
            self.departure.begin(WorkerState.DRAINING, None)

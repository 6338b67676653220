"""How a worker comes back to a server that was away: it tries every second, where Celery waits up to half a minute."""

from __future__ import annotations

from typing import Any

import kombu

#: Seconds between two tries to connect, at first and at most.
FIRST, STEP, MOST = 0.2, 0.2, 1.0
#: Failed tries between two that are told of.
SILENT = 60


class PromptConnection(kombu.Connection):
    """A connection that is tried again soon, however long the server has been away, and says so now and then."""

    def _ensure_connection(self, errback: Any = None, max_retries: int | None = None, **options: Any) -> Any:
        pauses = {"interval_start": FIRST, "interval_step": STEP, "interval_max": MOST}
        tries = 0

        def tell(error: Exception, pause: float) -> None:
            nonlocal tries
            if errback is not None and tries % SILENT == 0:
                errback(error, pause)
            tries += 1

        return super()._ensure_connection(tell, max_retries, **{**pauses, **options})

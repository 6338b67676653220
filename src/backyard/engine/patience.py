"""How the result backend waits for its server: as long as it takes, with one line in the log for each outage."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery.utils.time import get_exponential_backoff_interval
from celery.worker import state as worker_state

logger = logging.getLogger("backyard.backend")


class PatientBackend:
    """Tries again what a server that is away did not answer. Celery's own would log a traceback for each try."""

    def _ensure_retryable(
        self: Any, function: Any, *args: Any, max_retries: float | None = None, **options: Any
    ) -> Any:
        if not self.always_retry:
            celery: Any = super()  # the backend that this one is mixed into
            return celery._ensure_retryable(function, *args, max_retries=max_retries, **options)  # noqa: SLF001
        given = {name: value for name, value in options.items() if not name.startswith("fallback_")}
        limit = self.max_retries if max_retries is None else max_retries
        tries = 0
        while True:
            try:
                answer = function(*args, **given)
            except Exception as error:
                # A worker that is told to end at once does not wait: what it held goes to another.
                if tries >= limit or _ending_at_once() or not self.exception_safe_to_retry(error):
                    raise
                if not tries:
                    logger.warning("The server is away, trying again until it answers: %s", error)
                tries += 1
                base, most = self.base_sleep_between_retries_ms, self.max_sleep_between_retries_ms
                time.sleep(get_exponential_backoff_interval(base, min(tries, 16), most, full_jitter=True) / 1000)
            else:
                if tries:
                    logger.warning("The server answers again, after %d tries", tries)
                return answer


def _ending_at_once() -> bool:
    """Whether this process is a worker in a cold shutdown; Celery keeps the exit code there, and 0 is one."""
    return worker_state.should_terminate is not None and worker_state.should_terminate is not False

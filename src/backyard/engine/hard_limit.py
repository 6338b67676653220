"""What follows a hard time limit: its child is killed, so the worker's main process decides in place of the attempt."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import signal
from typing import Any

from celery.exceptions import Retry, TimeLimitExceeded

from backyard.core.errors import LedgerUnavailableError
from backyard.core.states import RUNNING
from backyard.engine.again import decide, put_off
from backyard.engine.current import Attempt, set_current

logger = logging.getLogger("backyard.attempt")


def tried_again(request: Any, error: TimeLimitExceeded) -> bool:
    """Send a task anew whose policy allows another attempt; says whether it did.

    Args:
        request: Celery's request; its child is being killed.
        error: What the pool tells.
    """
    task = request.task
    if task.yard_definition is None:
        return False
    policy, spent = task.yard_definition.policy, request.request_dict.get("retries") or 0
    again = decide(error, policy, spent, task.max_retries, task.default_retry_delay)
    if again is None:
        return False
    ledger = task.yard_services.ledger
    try:
        record = ledger.run(ledger.calls.record(request.id))
    except LedgerUnavailableError as away:
        logger.warning("Task %s ran out of time and cannot be tried again: %s", request.id, away)
        return False
    if record is None or record.state not in RUNNING or record.text("worker") != request.hostname:
        return False
    # Nothing of the attempt may go on beside the next one.
    with contextlib.suppress(OSError):
        os.kill(request.worker_pid, signal.SIGKILL)
    attempt = Attempt(request.id, record.number("attempt"), str(request.hostname))
    contextvars.copy_context().run(_send, task, request, attempt, error, again)
    return True


def _send(task: Any, request: Any, attempt: Attempt, error: Exception, again: Any) -> None:
    """Send the task anew, as its attempt."""
    set_current(attempt)
    task.request_stack.push(request._context)  # noqa: SLF001 - what Celery itself hands to the backend here
    try:
        put_off(task, attempt, error, again)
    except Retry as sent:
        logger.warning("Task %s ran out of time in attempt %d: %s", request.id, attempt.number, sent)
    finally:
        task.request_stack.pop()

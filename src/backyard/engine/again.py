"""What follows an attempt that did not succeed: another one after a while, or none."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from celery.exceptions import Retry as SentAnew

from backyard.core.errors import InvalidInputError
from backyard.core.failure import failure_of
from backyard.core.models import Failure
from backyard.core.policy import Policy
from backyard.core.states import State
from backyard.core.wishes import GiveUp, Retry, Snooze
from backyard.engine.backend import InvalidResultError, kind_of
from backyard.engine.current import Attempt
from backyard.engine.discretion import cleansed
from backyard.ledger.call import Word

logger = logging.getLogger("backyard.attempt")


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt.

    Args:
        after: Seconds to wait, or the moment to wait for; only the server's clock says when that is.
        spends: Whether it spends a retry.
    """

    after: float | datetime
    spends: bool = True


def decide(error: Exception, policy: Policy | None, spent: int, limit: int | None, delay: float) -> Again | None:
    """Say what follows an attempt that raised an error; None where nothing does.

    Args:
        error: What it raised.
        policy: The definition's; None for a plain Celery task, which is tried again only where it asks for it.
        spent: Retries that the task has had.
        limit: Retries that it may have; None is any number.
        delay: Seconds that a plain task's retry waits, where it does not say.
    """
    if isinstance(error, Snooze):
        return Again(error.after, spends=False)
    # What does not fit its declaration will not fit later either.
    if isinstance(error, GiveUp | InvalidInputError | InvalidResultError) or (limit is not None and spent >= limit):
        return None
    kinds = kinds_of(cause_of(error))
    if isinstance(error, Retry):
        if error.after is not None:
            return Again(error.after)
        return Again(policy.wait_before_retry(spent + 1, kinds) if policy else delay)
    if policy is None or not policy.retries_after(kinds):
        return None
    return Again(policy.wait_before_retry(spent + 1, kinds))


def cause_of(error: BaseException) -> BaseException:
    """Return what went wrong: where a task asks for another try and does not say why, what it asks that for."""
    if not isinstance(error, Retry) or error.reason:
        return error
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__) or error


def kinds_of(error: BaseException) -> tuple[type[BaseException], ...]:
    """Return the classes that an error counts as: running out of time is a timeout by any name."""
    more = (TimeoutError,) if isinstance(error, SoftTimeLimitExceeded | TimeLimitExceeded) else ()
    return (type(error), *more)


def last_failure(error: BaseException, limit: int | None) -> Failure:
    """Describe the error after which there is no other attempt.

    Args:
        error: What the attempt raised.
        limit: Retries that its task may have.
    """
    cause = cause_of(error)
    failure = failure_of(cause, kind_of(cause))
    if not isinstance(cause, Retry):
        return failure
    why = f"Its {limit} retries are spent." if limit else "It may have none: declare it with retries=1 or more."
    return failure.model_copy(update={"message": f"{failure.message} {why}"})


def put_off(task: Any, attempt: Attempt, error: Exception, again: Again) -> NoReturn:
    """Send the task anew; its record says why from the same moment on.

    Args:
        task: The Celery task.
        attempt: Its running attempt.
        error: What that raised.
        again: The attempt to come.

    Raises:
        celery.exceptions.Retry: It was sent anew.
    """
    cause = cleansed(cause_of(error), attempt.secrets)
    limit = task.max_retries
    spent = task.request.retries + again.spends
    say_why(task, attempt, cause, None if limit is None else limit - spent)
    when = {"eta": again.after} if isinstance(again.after, datetime) else {"countdown": again.after}
    if isinstance(error, SoftTimeLimitExceeded):
        logger.warning("Task %s ran out of time in attempt %d", attempt.task_id, attempt.number)
    task.signature_from_request(task.request, retries=spent, **when).apply_async()
    raise SentAnew(exc=cause, when=again.after) from cleansed(error, attempt.secrets)


def say_why(task: Any, attempt: Attempt, cause: BaseException | None, left: int | None) -> None:
    """Note what the record of a task is to say while it waits for another attempt.

    Args:
        task: The Celery task.
        attempt: Its running attempt.
        cause: What went wrong; None where nothing did, or nobody said.
        left: Retries that are left; None is any number.
    """
    cause = cleansed(cause or sys.exc_info()[1] or Retry(), attempt.secrets)
    backend = task.backend
    told = {"kind": "snooze", "message": str(cause)}
    fields: dict[str, Word] = {"exception": backend.encode(backend.encode_result(cause, State.RETRY)), "failure": ""}
    if not isinstance(cause, Snooze):
        failure = attempt.failure = failure_of(cause, kind_of(cause))
        told = {"kind": failure.kind, "type": failure.type, "message": failure.message}
        fields["failure"] = failure.model_dump_json(exclude_none=True)
        fields["traceback"] = failure.traceback or ""
    fields["reason"] = json.dumps(told)
    fields["retries_left"] = "" if left is None else max(left, 0)
    extras = backend.extras(task.request)
    if extras:
        fields["celery"] = backend.encode(extras)
    attempt.farewell = fields

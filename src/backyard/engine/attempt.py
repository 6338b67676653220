"""One attempt of a task, from its start to its outcome."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from billiard.common import terminate_handler_fired
from billiard.exceptions import WorkerLostError
from celery.exceptions import (
    Ignore,
    Reject,
    Retry,
    TaskRevokedError,
    WorkerShutdown,
    WorkerTerminate,
)
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from backyard.context import Context
from backyard.core.definition import Definition
from backyard.core.errors import InvalidInputError, LedgerUnavailableError, TaskCancelledError, TaskFailedError
from backyard.core.failure import failure_of
from backyard.core.states import Verb
from backyard.engine import flight, soft_limit
from backyard.engine.again import cause_of, decide, last_failure, put_off
from backyard.engine.backend import InvalidResultError, kind_of
from backyard.engine.current import Attempt, set_current, started_ahead
from backyard.engine.discretion import cleansed, discreet, hushed
from backyard.engine.limits import limits_of
from backyard.engine.loop import loop_thread
from backyard.engine.message import ETA
from backyard.engine.task_log import Kept, open_log
from backyard.files import Files
from backyard.ledger.ledger import Ledger
from backyard.ledger.task_calls import Deaths, Started
from backyard.ledger.task_log import ROOM

logger = logging.getLogger("backyard.attempt")

#: Seconds between two tries to start while the server is away.
AWAY = 0.5
#: Why the ledger refuses an attempt for good, and the exception that stands for it among Celery's own callers.
NEVER: dict[str, type[Exception]] = {"expired": TaskRevokedError, "lost": WorkerLostError}


@dataclass(slots=True)
class Services:
    """What attempts of a yard work with.

    Args:
        ledger: The yard's ledger.
        files: Its files.
        prefix: Returns the path that the yard's routes begin with.
        deaths: How often its tasks may take their process or worker with them.
        cancel_grace: Seconds a cancelled task gets to stop by itself.
        max_running: Tasks that the yard may run at once; None is any number.
        log_level: The least serious level of `logging` output that is kept with a task.
        log_room: Bytes of log lines kept of an attempt.
    """

    ledger: Ledger
    files: Files
    prefix: Callable[[], str]
    deaths: Deaths = field(default_factory=Deaths)
    cancel_grace: float = 10.0
    max_running: int | None = None
    log_level: str = "info"
    log_room: int = ROOM


class Attempted(Protocol):
    """What an attempt needs of its Celery task."""

    name: str
    yard_definition: Definition | None
    yard_deaths: Deaths
    request: Any
    backend: Any
    yard_call: Callable[..., Any]
    max_retries: int | None
    default_retry_delay: float

    @property
    def yard_services(self) -> Services:
        """Ledger and files of the yard the task belongs to."""


def run_attempt(task: Attempted, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run one attempt, and return its result as plain JSON values for Celery to pass on.

    Raises:
        celery.exceptions.Ignore: The attempt was not to start, or the task was cancelled; its entry is dropped.
        celery.exceptions.Retry: It failed, and the policy allows another.
        celery.exceptions.Reject: The task asked for its entry to be dropped or given back.
        Exception: It failed for good.
    """
    soft_limit.hold_off()
    attempt = start(task, args, kwargs)
    try:
        with Kept(attempt, leaving), soft_limit.heeded():
            return perform(task, attempt, args, kwargs)
    except (Ignore, Reject, Retry) as wish:
        follow(task, attempt, wish)
        cleansed(wish, attempt.secrets)
        raise
    except Exception as error:
        if attempt.stopped:
            stop(task, attempt, error)
        policy = task.yard_definition.policy if task.yard_definition else None
        again = decide(error, policy, task.request.retries, task.max_retries, task.default_retry_delay)
        if again is not None:
            put_off(task, attempt, error, again)
        attempt.failure = hushed(last_failure(error, task.max_retries), attempt.secrets)
        cause = cleansed(cause_of(error), attempt.secrets)
        if isinstance(cause, MemoryError) or not isinstance(cause, Exception):
            # Celery lets it end the whole worker, and all who run beside this task.
            raise harmless(cause) from None
        if cause is not error:
            raise cause from None  # what the last retry was asked for, or what stands for an error that tells a secret
        raise
    except BaseException as error:
        if leaving(error):
            raise
        attempt.failure = hushed(failure_of(error, kind_of(error)), attempt.secrets)
        raise harmless(cleansed(error, attempt.secrets)) from None


def perform(task: Attempted, attempt: Attempt, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Read the input, call the function, check the output."""
    definition = task.yard_definition
    if definition is None:
        return task.yard_call(args, kwargs)
    services = task.yard_services
    context = Context(
        attempt.task_id,
        definition.name,
        attempt.number,
        services.ledger,
        services.files,
        prefix=services.prefix(),
        log=attempt.log,
    )
    context.recorder = flight.line
    try:
        text, attempt.secrets = open_input(definition, args, kwargs)
        context.secrets = attempt.secrets
        with discreet(attempt.secrets):
            arguments = definition.arguments(definition.parse(text))
            return encode_output(definition, attempt, call(definition, context, arguments, services))
    except TaskCancelledError:
        # Another task's result may raise it as well, and that is a failure like any other.
        attempt.stopped = context.stopping
        raise
    finally:
        context.close()


def start(task: Attempted, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Attempt:
    """Begin the attempt in the ledger, where only the task's living queue entry may begin one.

    A server that is away is waited for: the task has not run, so nothing has failed.
    """
    set_current(None)
    request, services = task.request, task.yard_services
    worker = request.hostname or "unknown"
    answer = started_ahead(request.id) or ask_to_start(task, worker, args, kwargs)
    if answer.attempt is None:
        logger.info("Task %s does not start: %s", request.id, answer.reason)
        if answer.reason in NEVER:
            # The record says so already; this tells the task's chain, chord and errbacks.
            task.backend.mark_as_failure(request.id, NEVER[answer.reason](answer.reason), request=request)
        raise Ignore(answer.reason)
    if soft_limit.came():
        give_way(request.id)
    request.eta = request.get(ETA)
    attempt = Attempt(request.id, answer.attempt, worker, root_id=request.root_id or "")
    attempt.log = open_log(attempt, task.name, services.ledger, services.log_level, services.log_room)
    set_current(attempt)
    flight.begin(attempt.task_id, attempt.number, attempt.log.scrub)
    return attempt


def ask_to_start(task: Attempted, worker: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Started:
    """Ask the ledger for the attempt, for as long as its server is away."""
    request, services = task.request, task.yard_services
    limits = limits_of(task.yard_definition, args, kwargs, services.max_running)
    entry = request.get("entry") or ""
    call = services.ledger.calls.start(request.id, entry, uuid.uuid4().hex, worker, task.yard_deaths, limits)
    waits = False
    while True:
        try:
            return services.ledger.run(call)
        except LedgerUnavailableError as error:
            if not waits:
                logger.warning("Task %s waits to start: %s", request.id, error)
            waits = True
            if soft_limit.came():
                give_way(request.id)
            time.sleep(AWAY)


def give_way(task_id: str) -> NoReturn:
    """Leave a task to a later start, since its time went by while the server was away.

    Raises:
        celery.exceptions.Reject: Always; its entry is given back, and nothing counts against it.
    """
    raise Reject(f"task {task_id} had no time left when it could start", requeue=True)


def follow(task: Attempted, attempt: Attempt, wish: Exception) -> None:
    """Do what the ledger has to do with what a task asked of Celery."""
    calls = task.yard_services.ledger.calls
    if isinstance(wish, Ignore) and not attempt.replaced:
        # The task is over; where it was sent anew, or given a final state, this is refused and that stands.
        task.backend.insist(calls.move(Verb.SUCCEED, attempt.task_id, attempt=attempt.number))
    elif isinstance(wish, Reject) and wish.requeue:
        # Given back by its own wish, it does not count as lost, as it would if the worker did it.
        queue, lane, entry = task.request.properties["delivery_tag"].rsplit("/", 2)
        task.backend.insist(calls.give_back([(queue, lane, entry)], "asked"))


def leaving(error: BaseException) -> bool:
    """Whether an exception is the process's own way to its end, which no task may stop."""
    return isinstance(error, WorkerShutdown | WorkerTerminate) or terminate_handler_fired()


def harmless(error: BaseException) -> TaskFailedError:
    """Return a failure in place of an exception that would end the worker."""
    return TaskFailedError(f"{type(error).__name__}: {error}".rstrip(": "))


def open_input(
    definition: Definition, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[str | bytes, tuple[str, ...]]:
    """Return the message's arguments as JSON text, and the texts that would give its secrets away."""
    names = definition.shape.names
    if len(args) > len(names):
        raise InvalidInputError(f"{definition.name} takes {len(names)} arguments and got {len(args)}.")
    values = {**dict(zip(names, args, strict=False)), **kwargs}
    return definition.open(to_json(values, bytes_mode="base64"))


def call(definition: Definition, context: Context, arguments: dict[str, Any], services: Services) -> Any:
    """Call the function; a coroutine runs on the process's one event loop."""
    if definition.shape.context is not None:
        arguments[definition.shape.context] = context
    value = definition.function(**arguments)
    if not definition.shape.is_async:
        return value
    return loop_thread().run(value, context, services.ledger, services.cancel_grace)


def encode_output(definition: Definition, attempt: Attempt, value: Any) -> Any:
    """Check the result, and keep it as JSON for the record."""
    try:
        attempt.encoded = definition.encode_result(value)
    except (ValidationError, PydanticSerializationError, RecursionError) as error:
        raise InvalidResultError(
            f"{definition.name} returned something else than it declares: {error}. Mend the function or its annotation."
        ) from error
    return from_json(attempt.encoded)


def stop(task: Attempted, attempt: Attempt, error: Exception) -> NoReturn:
    """End a task that was cancelled while it ran.

    Raises:
        celery.exceptions.Ignore: Always; nothing is left to be stored.
    """
    calls = task.yard_services.ledger.calls
    data = '{"reason":"cancelled"}'
    moved = task.backend.insist(calls.move(Verb.STOP, attempt.task_id, attempt=attempt.number, data=data))
    logger.info("Task %s was cancelled in attempt %d (%s)", attempt.task_id, attempt.number, moved.outcome)
    raise Ignore("cancelled") from error

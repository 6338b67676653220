"""The Celery task class of a yard: typed definitions and plain ``@app.task`` functions alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Task
from celery.exceptions import Ignore
from pydantic import BaseModel
from pydantic_core import from_json
from uuid_utils import uuid7

from backyard.core.definition import Definition
from backyard.engine import flight
from backyard.engine.again import say_why
from backyard.engine.attempt import Services, run_attempt
from backyard.engine.current import accepted_for, current_attempt, running, what_was_raised
from backyard.engine.message import UNIQUE, WEBHOOK, WINDOW
from backyard.engine.task_log import say_all
from backyard.ledger.keys import PRIORITY
from backyard.ledger.task_calls import ONCE, Deaths

#: Seconds between the soft limit, which the task can catch, and the hard one, which ends its process.
GRACE = 5.0
#: Options of a part of a canvas. It is never taken for another: that would not go on with what comes after this one.
CANVAS = {"chain", "chord", "group_id", "link", "link_error"}
#: How a running task's own submits are tried again: until the server is back.
PATIENT = {"max_retries": None, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 1.0}


class BackyardTask(Task):
    """A task whose attempts are started, fenced and recorded by the ledger.

    What it adds begins with ``yard_``, for users' own task classes are mixed with it.
    """

    abstract = True
    yard_definition: Definition | None = None
    #: Arguments are checked against the definition's own model, which says more than Celery's check.
    typing = True
    #: Whether the task may run at most once: the first death under it is its end.
    yard_once = False
    Request = "backyard.engine.steps:Request"

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Take Celery's ways of saying "at most once" as one loss: entries are never dropped before the outcome."""
        super().on_bound(app)
        if not cls.acks_late or not cls.reject_on_worker_lost:
            cls.acks_late = cls.reject_on_worker_lost = True
            cls.yard_once = True

    @property
    def yard_deaths(self) -> Deaths:
        """How often the task may take its process or worker with it before it ends as FAILURE."""
        if self.yard_once:
            return ONCE
        known = self.yard_services.deaths
        policy = self.yard_definition.policy if self.yard_definition else None
        return known if policy is None else known.of(policy)

    @property
    def yard_services(self) -> Services:
        """Ledger and files of the yard this task belongs to."""
        services: Services = self.app.services
        return services

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run here when called directly, as an attempt when a worker calls."""
        if self.request.called_directly or self.request.is_eager:
            return self.run(*args, **kwargs)
        if (raised := what_was_raised(self.request.id)) is not None:
            raise raised
        try:
            return run_attempt(self, args, kwargs)
        finally:
            flight.end()

    def yard_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call what the task is: its own class's ``__call__``, if it has one, and then ``run``."""
        return super().__call__(*args, **kwargs)

    def replace(self, sig: Any) -> Any:
        """Put other tasks in this one's place; the last of them bears its id.

        Raises:
            celery.exceptions.Ignore: Always, in a worker.
        """
        attempt = current_attempt(self.request.id)
        if attempt is not None:
            attempt.replaced = True
            say_all(attempt)
            # Said before they are sent: the last of them may arrive at once, and is let in by this alone.
            calls = self.yard_services.ledger.calls
            said = calls.note(attempt.task_id, attempt.number, "replaced", "null", fields={"replaced": 1})
            if not self.backend.insist(said):
                raise Ignore("stale")
        return super().replace(sig)

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: Any = None,
        *rest: Any,
        **options: Any,
    ) -> Any:
        """Send the task anew, as Celery's users do; its record says why from the same moment on.

        Raises:
            celery.exceptions.Retry: It was sent.
        """
        attempt = current_attempt(self.request.id)
        if attempt is not None:
            say_all(attempt)
            limit = options.get("max_retries")
            limit = self.max_retries if limit is None else limit
            left = None if limit is None else limit - self.request.retries - 1
            say_why(self, attempt, exc if isinstance(exc, BaseException) else None, left)
        return super().retry(args, kwargs, exc, *rest, **options)

    def apply_async(
        self,
        args: tuple[Any, ...] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Any,
    ) -> Any:
        """Submit as Celery's users do; a typed definition checks its arguments here, at the door.

        Raises:
            InvalidInputError: The arguments do not fit the definition.
        """
        if options.get("priority") is None:
            options.pop("priority", None)  # canvas says None where it knows of none; the task itself knows better
        if running():
            # A worker waits for its server: what a task sends, its own retry too, is not lost for a restart of it.
            options.setdefault("retry_policy", PATIENT)
        if self.yard_definition is not None:
            options.setdefault("queue", self.yard_definition.policy.queue)
            options.setdefault("priority", PRIORITY[self.yard_definition.policy.priority])
            if self.yard_definition.policy.webhook is not None and not options.get("retries"):
                options["headers"] = {**(options.get("headers") or {}), WEBHOOK: self.yard_definition.policy.webhook}
            if not options.get("retries") and "parent_id" not in options:
                # What a worker sends on, from a chain, say, is for its receiver to refuse: the sender has succeeded.
                model = self.yard_definition.bind(tuple(args or ()), kwargs or {})
                args, kwargs = (), from_json(self.yard_definition.encode(model))
                alone = not any(options.get(name) for name in CANVAS)
                if self.yard_definition.policy.unique is not None and alone:
                    options["headers"] = {**(options.get("headers") or {}), **_unique(self.yard_definition, model)}
        task_id = task_id or str(uuid7())
        sent = super().apply_async(args, dict(kwargs or {}), task_id, **options)
        made = accepted_for(task_id)
        return sent if made == task_id else self.AsyncResult(made)


def _unique(definition: Definition, model: BaseModel) -> dict[str, Any]:
    """Return the headers that say how long a task is in the way of others like it."""
    return {UNIQUE: definition.unique(model, definition.encode(model)), WINDOW: definition.unique_window}


def adopted(base: type) -> type:
    """Return a task class of the user's as one of ours, whose attempts are recorded.

    Args:
        base: A subclass of Celery's Task.
    """
    return base if issubclass(base, BackyardTask) else type(base.__name__, (BackyardTask, base), {"abstract": True})


def task_options(definition: Definition) -> dict[str, Any]:
    """Return a definition's policy as options of a Celery task."""
    policy = definition.policy
    limits = {} if policy.timeout is None else {"soft_time_limit": policy.timeout, "time_limit": policy.timeout + GRACE}
    return {
        "name": definition.name,
        "yard_definition": definition,
        "max_retries": policy.retries,
        "typing": False,
        # Celery would put it into every other app of the process as well, and yards share nothing.
        "shared": False,
        **limits,
    }

"""Class Backyard: where a yard's definitions, its ledger, its engine and its doors meet."""

from __future__ import annotations

import asyncio
import difflib
import re
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, overload

from celery import Celery

from backyard.context import Context
from backyard.core.definition import Definition, define
from backyard.core.errors import (
    DefinitionError,
    LedgerUnavailableError,
    UnknownDefinitionError,
)
from backyard.core.explain import explain_task
from backyard.core.schedule import ScheduleSpec
from backyard.core.vault import Vault
from backyard.core.why import Why
from backyard.core.worker import Worker, named
from backyard.embedded.server import running_server_url
from backyard.engine.app import make_celery
from backyard.engine.attempt import Services
from backyard.engine.queues import add_queue, queue_names
from backyard.engine.task import task_options
from backyard.files import Files
from backyard.handle import TaskHandle
from backyard.ledger.feed import Feed
from backyard.ledger.ledger import Ledger
from backyard.ledger.submission import Accepted, Submission
from backyard.ledger.task_calls import Deaths
from backyard.pauses import Pauses
from backyard.public_links import PublicLinks
from backyard.schedules import Schedules
from backyard.settings import Settings, load_settings
from backyard.submit import Batch, Options, agreed, in_turns, submission
from backyard.typed import Decorator, TypedTask

if TYPE_CHECKING:
    from fastapi import FastAPI

    from backyard.history.database import History

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_URL = "redis://127.0.0.1:6379/0"
#: Whether the program that is imported now will serve HTTP; the roles that do not say so, and save 25 MB of routes.
serves_http = ContextVar("serves_http", default=True)


class Backyard(Pauses, PublicLinks, Schedules):
    """A yard: a set of definitions with one ledger, one engine and one place for files.

    Args:
        name: Its name; yards of different names share nothing, on one server too.
        settings: Its settings; None reads them from the environment.

    Raises:
        DefinitionError: The name cannot work.
        SettingsError: An environment variable has a value that cannot work.
    """

    def __init__(self, name: str = "backyard", *, settings: Settings | None = None) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name):
            raise DefinitionError(
                f"'{name}' cannot be a yard's name: use letters, digits, '_' and '-', a letter first."
            )
        self.name = name
        self.settings = settings or load_settings()
        self.definitions: dict[str, Definition] = {}
        self.declared_schedules: dict[str, ScheduleSpec] = {}
        #: Path that the yard's routes begin with, set by :meth:`mount`.
        self.prefix = ""
        self._listeners: list[Callable[[Definition], None]] = []
        self._feeds: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Feed] = weakref.WeakKeyDictionary()

    # -- parts ----------------------------------------------------------------------------------------------------

    @cached_property
    def url(self) -> str:
        """URL of the ledger's server: the settings', else the data directory's running server, else the usual port."""
        return self.settings.redis_url or running_server_url(self.settings.data_dir) or DEFAULT_URL

    @cached_property
    def ledger(self) -> Ledger:
        """The live truth."""
        return Ledger(self.url, self.name, events_kept=self.settings.events_kept, timeout=self.settings.redis_timeout)

    @cached_property
    def files(self) -> Files:
        """Uploaded files and artifacts."""
        return Files.from_settings(self.settings)

    @cached_property
    def history(self) -> History:
        """The durable past."""
        from backyard.history.database import History  # noqa: PLC0415 - workers need none, and SQLAlchemy takes 20 MB

        return History.open(self.settings.history_url, self.settings.data_dir, self.name)

    @cached_property
    def celery(self) -> Celery:
        """The Celery app: for ``celery -A module:yard.celery worker``, canvas, signals and Flower."""
        deaths = Deaths(self.settings.loss_limit, self.settings.crash_limit)
        known = self.settings
        services = Services(
            self.ledger, self.files, lambda: self.prefix, deaths, known.cancel_grace, known.max_running,
            known.task_log_level, known.task_log_max,
        )  # fmt: skip
        return make_celery(self.name, self.url, self.settings, services)

    @cached_property
    def vault(self) -> Vault | None:
        """The keys that secret inputs are sealed with; None where the settings have none."""
        keys = [key.get_secret_value() for key in self.settings.secret_keys]
        return Vault(keys) if keys else None

    @property
    def feed(self) -> Feed:
        """The live news, for the running event loop."""
        loop = asyncio.get_running_loop()
        feed = self._feeds.get(loop)
        if feed is None:
            feed = self._feeds[loop] = Feed(self.ledger)
        return feed

    # -- definitions ----------------------------------------------------------------------------------------------

    @overload
    def task(self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /) -> TypedTask[P, R]: ...

    @overload
    def task(self, function: Callable[Concatenate[Context, P], R], /) -> TypedTask[P, R]: ...

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> TypedTask[P, R]: ...

    @overload
    def task(self, function: Callable[P, R], /) -> TypedTask[P, R]: ...

    @overload
    def task(
        self, /, *, name: str | None = ..., example: Mapping[str, Any] | None = ..., **options: Any
    ) -> Decorator: ...

    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        example: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Register a typed function as a definition.

        Args:
            function: A ``def`` or ``async def`` function with annotated parameters.
            name: The definition's name; None takes the function's.
            example: An input for the documentation.
            options: ``queue``, ``timeout``, ``retries``, ``backoff``, ``backoff_max``, ``priority``, ``expires`` and
                ``result_expires``, and all others described in :class:`~backyard.core.policy.Policy`.

        Raises:
            DefinitionError: The function or an option cannot work; the message says what to do.
        """
        if function is None:
            return lambda given: self._register(given, name, example, options)
        return self._register(function, name, example, options)

    def _register(
        self, function: Callable[..., Any], name: str | None, example: Mapping[str, Any] | None, options: dict[str, Any]
    ) -> TypedTask[Any, Any]:
        definition = define(function, name, example, self.vault, self.settings.checked_webhook, **options)
        known = self.definitions.get(definition.name)
        if known is not None and _place(known) != _place(definition):
            raise DefinitionError(
                f"Two functions are registered as '{definition.name}': {_place(known)} and {_place(definition)}. "
                "Give one of them another name with @yard.task(name=...)."
            )
        add_queue(self.celery, definition.policy.queue)
        self.celery.tasks.pop(definition.name, None)
        engine_task = self.celery.task(**task_options(definition))(definition.function)
        self.definitions[definition.name] = definition
        for listener in self._listeners:
            listener(definition)
        return TypedTask(self, definition, engine_task)

    def definition(self, name: str) -> Definition:
        """Return a definition by name.

        Raises:
            UnknownDefinitionError: There is none; the message names the closest.
        """
        if name in self.definitions:
            return self.definitions[name]
        close = difflib.get_close_matches(name, self.definitions, n=1)
        hint = f"Did you mean '{close[0]}'?" if close else "GET /definitions lists them."
        raise UnknownDefinitionError(f"There is no definition '{name}'. {hint}")

    def on_define(self, listener: Callable[[Definition], None]) -> None:
        """Call a function for each definition, those that are there and those to come."""
        for definition in list(self.definitions.values()):
            listener(definition)
        self._listeners.append(listener)

    def queues(self) -> list[str]:
        """Return the names of the queues that workers of this yard read."""
        return queue_names(self.celery)

    def queue_depths(self, names: Sequence[str]) -> dict[str, int]:
        """Count the ready entries of queues.

        Raises:
            LedgerUnavailableError: The server is away.
        """
        return self.ledger.run(self.ledger.calls.depth(list(names)))

    def workers(self) -> list[Worker]:
        """List the workers that spoke lately: what they are, what they know, what they run.

        Raises:
            LedgerUnavailableError: The server is away.
        """
        return self.ledger.run(self.ledger.calls.workers())

    def drain(self, names: Sequence[str] = (), *, stay: bool = False) -> list[str]:
        """Tell workers to finish what they run and to take nothing more; they obey within two seconds.

        Args:
            names: Their names, or what stands before the @; none means all.
            stay: Whether they stay, idle, instead of ending.

        Returns:
            The full names of those that were told.

        Raises:
            UnknownWorkerError: There is no such worker.
            LedgerUnavailableError: The server is away.
        """
        told = self.ledger.run(self.ledger.calls.drain(named(self.workers(), names), stay=stay))
        return [name for name, there in told.items() if there]

    # -- submit ---------------------------------------------------------------------------------------------------

    async def submit(self, definition: Definition, payload: bytes, options: Options) -> TaskHandle[Any]:
        """Submit a checked input.

        Args:
            definition: What it is a task of.
            payload: The input as JSON text, checked by the definition.
            options: What this submit says beside it.

        Raises:
            IdempotencyConflictError: The key was used for another input.
            LedgerUnavailableError: The server is away; its ``task_id`` makes repeating the submit safe.
        """
        _, accepted = await self.accept(definition, payload, options)
        return self._handle(definition, accepted)

    async def accept(self, definition: Definition, payload: bytes, options: Options) -> tuple[Submission, Accepted]:
        """Submit a checked input, and return what was sent, with the ledger's answer; as :meth:`submit` else."""
        ready = submission(definition, payload, options, self.settings)
        try:
            (accepted,) = await self.ledger.asubmit([ready])
        except LedgerUnavailableError as error:
            raise LedgerUnavailableError(error.message, ready.task_id) from error
        return ready, agreed(ready, accepted)

    def submit_sync(self, definition: Definition, payload: bytes, options: Options) -> TaskHandle[Any]:
        """Submit a checked input outside of an event loop; arguments and errors as for :meth:`submit`."""
        ready = submission(definition, payload, options, self.settings)
        try:
            (accepted,) = self.ledger.submit([ready])
        except LedgerUnavailableError as error:
            raise LedgerUnavailableError(error.message, ready.task_id) from error
        return self._handle(definition, agreed(ready, accepted))

    async def submit_many(
        self, definition: Definition, payloads: Sequence[bytes], options: Options, task_ids: Sequence[str] = ()
    ) -> list[TaskHandle[Any]]:
        """Submit many checked inputs, a part of them a round trip.

        Args:
            definition: What they are tasks of.
            payloads: The inputs as JSON text, checked by the definition.
            options: What all of them say beside; with an idempotency key, repeating the batch makes each task once.
            task_ids: Their ids, in the order of the inputs, if the caller has made them.

        Raises:
            IdempotencyConflictError: The key was used for another batch, and nothing was submitted.
            LedgerUnavailableError: The server is away; its ``task_ids`` make repeating the submit safe.
        """
        batch = Batch.of(definition, payloads, options, task_ids)
        handles: list[TaskHandle[Any]] = []

        def take(ready: list[Submission], accepted: list[Accepted]) -> None:
            handles.extend(self._handle(definition, agreed(*pair)) for pair in zip(ready, accepted, strict=True))

        try:
            await in_turns(batch.parts(self.settings), self.ledger.asubmit, take)
        except LedgerUnavailableError as error:
            sure = f"{error.message} Of {len(payloads)} tasks, {len(handles)} were accepted for certain."
            raise LedgerUnavailableError(sure, task_ids=list(batch.task_ids)) from error
        return handles

    def handle(self, task_id: str, name: str | None = None) -> TaskHandle[Any]:
        """Return a handle of a task that was submitted before, here or elsewhere.

        Args:
            task_id: The task's id.
            name: The definition's name, so that the result comes back as its own type.
        """
        definition = self.definition(name) if name else None
        return TaskHandle(task_id, definition, self.ledger, lambda: self.feed)

    async def cancel(self, task_ids: Sequence[str], *, children: bool = True) -> dict[str, str]:
        """Cancel many tasks, a part of them a round trip.

        Args:
            task_ids: The tasks' ids.
            children: Whether what they have submitted is cancelled as well, and what that has submitted.

        Returns:
            For each id ``cancelled``, ``requested`` (it runs, and is told to stop), ``final`` or ``unknown``.

        Raises:
            LedgerUnavailableError: The server is away; repeat it.
        """
        return dict(zip(task_ids, await self.ledger.acancel(task_ids, children=children), strict=True))

    def cancel_sync(self, task_ids: Sequence[str], *, children: bool = True) -> dict[str, str]:
        """Cancel many tasks outside of an event loop; arguments and errors as for :meth:`cancel`."""
        return dict(zip(task_ids, self.ledger.cancel(task_ids, children=children), strict=True))

    async def why(self, task_id: str) -> Why:
        """Say why a task is where it is, in one sentence with evidence.

        Args:
            task_id: The task's id.

        Raises:
            UnknownTaskError: There is no such task.
            LedgerUnavailableError: The server is away.
        """
        facts = await self.ledger.arun(self.ledger.calls.why(task_id))
        return explain_task(task_id, facts, await self.ledger.arun(self.ledger.calls.workers()), self.definitions)

    def why_sync(self, task_id: str) -> Why:
        """Say why a task is where it is, outside of an event loop; argument and errors as for :meth:`why`."""
        facts = self.ledger.run(self.ledger.calls.why(task_id))
        return explain_task(task_id, facts, self.ledger.run(self.ledger.calls.workers()), self.definitions)

    def _handle(self, definition: Definition, accepted: Accepted) -> TaskHandle[Any]:
        created = accepted.outcome == "created"
        return TaskHandle(accepted.task_id, definition, self.ledger, lambda: self.feed, created=created)

    # -- doors ----------------------------------------------------------------------------------------------------

    def mount(self, app: FastAPI, prefix: str = "") -> None:
        """Put the yard's routes into a FastAPI app, and its start and stop into the app's lifespan.

        The roles that serve no HTTP, such as ``backyard worker``, only take note of the prefix.

        Args:
            app: Your app.
            prefix: Path that all routes begin with, such as ``/jobs``.
        """
        if not serves_http.get():
            self.prefix, app.state.backyard = prefix, self  # all that is asked of an app there
            return
        from backyard import api, console  # noqa: PLC0415 - doors stand above; a program without HTTP never opens them

        api.mount(self, app, prefix)
        console.mount(self, app, prefix)

    async def end_watching(self) -> None:
        """End what waits for news on the running event loop: open streams would hold a server's end up."""
        feed = self._feeds.pop(asyncio.get_running_loop(), None)
        if feed is not None:
            await feed.close()

    async def close(self) -> None:
        """Close what belongs to the running event loop, and what threads share."""
        await self.end_watching()
        await self.ledger.aclose()
        self.ledger.close()


def _place(definition: Definition) -> str:
    return f"{definition.function.__module__}.{definition.function.__qualname__}"

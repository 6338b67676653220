"""What ``@yard.task`` leaves in place of the function: callable as before, and submittable."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from backyard.context import Context
from backyard.core.definition import Definition
from backyard.handle import TaskHandle
from backyard.submit import Options

if TYPE_CHECKING:
    from celery import Task

P = ParamSpec("P")
R = TypeVar("R")


class Yard(Protocol):
    """What a task needs of the yard it belongs to."""

    name: str

    async def submit(self, definition: Definition, payload: bytes, options: Options) -> TaskHandle[Any]:
        """Submit a checked input."""

    def submit_sync(self, definition: Definition, payload: bytes, options: Options) -> TaskHandle[Any]:
        """Submit a checked input outside of an event loop."""

    async def submit_many(
        self, definition: Definition, payloads: Sequence[bytes], options: Options, task_ids: Sequence[str] = ()
    ) -> list[TaskHandle[Any]]:
        """Submit many checked inputs."""


class TypedTask(Generic[P, R]):
    """A definition, callable like its function and submittable like a task.

    Args:
        yard: The yard it belongs to.
        definition: What was declared.
        engine_task: The Celery task of the same name.
        options: What each submit says beside its input.
    """

    __name__: str

    def __init__(
        self, yard: Yard, definition: Definition, engine_task: Task[Any, Any], options: Options | None = None
    ) -> None:
        self.yard = yard
        self.definition = definition
        self.celery_task = engine_task
        self.options = options or Options()
        functools.update_wrapper(self, definition.function)

    def __repr__(self) -> str:
        return f"<task {self.definition.name} of {self.yard.name}>"

    @property
    def name(self) -> str:
        """The definition's name."""
        return self.definition.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function here, with no queue; a missing context is a local one, whose artifacts go to a new folder.

        Raises:
            InvalidInputError: The arguments do not fit.
        """
        context, rest, named = self._split(args, kwargs)
        if context is None and self.definition.shape.context is not None:
            context = Context.local(tempfile.mkdtemp(prefix="backyard-"), self.name)
        return self.definition.call(context, rest, named)

    def with_options(self, **options: Any) -> TypedTask[P, R]:
        """Return the same task, to be submitted with options.

        Args:
            options: ``delay``, ``at``, ``priority``, ``queue``, ``expires``, ``tags``, ``idempotency_key``,
                ``task_id`` or ``webhook``; see :class:`~backyard.submit.Options`.

        Raises:
            InvalidInputError: An option is unknown or cannot work.
        """
        return TypedTask(self.yard, self.definition, self.celery_task, self.options.having(**options))

    async def submit(self, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """Submit a task; awaiting it never blocks the event loop.

        The context parameter is left out: the worker provides it.

        Raises:
            InvalidInputError: The arguments do not fit; its errors name the fields.
            LedgerUnavailableError: The server is away; its ``task_id`` makes repeating the submit safe.
        """
        return await self.yard.submit(self.definition, self._payload(args, kwargs), self.options)

    def submit_sync(self, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """Submit a task outside of an event loop; arguments and errors as for :meth:`submit`."""
        return self.yard.submit_sync(self.definition, self._payload(args, kwargs), self.options)

    async def submit_many(
        self, inputs: Iterable[Mapping[str, Any]], *, task_ids: Sequence[str] = ()
    ) -> list[TaskHandle[R]]:
        """Submit many tasks, a part of them a round trip.

        Args:
            inputs: For each task its arguments by name.
            task_ids: Their ids, in that order, if the caller has made them.

        Raises:
            InvalidInputError: The arguments of one do not fit, and none was submitted.
            IdempotencyConflictError: The key was used for another batch, and none was submitted.
            LedgerUnavailableError: The server is away; its ``task_ids`` make repeating the submit safe.
        """
        payloads = [self._payload((), dict(one)) for one in inputs]
        return await self.yard.submit_many(self.definition, payloads, self.options, task_ids)

    def _payload(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        _, rest, named = self._split(args, kwargs)
        return self.definition.encode(self.definition.bind(rest, named))

    def _split(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Context | None, tuple[Any, ...], dict[str, Any]]:
        """Take the context out of the arguments, wherever the function has it."""
        name = self.definition.shape.context
        context = None
        if name is not None and name in kwargs:
            kwargs = dict(kwargs)
            context = kwargs.pop(name)
        rest = tuple(value for value in args if not isinstance(value, Context))
        found = [value for value in args if isinstance(value, Context)]
        return (found[0] if found else context), rest, kwargs

    # -- as Celery's users know it --------------------------------------------------------------------------------

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Submit as Celery does; returns an AsyncResult."""
        return self.celery_task.delay(*args, **kwargs)

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        """Submit as Celery does, with Celery's options; returns an AsyncResult."""
        return self.celery_task.apply_async(*args, **kwargs)

    def s(self, *args: Any, **kwargs: Any) -> Any:
        """Return a signature for chains, groups and chords."""
        return self.celery_task.s(*args, **kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Any:
        """Return an immutable signature, which takes no result of the one before it."""
        return self.celery_task.si(*args, **kwargs)


class Decorator(Protocol):
    """What ``@yard.task(...)`` returns: a submit leaves the context out, and gives what a coroutine returns."""

    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /) -> TypedTask[P, R]: ...

    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> TypedTask[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> TypedTask[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> TypedTask[P, R]: ...

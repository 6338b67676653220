"""A submitted task, seen from the program that submitted it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar

from backyard.core.definition import Definition
from backyard.core.errors import NotFinishedError, TaskCancelledError, TaskFailedError
from backyard.core.explain import explain_task
from backyard.core.models import TaskView
from backyard.core.news import News
from backyard.core.states import State
from backyard.core.why import Why
from backyard.ledger.feed import Feed
from backyard.ledger.ledger import Ledger
from backyard.ledger.record import Record

R = TypeVar("R")


class TaskHandle(Generic[R]):
    """A task that was submitted.

    Args:
        task_id: The task's id.
        definition: What it is a task of; None gives results as plain JSON values.
        ledger: Where its record is.
        feed: Gives the live news of the running event loop.
        created: Whether the submit made it; False where its id or Idempotency-Key had made it before.
    """

    def __init__(
        self,
        task_id: str,
        definition: Definition | None,
        ledger: Ledger,
        feed: Callable[[], Feed],
        *,
        created: bool = True,
    ) -> None:
        self.task_id = task_id
        self.definition = definition
        self.created = created
        self._ledger = ledger
        self._feed = feed

    def __repr__(self) -> str:
        return f"TaskHandle({self.task_id!r})"

    async def status(self) -> TaskView:
        """Return the task as it stands.

        Raises:
            UnknownTaskError: Its record's lifetime has ended.
            LedgerUnavailableError: The server is away.
        """
        return (await self._ledger.arecord(self.task_id)).view()

    def status_sync(self) -> TaskView:
        """Return the task as it stands, outside of an event loop."""
        return self._ledger.record(self.task_id).view()

    async def result(self, timeout: float | None = None) -> R:  # noqa: ASYNC109 - the argument is part of the promise
        """Wait for the result, as the type that the function returns.

        Args:
            timeout: Seconds to wait; None waits without end.

        Raises:
            NotFinishedError: The time is over.
            TaskFailedError: The task ended in FAILURE.
            TaskCancelledError: The task was cancelled.
            LedgerUnavailableError: The server is away.
        """
        try:
            async with asyncio.timeout(timeout):
                record = await self._feed().outcome(self.task_id)
        except TimeoutError:
            raise self._unfinished(timeout) from None
        return self._outcome(record)

    def result_sync(self, timeout: float | None = None) -> R:
        """Wait for the result outside of an event loop; arguments and errors as for :meth:`result`."""
        record = self._ledger.outcomes.wait(self.task_id, timeout)
        if record is None:
            raise self._unfinished(timeout)
        return self._outcome(record)

    def events(self, after: str | None = None) -> AsyncIterator[News]:
        """Yield the task's news, from its first event on, up to its final state.

        Args:
            after: The id of the last event already seen.
        """
        return self._feed().watch(self.task_id, after)

    async def cancel(self, *, children: bool = True) -> bool:
        """Cancel the task: a waiting one never starts, a running one is told to stop.

        Args:
            children: Whether what the task has submitted is cancelled as well, and what that has submitted.

        Returns:
            Whether there was something to cancel; False where the task is final: its children are left alone then.

        Raises:
            LedgerUnavailableError: The server is away; repeat it.
        """
        (outcome,) = await self._ledger.acancel([self.task_id], children=children)
        return outcome in ("cancelled", "requested")

    def cancel_sync(self, *, children: bool = True) -> bool:
        """Cancel the task outside of an event loop; argument and errors as for :meth:`cancel`."""
        (outcome,) = self._ledger.cancel([self.task_id], children=children)
        return outcome in ("cancelled", "requested")

    async def why(self) -> Why:
        """Say why the task is where it is, in one sentence with evidence.

        Raises:
            UnknownTaskError: Its record's lifetime has ended.
            LedgerUnavailableError: The server is away.
        """
        calls = self._ledger.calls
        facts = await self._ledger.arun(calls.why(self.task_id))
        return explain_task(self.task_id, facts, await self._ledger.arun(calls.workers()), self._definitions())

    def why_sync(self) -> Why:
        """Say why the task is where it is, outside of an event loop; errors as for :meth:`why`."""
        calls = self._ledger.calls
        facts = self._ledger.run(calls.why(self.task_id))
        return explain_task(self.task_id, facts, self._ledger.run(calls.workers()), self._definitions())

    def _definitions(self) -> dict[str, Definition]:
        return {} if self.definition is None else {self.definition.name: self.definition}

    def _outcome(self, record: Record) -> R:
        if record.state is State.REVOKED:
            raise TaskCancelledError(f"Task {self.task_id} was cancelled.")
        if record.state is State.FAILURE:
            failure = record.failure
            message = f"{failure.type}: {failure.message}" if failure else "no reason was kept"
            raise TaskFailedError(
                f"Task {self.task_id} failed: {message}", failure.model_dump(mode="json") if failure else None
            )
        text = record.fields.get("result", b"null")
        value: Any = self.definition.decode_result(text) if self.definition else record.json("result")
        result: R = value
        return result

    def _unfinished(self, timeout: float | None) -> NotFinishedError:
        return NotFinishedError(
            f"Task {self.task_id} was not finished within {timeout} s. It goes on; ask again later."
        )

"""What a yard's queues and definitions hold back: pauses and what waits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from backyard.core.definition import Definition
from backyard.core.errors import InvalidInputError, UnknownQueueError
from backyard.core.policy import NAME
from backyard.core.queue import Pause, Queue
from backyard.ledger.call import Call
from backyard.ledger.ledger import Ledger
from backyard.ledger.queue_calls import PURGED_AT_ONCE
from backyard.settings import Settings

#: Characters of a reason.
LONGEST_REASON = 500


class Pauses:
    """The part of a yard that holds back: its queues, their pauses, and those of its definitions.

    A pause is kept in the ledger: workers obey it within a second, and it holds until somebody resumes, whatever is
    started anew meanwhile. What runs goes on; what waits keeps its place.
    """

    settings: Settings

    @property
    def ledger(self) -> Ledger:
        """The live truth."""
        raise NotImplementedError

    @property
    def celery(self) -> Any:
        """The Celery app."""
        raise NotImplementedError

    def definition(self, name: str) -> Definition:
        """Return a definition by name."""
        raise NotImplementedError

    def queues(self) -> list[str]:
        """Return the names of the queues that workers of this yard read."""
        raise NotImplementedError

    async def pause_queue(self, name: str, reason: str = "") -> bool:
        """Take nothing more from a queue until it is resumed.

        Args:
            name: The queue's name.
            reason: Why, for people.

        Returns:
            Whether it was not paused before; if it was, only the reason is new.

        Raises:
            UnknownQueueError: There is no such queue.
            LedgerUnavailableError: The server is away.
        """
        await self._check_queue(name)
        return await self.ledger.arun(self._pause_queue(name, reason))

    def pause_queue_sync(self, name: str, reason: str = "") -> bool:
        """Pause a queue outside of an event loop; arguments and errors as for :meth:`pause_queue`."""
        if name not in self.queues():
            _check_known(name, self.ledger.run(self.ledger.calls.known(name)))
        return self.ledger.run(self._pause_queue(name, reason))

    async def resume_queue(self, name: str) -> bool:
        """Let workers take from a queue again; returns whether it was paused."""
        return await self.ledger.arun(self.ledger.calls.resume("queue", name))

    def resume_queue_sync(self, name: str) -> bool:
        """Resume a queue outside of an event loop."""
        return self.ledger.run(self.ledger.calls.resume("queue", name))

    async def pause_definition(self, name: str, reason: str = "") -> bool:
        """Start no more tasks of a definition until it is resumed.

        Args:
            name: The definition's name, or that of a plain Celery task.
            reason: Why, for people.

        Returns:
            Whether it was not paused before; if it was, only the reason is new.

        Raises:
            UnknownDefinitionError: There is none.
            LedgerUnavailableError: The server is away.
        """
        return await self.ledger.arun(self._pause_definition(name, reason))

    def pause_definition_sync(self, name: str, reason: str = "") -> bool:
        """Pause a definition outside of an event loop; arguments and errors as for :meth:`pause_definition`."""
        return self.ledger.run(self._pause_definition(name, reason))

    async def resume_definition(self, name: str) -> bool:
        """Start tasks of a definition again; returns whether it was paused."""
        return await self.ledger.arun(self.ledger.calls.resume("definition", name))

    def resume_definition_sync(self, name: str) -> bool:
        """Resume a definition outside of an event loop."""
        return self.ledger.run(self.ledger.calls.resume("definition", name))

    async def paused_definitions(self) -> Mapping[str, Pause]:
        """Return the paused definitions by name."""
        return await self.ledger.arun(self.ledger.calls.paused("definition"))

    async def queue_states(self) -> list[Queue]:
        """Say of each queue what waits there, and whether it is paused."""
        known = await self.ledger.arun(self.ledger.calls.queues())
        return self._limited(await self.ledger.arun(self.ledger.calls.queue_states(self._names(known))))

    def queue_states_sync(self) -> list[Queue]:
        """Say the same outside of an event loop."""
        known = self.ledger.run(self.ledger.calls.queues())
        return self._limited(self.ledger.run(self.ledger.calls.queue_states(self._names(known))))

    async def queue_state(self, name: str) -> Queue:
        """Say of one queue what waits there, and whether it is paused.

        Raises:
            UnknownQueueError: There is no such queue.
            LedgerUnavailableError: The server is away.
        """
        await self._check_queue(name)
        return self._limited(await self.ledger.arun(self.ledger.calls.queue_states([name])))[0]

    async def purge_queue(self, name: str) -> int:
        """Discard what waits in a queue, parked tasks too: they end REVOKED. What runs or is due later stays.

        Args:
            name: The queue's name.

        Returns:
            How many were discarded.

        Raises:
            UnknownQueueError: There is no such queue.
            LedgerUnavailableError: The server is away; some may be discarded.
        """
        await self._check_queue(name)
        gone = last = await self.ledger.arun(self.ledger.calls.purge(name, PURGED_AT_ONCE))
        while last == PURGED_AT_ONCE:
            last = await self.ledger.arun(self.ledger.calls.purge(name, PURGED_AT_ONCE))
            gone += last
        return gone

    async def _check_queue(self, name: str) -> None:
        if name not in self.queues():
            _check_known(name, await self.ledger.arun(self.ledger.calls.known(name)))

    def _names(self, known: Sequence[str]) -> list[str]:
        return sorted({*known, *self.queues()})

    def _limited(self, queues: Sequence[Queue]) -> list[Queue]:
        return [one.model_copy(update={"limit": self.settings.most_queued(one.name)}) for one in queues]

    def _pause_queue(self, name: str, reason: str) -> Call[bool]:
        return self.ledger.calls.pause("queue", name, _checked(reason))

    def _pause_definition(self, name: str, reason: str) -> Call[bool]:
        if name not in self.celery.tasks:
            self.definition(name)
        return self.ledger.calls.pause("definition", name, _checked(reason))


def _check_known(name: str, known: bool) -> None:  # noqa: FBT001 - the answer of the ledger
    if not re.fullmatch(NAME, name) or not known:
        raise UnknownQueueError(f"There is no queue '{name}'. GET /queues lists them.")


def _checked(reason: str) -> str:
    if len(reason) > LONGEST_REASON:
        raise InvalidInputError(f"The reason has {len(reason)} characters; it can have {LONGEST_REASON}.")
    return reason

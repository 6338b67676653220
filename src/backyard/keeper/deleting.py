"""What goes before the history when tasks are deleted for good: records and artifacts.

The history's rows go last: they tell whoever goes on after a death what is left to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, TypeVar

from backyard.app import Backyard


class Deletable(Protocol):
    """A task of the history that is to go."""

    @property
    def task_id(self) -> str:
        """Its id."""

    @property
    def saved(self) -> bool:
        """Whether it has artifacts."""


T = TypeVar("T", bound=Deletable)


def clear(yard: Backyard, tasks: Sequence[T]) -> list[T]:
    """Delete the records and artifacts of tasks that have ended; returns those tasks, whose rows can go now.

    One that runs anew meanwhile, as Celery's callers may let an id do, is left as it is.

    Args:
        yard: The yard.
        tasks: A few hundred at most.

    Raises:
        LedgerUnavailableError: The server is away; repeat it.
        StorageUnavailableError: The file storage is away; repeat it.
    """
    if not tasks:
        return []
    ledger = yard.ledger
    gone = ledger.run(ledger.calls.forget_ended([one.task_id for one in tasks]))
    ended = [one for one, is_gone in zip(tasks, gone, strict=True) if is_gone]
    saved = [one.task_id for one in ended if one.saved]
    if saved:
        asyncio.run(_delete_artifacts(yard, saved))
    return ended


async def _delete_artifacts(yard: Backyard, task_ids: Sequence[str]) -> None:
    for task_id in task_ids:
        await yard.files.delete_artifacts(task_id)

"""One task submitted again, as a new one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from backyard.desk.auditing import audited
from backyard.desk.inputs import rerun_input
from backyard.desk.past import past_record
from backyard.submit import Options

if TYPE_CHECKING:
    from backyard.app import Backyard


async def rerun(yard: Backyard, connection: HTTPConnection, task_id: str, edited: str | None = None) -> str:
    """Submit a new task with the input of another one, as it was or edited; returns its id.

    Args:
        yard: The yard.
        connection: The request; who sent it is the actor.
        task_id: The task.
        edited: Its input as JSON text, as somebody changed it, with the masks of secrets where they stay; None is as
            it was.

    Raises:
        UnknownTaskError: Nobody knows it.
        UnknownDefinitionError: Its definition is not known here.
        InvalidInputError: The input does not fit the definition of today.
        QueueFullError: There is no room in its queue.
        LedgerUnavailableError: The server is away.
    """
    record = await past_record(yard, task_id)
    definition = yard.definition(record.text("name") or "")
    payload = await asyncio.to_thread(rerun_input, definition, record, edited)
    handle = await yard.submit(definition, payload, Options(rerun_of=task_id))
    await audited(yard, connection, "rerun", "task", task_id, edited=edited is not None)
    return handle.task_id

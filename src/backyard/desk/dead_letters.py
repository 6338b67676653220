"""Dead letters: looked at, put back into their queue, deleted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from backyard.core.dead_letter import DeadLetter, DeadLetterMessage
from backyard.core.errors import DeadLetterConflictError, UnknownDeadLetterError
from backyard.desk.auditing import audited
from backyard.engine.message import task_in
from backyard.ledger.dead_letter_calls import Letter

if TYPE_CHECKING:
    from backyard.app import Backyard

#: How the ids of entries are written.
_ID = re.compile(r"[0-9]{1,15}-[0-9]{1,15}")


async def listing(yard: Backyard, most: int, before: str = "") -> list[DeadLetter]:
    """Return dead letters, newest first.

    Args:
        yard: The yard.
        most: Letters at once.
        before: Only those set aside before that letter; empty begins with the newest.

    Raises:
        UnknownDeadLetterError: ``before`` is no id.
        LedgerUnavailableError: The server is away.
    """
    calls = yard.ledger.calls
    return await yard.ledger.arun(calls.dead_letters(most, _checked(before) if before else ""))


async def read(yard: Backyard, letter_id: str) -> DeadLetterMessage:
    """Return a dead letter with its message.

    Raises:
        UnknownDeadLetterError: There is none of that id.
        LedgerUnavailableError: The server is away.
    """
    letter = await _letter(yard, letter_id)
    task_id = letter.text("t")
    records = await yard.ledger.arun(yard.ledger.calls.records([task_id])) if task_id else []
    return DeadLetterMessage(
        letter_id=letter_id, date_created=letter.at, queue=letter.text("queue"), priority=letter.text("lane") or None,
        reason=letter.text("reason"), task_id=task_id or None, state=records[0].state if records else None,
        name=task_in(letter.message)[0] or None, size=len(letter.message),
        message=letter.message.decode("utf-8", "backslashreplace"),
    )  # fmt: skip


async def requeue(yard: Backyard, connection: HTTPConnection, letter_id: str) -> str:
    """Put a dead letter back into its queue, where a task that it ended has a new life; returns the queue.

    Args:
        yard: The yard.
        connection: The request; who sent it is the actor.
        letter_id: The letter.

    Raises:
        UnknownDeadLetterError: There is none of that id.
        DeadLetterConflictError: There is nothing to be put back, or its task has been submitted anew since.
        LedgerUnavailableError: The server is away.
    """
    letter = await _letter(yard, letter_id)
    name, payload = task_in(letter.message)
    calls, lifetime = yard.ledger.calls, yard.settings.result_expires
    outcome, said = await yard.ledger.arun(calls.requeue(letter_id, lifetime, name, payload.encode()))
    if outcome == "gone":
        raise _unknown(letter_id)
    if outcome == "empty":
        raise DeadLetterConflictError(
            "This entry has no message, or names no queue: there is nothing to put back. Delete it."
        )
    if outcome == "lives":
        raise DeadLetterConflictError(
            f"Its task was submitted anew, and is {said} now: this letter would run it once more. Delete the letter, "
            "or rerun the task."
        )
    await audited(yard, connection, "requeue", "dead letter", letter_id, queue=said, task_id=letter.text("t"))
    return said


async def delete(yard: Backyard, connection: HTTPConnection, letter_id: str) -> None:
    """Delete a dead letter; its task's record stays.

    Raises:
        UnknownDeadLetterError: There is none of that id.
        LedgerUnavailableError: The server is away.
    """
    if not await yard.ledger.arun(yard.ledger.calls.delete_dead([_checked(letter_id)])):
        raise _unknown(letter_id)
    await audited(yard, connection, "delete", "dead letter", letter_id)


async def delete_until(yard: Backyard, connection: HTTPConnection, letter_id: str) -> int:
    """Delete a dead letter and all that are older: what came meanwhile, and nobody has seen, stays. Returns how many.

    Raises:
        UnknownDeadLetterError: That is no id.
        LedgerUnavailableError: The server is away.
    """
    count = await yard.ledger.arun(yard.ledger.calls.delete_dead_until(_checked(letter_id)))
    await audited(yard, connection, "delete all", "dead letter", letter_id, count=count)
    return count


async def _letter(yard: Backyard, letter_id: str) -> Letter:
    letter = await yard.ledger.arun(yard.ledger.calls.dead_letter(_checked(letter_id)))
    if letter is None:
        raise _unknown(letter_id)
    return letter


def _checked(letter_id: str) -> str:
    if not _ID.fullmatch(letter_id):
        raise _unknown(letter_id)
    return letter_id


def _unknown(letter_id: str) -> UnknownDeadLetterError:
    return UnknownDeadLetterError(
        f"No dead letter has the id '{letter_id}': it was put back or deleted. GET /dead-letters lists them."
    )

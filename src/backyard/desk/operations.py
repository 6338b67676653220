"""Operations on all tasks that match: made, stopped, looked at."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from pydantic_core import to_json
from starlette.requests import HTTPConnection
from uuid_utils import uuid7

from backyard.core.errors import IdempotencyConflictError, InvalidInputError, UnknownOperationError
from backyard.core.operation import Operation, OperationPlan, sealing_place
from backyard.desk.auditing import actor_of, audited
from backyard.desk.past import ask, catch_up
from backyard.history import operations
from backyard.history.search import read_search

if TYPE_CHECKING:
    from backyard.app import Backyard

#: Ids of operations that have an Idempotency-Key are made in here.
_SPACE = uuid.UUID("0d2f7a52-90f5-5c43-8f35-5f4f4c2c6f0b")


async def create(yard: Backyard, connection: HTTPConnection, plan: OperationPlan, key: str | None = None) -> Operation:
    """Begin an operation on what matches now; tasks accepted later do not belong to it.

    Args:
        yard: The yard.
        connection: The request; who sent it is the actor.
        plan: What is to be done to which tasks.
        key: With a key, repeating this gives the same operation.

    Raises:
        IdempotencyConflictError: The key made another operation.
        HistoryUnavailableError: There is no history, or it lags too far behind.
    """
    await catch_up(yard)
    operation, created = await _create(yard, connection, plan, key)
    if created:
        details = {"filter": operation.filter.model_dump(mode="json", exclude_defaults=True)}
        await audited(yard, connection, plan.verb, "operation", operation.operation_id, **details)
    return operation


async def stop(yard: Backyard, connection: HTTPConnection, operation_id: str) -> Operation:
    """Stop an operation; what is done stays done, and a final one stays as it is.

    Raises:
        UnknownOperationError: There is none of that id.
        HistoryUnavailableError: There is no history, or its database is away.
    """
    now = int(time.time() * 1000)
    found = known(operation_id, await ask(yard, lambda past: operations.stop(past, operation_id, now)))
    await audited(yard, connection, "stop", "operation", operation_id)
    return found


def check_text(plan: OperationPlan) -> None:
    """Refuse a plan whose text cannot be searched for.

    Raises:
        InvalidInputError: It cannot.
    """
    if plan.filter.text is not None:
        try:
            read_search(plan.filter.text)
        except InvalidInputError as error:
            raise InvalidInputError(error.message, [{**error.errors[0], "location": ["filter", "text"]}]) from None


async def _create(
    yard: Backyard, connection: HTTPConnection, plan: OperationPlan, key: str | None
) -> tuple[Operation, bool]:
    operation_id = str(uuid.uuid5(_SPACE, key)) if key else str(uuid7())
    sealed = None
    if plan.options.input is not None and yard.vault is not None:
        # Any of it may be meant for a secret.
        sealed = yard.vault.seal(to_json(plan.options.input), sealing_place(operation_id))
    now, actor = int(time.time() * 1000), actor_of(connection)
    operation, created = await ask(
        yard, lambda past: operations.create(past, operation_id, plan, actor=actor, now=now, sealed=sealed)
    )
    if not created and not _same(operation, plan.completed()):
        raise IdempotencyConflictError(
            f"The Idempotency-Key '{key}' made operation {operation_id}, which is another. Use a new key."
        )
    return operation, created


def _same(operation: Operation, plan: OperationPlan) -> bool:
    """Whether an operation is the one that was asked for; of an edited input, only the names may be known."""
    shown, wanted = operation.options, plan.options
    names = [None if one.input is None else sorted(one.input) for one in (shown, wanted)]
    rest = [one.model_copy(update={"input": None}) for one in (shown, wanted)]
    return (operation.verb, operation.filter, rest[0], names[0]) == (plan.verb, plan.filter, rest[1], names[1])


def known(operation_id: str, found: Operation | None) -> Operation:
    """Return an operation that was found.

    Raises:
        UnknownOperationError: It was not.
    """
    if found is None:
        raise UnknownOperationError(f"There is no operation '{operation_id}'. GET /operations lists them.")
    return found

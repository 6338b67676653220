"""What an operator does leaves a line in the audit trail."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection

from backyard.core.errors import LedgerUnavailableError

if TYPE_CHECKING:
    from backyard.app import Backyard

logger = logging.getLogger("backyard.audit")

#: Where a request's scope names the door that it came by; without it, that is the API.
DOOR = "backyard.door"


async def audited(
    yard: Backyard, connection: HTTPConnection, verb: str, kind: str, subject: str, **details: Any
) -> None:
    """Leave a line about an act that has succeeded; it goes with the news into the history.

    Args:
        yard: The yard.
        connection: The request; who sent it is the actor.
        verb: What was done: ``cancel``, ``pause``, say.
        kind: The noun it was done to: ``task``, ``queue``, say.
        subject: Which of them.
        details: What else belongs to it; values are JSON.
    """
    actor = actor_of(connection)
    line = {"actor": actor, "verb": verb, "kind": kind, "subject": subject, "details": details}
    try:
        await yard.ledger.arun(yard.ledger.calls.audit(line))
    except LedgerUnavailableError as error:
        # The act itself is done, and its answer is not to say otherwise.
        logger.warning("No audit line of %s %s '%s' by %s: %s", verb, kind, subject, actor, error)


def actor_of(connection: HTTPConnection) -> str:
    """Return who sent a request, as the audit trail names them."""
    door: str = connection.scope.get(DOOR, "api")
    client = connection.client
    return f"{door}@{client.host}" if client else door

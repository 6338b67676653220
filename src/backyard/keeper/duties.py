"""Which duties a keeper has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from backyard.history.deliveries import enqueue
from backyard.keeper.operations import OperationsDuty
from backyard.keeper.pruning import Pruning
from backyard.keeper.recording import Recording
from backyard.keeper.sampling import Sampling
from backyard.keeper.schedules import ScheduleDuty
from backyard.keeper.webhooks import Deliver, Sender

if TYPE_CHECKING:
    from backyard.app import Backyard
    from backyard.keeper.keeper import Duty


def duties_of(yard: Backyard, keeper: str, prepare: Callable[[], object] | None = None) -> list[Duty]:
    """Return the duties of a yard's keepers.

    Args:
        yard: The yard.
        keeper: The keeper's name.
        prepare: What is to be done before the history is recorded, if anything is.
    """
    return [
        Recording(yard.ledger, yard.history, keeper, yard.settings.events_waiting, enqueue, prepare=prepare),
        ScheduleDuty(yard),
        Pruning(yard),
        Sampling(yard),
        OperationsDuty(yard),
        Deliver(yard.history, sender_of(yard)),
    ]


def sender_of(yard: Backyard) -> Sender:
    """Return what a yard's messages to webhooks are signed with, and where they may go."""
    secret = yard.settings.webhook_secret
    return Sender(secret.get_secret_value() if secret else None, yard.vault, yard.settings.webhook_private)

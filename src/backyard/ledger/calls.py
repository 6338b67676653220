"""What can be asked of the ledger: each question built, and its answer read, in one place and without I/O.

:class:`~backyard.ledger.ledger.Ledger` sends them, from threads and from event loops alike.
"""

from __future__ import annotations

from backyard.ledger.queue_calls import QueueCalls
from backyard.ledger.task_calls import TaskCalls
from backyard.ledger.upkeep_calls import UpkeepCalls


class Calls(TaskCalls, QueueCalls, UpkeepCalls):
    """All calls of one yard."""

"""What can be asked of the ledger: each question built, and its answer read, in one place and without I/O.

:class:`~backyard.ledger.ledger.Ledger` sends them, from threads and from event loops alike.
"""

from __future__ import annotations

from backyard.ledger.cancel_calls import CancelCalls
from backyard.ledger.check_calls import CheckCalls
from backyard.ledger.dead_letter_calls import DeadLetterCalls
from backyard.ledger.drill_calls import DrillCalls
from backyard.ledger.keeper_calls import KeeperCalls
from backyard.ledger.limit_calls import LimitCalls
from backyard.ledger.queue_calls import QueueCalls
from backyard.ledger.schedule_calls import ScheduleCalls
from backyard.ledger.server_calls import ServerCalls
from backyard.ledger.task_calls import TaskCalls
from backyard.ledger.upkeep_calls import UpkeepCalls
from backyard.ledger.why_calls import WhyCalls
from backyard.ledger.worker_calls import WorkerCalls


class Calls(
    TaskCalls,
    QueueCalls,
    DeadLetterCalls,
    UpkeepCalls,
    WorkerCalls,
    CheckCalls,
    WhyCalls,
    ServerCalls,
    CancelCalls,
    LimitCalls,
    DrillCalls,
    KeeperCalls,
    ScheduleCalls,
):
    """All calls of one yard."""

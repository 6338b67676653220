"""Why a task is where it is: the reasons there are, and the facts they are worked out from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from backyard.core.states import State
from backyard.core.worker import Worker, WorkerState


class Reason(StrEnum):
    """Why a task is where it is, in a word."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RUNNING = "running"
    STOPPING = "stopping"
    REPLACED = "replaced"
    WORKER_LOST = "worker_lost"
    PAUSED = "paused"
    LIMIT = "limit"
    DUE = "due"
    NO_WORKER = "no_worker"
    UNKNOWN_DEFINITION = "unknown_definition"
    TAKEN = "taken"
    QUEUED = "queued"
    NO_ENTRY = "no_entry"


class Why(BaseModel):
    """Why a task is where it is.

    Args:
        task_id: The task.
        state: Its state.
        reason: The reason in a word.
        why: The reason in a sentence.
        evidence: What the sentence was made of. Times are UTC, durations are seconds.
    """

    model_config = ConfigDict(frozen=True)

    task_id: str
    state: State
    reason: Reason
    why: str
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read of a task and of what it may wait for.

    Args:
        task_id: The task.
        now: The server's time, in milliseconds since 1970, as all times here.
        record: Fields of its record.
        place: Its queue entry: ``ready`` in its lane, ``held`` by a consumer, ``gone``; empty where it names none.
        lease: When the lease of the consumer that holds it runs out; None where it has none.
        ahead: Ready entries before it.
        at_least: Whether there are more than was counted.
        starts: Tasks of its queue that began lately.
        starts_since: Since when that was looked at.
        due_at: When it is due, as the due set has it.
        paused: What is paused (``queue`` or ``definition``) and what was said of it.
        holders: Tasks that hold its limit's slots.
        holding: The ids of some of them.
        parked_before: Tasks that wait for the same limit before it.
        grace: Until when no worker is declared lost.
        workers: The workers that spoke lately.
        retries: Retries that its definition allows, where that is known.
    """

    task_id: str
    now: float
    record: Mapping[str, str]
    place: str = ""
    lease: float | None = None
    ahead: int = 0
    at_least: bool = False
    starts: int = 0
    starts_since: float = 0
    due_at: float | None = None
    paused: Mapping[str, str] = field(default_factory=dict)
    holders: int = 0
    holding: Sequence[str] = ()
    parked_before: int | None = None
    grace: float = 0
    workers: Sequence[Worker] = ()
    retries: int | None = None

    @property
    def state(self) -> State:
        """The task's state."""
        return State(self.record["state"])

    @property
    def queue(self) -> str:
        """Its queue."""
        return self.record.get("queue", "")

    @property
    def name(self) -> str:
        """Its definition's name."""
        return self.record.get("name", "")

    def ago(self, moment: float | str) -> float:
        """Return the seconds since a time."""
        return round((self.now - float(moment)) / 1000, 1)

    def living(self) -> list[Worker]:
        """Return the workers that live."""
        return [worker for worker in self.workers if worker.alive]

    def readers(self) -> list[Worker]:
        """Return the living workers that take from the task's queue."""
        return [one for one in self.living() if self.queue in one.queues and one.state is WorkerState.RUNNING]

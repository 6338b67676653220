"""The nouns that every room shares."""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_serializer, model_validator
from pydantic_core import CoreSchema

from backyard.core.states import State

Lane = Literal["high", "normal", "low"]


class TaskContext:
    """Base of what a running task sees; a parameter annotated with a subclass receives it."""


class File(BaseModel):
    """An uploaded file, named by the id that ``POST /files`` gave. In JSON it is the id alone.

    Args:
        id: The file's id.
    """

    model_config = ConfigDict(frozen=True)

    id: str = Field(min_length=1, max_length=64)

    @model_validator(mode="before")
    @classmethod
    def _from_id(cls, value: Any) -> Any:
        return {"id": value} if isinstance(value, str) else value

    @model_serializer
    def _to_id(self) -> str:
        return self.id

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe a file as what travels: its id."""
        return {"type": "string", "format": "backyard-file", "title": "File", "minLength": 1, "maxLength": 64}


class Progress(BaseModel):
    """How far a running task is.

    Args:
        current: Units done.
        total: Units in all, if known.
        message: What is happening, for people.
        percent: 0 to 100, if the total is known.
    """

    model_config = ConfigDict(frozen=True)

    current: float
    total: float | None = None
    message: str | None = None
    percent: float | None = None

    @classmethod
    def of(cls, current: float, total: float | None, message: str | None) -> Progress:
        """Make a report, with the percentage worked out and kept within 0 and 100.

        Numbers that JSON has no word for (NaN, infinities, those over a float's range) count as unknown: a report is
        never a reason for a task to fail, or for its record to become unreadable.
        """
        done, whole = _finite(current), _finite(total)
        percent = None if done is None or not whole else round(min(max(100 * (done / whole), 0.0), 100.0), 1)
        return cls(current=done or 0.0, total=whole, message=message, percent=percent)


def _finite(number: float | None) -> float | None:
    try:
        value = math.nan if number is None else float(number)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


class FailureKind(StrEnum):
    """Why a task ended in FAILURE."""

    ERROR = "error"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    QUARANTINED = "quarantined"
    INVALID_RESULT = "invalid_result"
    EXPIRED = "expired"


class Evidence(BaseModel):
    """What is known of a process that died while it ran a task.

    Args:
        attempt: The attempt that ran.
        reason: ``crashed``, where the task's own process died, or ``worker_lost``, where its whole worker did.
        at: When that was known.
        host: The machine.
        worker: The worker's name.
        signal: The signal that ended the process, if one did and somebody saw it.
        exit_code: Its exit code, if it ended by itself.
        peak_rss: The most memory that the process has had, in bytes.
        lines: The last lines that the attempt logged.
    """

    model_config = ConfigDict(frozen=True)

    attempt: int
    reason: str
    at: datetime
    host: str | None = None
    worker: str | None = None
    signal: str | None = None
    exit_code: int | None = None
    peak_rss: int | None = None
    lines: list[str] = []


class Failure(BaseModel):
    """What went wrong in an attempt.

    Args:
        kind: The sort of failure.
        type: The exception's class name.
        message: The exception's text.
        traceback: The traceback as Python prints it, if there was one.
        fingerprint: The same for failures of the same cause: a hash over type and own frames.
        evidence: What is known of the processes that died under the task, the newest last.
    """

    model_config = ConfigDict(frozen=True)

    kind: FailureKind
    type: str
    message: str
    traceback: str | None = None
    fingerprint: str | None = None
    evidence: list[Evidence] | None = None


class Artifact(BaseModel):
    """A file that a task saved."""

    model_config = ConfigDict(frozen=True)

    name: str
    size: int
    content_type: str
    url: str


class CancelStage(StrEnum):
    """How far the cancel of a task has come."""

    #: The task is told, and does not know yet.
    REQUESTED = "requested"
    #: Its attempt knows: it has asked, or its coroutine was cancelled.
    SEEN = "seen"
    #: Final: it never started, or it stopped.
    STOPPED = "stopped"
    #: Final: it did not stop in time, and its process was killed.
    KILLED = "killed"
    #: Final: it had ended by itself before it stopped.
    TOO_LATE = "too_late"


class Cancel(BaseModel):
    """The cancel of a task, as the API shows it. Times are UTC.

    Args:
        stage: How far it has come.
        requested_at: When it was asked for.
        seen_at: When the running attempt knew.
        reason: Why it was cancelled, where no person asked for it, or why it goes on to run.
    """

    model_config = ConfigDict(frozen=True)

    stage: CancelStage
    requested_at: datetime
    seen_at: datetime | None = None
    reason: str | None = None


class TaskView(BaseModel):
    """A task as the API shows it. Times are UTC."""

    task_id: str
    name: str
    state: State
    progress: float | None = Field(description="0 to 100; null while unknown")
    progress_message: str | None = None
    queue: str
    priority: Lane
    attempt: int = Field(description="Number of the latest attempt; 0 before the first")
    worker: str | None = None
    input: Any = None
    result: Any = None
    failure: Failure | None = None
    reason: str | None = Field(default=None, description="Why it waits for another attempt; null where it does not")
    retries_left: int | None = Field(
        default=None, description="With RETRY: the retries that are left after this one; null where that is unknown"
    )
    artifacts: list[Artifact] = []
    tags: list[str] = []
    date_created: datetime
    date_due: datetime | None = None
    date_started: datetime | None = None
    date_done: datetime | None = None
    cancel_requested: bool = False
    cancel: Cancel | None = None
    rerun_of: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    group_id: str | None = None
    schedule_id: str | None = Field(default=None, description="The schedule that it is a tick of")

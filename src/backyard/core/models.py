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


class Failure(BaseModel):
    """What went wrong in an attempt.

    Args:
        kind: The sort of failure.
        type: The exception's class name.
        message: The exception's text.
        traceback: The traceback as Python prints it, if there was one.
        fingerprint: The same for failures of the same cause: a hash over type and own frames.
    """

    model_config = ConfigDict(frozen=True)

    kind: FailureKind
    type: str
    message: str
    traceback: str | None = None
    fingerprint: str | None = None


class Artifact(BaseModel):
    """A file that a task saved."""

    model_config = ConfigDict(frozen=True)

    name: str
    size: int
    content_type: str
    url: str


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
    artifacts: list[Artifact] = []
    tags: list[str] = []
    date_created: datetime
    date_due: datetime | None = None
    date_started: datetime | None = None
    date_done: datetime | None = None
    cancel_requested: bool = False
    rerun_of: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    group_id: str | None = None

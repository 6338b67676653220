"""Which tasks are meant: the filter of lists, counts and operations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from backyard.core.states import State

#: Texts that are longer could not have been kept.
_LONGEST = 255
#: Tasks that a filter may name one by one.
MOST_NAMED = 500


class TaskFilter(BaseModel):
    """Which tasks are meant; all of its parts have to fit.

    Args:
        state: One of these states; none is any.
        name: One of these definitions.
        queue: One of these queues.
        worker: The worker of the latest attempt.
        tag: All of these tags.
        since: Accepted at that time or later; needs a time zone.
        until: Accepted before that time.
        text: Words of name, input, error and tags.
        fingerprint: The error group of the failure.
        rerun_of: Reruns of that task.
        parent_id: Submitted from inside that task.
        root_id: Of the family that began with that task.
        group_id: Of that group of Celery's.
        schedule: Made by that schedule.
        operation: Made by that operation.
        task_id: One of these tasks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: tuple[State, ...] = Field(default=(), max_length=len(State), description="One state or several")
    name: tuple[str, ...] = Field(default=(), max_length=50, description="One definition or several")
    queue: tuple[str, ...] = Field(default=(), max_length=50, description="One queue or several")
    worker: str | None = Field(default=None, max_length=_LONGEST, description="The worker of the latest attempt")
    tag: tuple[str, ...] = Field(default=(), max_length=10, description="Tags that it has, all of them")
    since: datetime | None = Field(default=None, description="Accepted then or later, with its time zone")
    until: datetime | None = Field(default=None, description="Accepted before")
    text: str | None = Field(
        default=None, max_length=1_000, description='Words of name, input, error and tags; "in quotes" as a phrase'
    )
    fingerprint: str | None = Field(default=None, max_length=_LONGEST, description="Error group of the failure")
    rerun_of: str | None = Field(default=None, max_length=_LONGEST)
    parent_id: str | None = Field(default=None, max_length=_LONGEST)
    root_id: str | None = Field(default=None, max_length=_LONGEST)
    group_id: str | None = Field(default=None, max_length=_LONGEST)
    schedule: str | None = Field(default=None, max_length=_LONGEST, description="Made by that schedule")
    operation: str | None = Field(default=None, max_length=_LONGEST, description="Made by that operation")
    task_id: tuple[Annotated[str, Field(max_length=_LONGEST)], ...] = Field(
        default=(), max_length=MOST_NAMED, description="One of these tasks"
    )

    @field_validator("state", "name", "queue", "tag", "task_id", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("since", "until")
    @classmethod
    def _with_a_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("write a time with its zone: 2026-01-31T12:00:00Z or 2026-01-31T12:00:00+01:00")
        return value

    @property
    def empty(self) -> bool:
        """Whether all tasks are meant."""
        return self == TaskFilter()

    @property
    def beyond_the_ledger(self) -> list[str]:
        """The parts that only the history can answer; the ledger knows states and one name."""
        return sorted(
            name for name in type(self).model_fields if getattr(self, name) and not (name == "state" or (
                name == "name" and len(self.name) == 1
            ))
        )  # fmt: skip

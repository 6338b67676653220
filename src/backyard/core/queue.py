"""A queue as people see it: what waits there, and whether it is paused."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class Pause(BaseModel):
    """That a queue or a definition is paused: nothing of it is started until it is resumed."""

    model_config = ConfigDict(frozen=True)

    since: datetime = Field(description="Since when, in UTC")
    reason: str = Field(description="Why; empty where nobody said")


class Queue(BaseModel):
    """A queue."""

    model_config = ConfigDict(frozen=True)

    name: str
    depth: int = Field(description="Tasks that any worker may take")
    lanes: dict[str, int] = Field(description="The same by lane, in the order in which they are read")
    oldest: float | None = Field(description="Seconds since the first of them was queued; null where there is none")
    running: int = Field(description="Tasks that workers hold")
    parked: int = Field(description="Tasks that wait for a limit, or for the end of a pause")
    paused: Pause | None = None
    limit: int | None = Field(default=None, description="Tasks it may hold, waiting or parked; more are refused")

"""Dead letters: queue entries that no worker could read or run, kept with the reason until somebody decides."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from backyard.core.states import State


class DeadLetter(BaseModel):
    """A queue entry that was set aside."""

    letter_id: str
    date_created: datetime = Field(description="When it was set aside")
    queue: str
    priority: str | None = Field(description="Its lane of the queue; null where that was not noted")
    reason: str = Field(description="Why no worker could read or run it")
    task_id: str | None = Field(description="The task that it was for; null where it was for none")
    state: State | None = Field(description="That task's state now; null where its record is gone")
    name: str | None = Field(description="The definition, as far as the message's beginning tells")
    size: int = Field(description="Bytes of the message")


class DeadLetterMessage(DeadLetter):
    """A queue entry that was set aside, with its message."""

    message: str = Field(description="The message as text; bytes that are no UTF-8 are written as \\xff")

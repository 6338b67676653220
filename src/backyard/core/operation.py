"""Operations: one verb on all tasks that match a filter, done in the background."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from backyard.core.task_filter import TaskFilter

#: Reruns that a canary batch may have.
LARGEST_CANARY = 100
#: Reruns of the canary batch where the filter names an error group, and nobody says otherwise.
CANARY = 5
#: Reruns a second at most; faster than this is as fast as it goes.
FASTEST = 1_000.0


def sealing_place(operation_id: str) -> str:
    """Return the place that an operation's edited input is sealed for."""
    return f"operation\0{operation_id}"


class OperationVerb(StrEnum):
    """What is done to each task."""

    #: Those that have not ended are cancelled.
    CANCEL = "cancel"
    #: Those that have ended are submitted again, each as a new task.
    RERUN = "rerun"
    #: Those that have ended are forgotten: record, history and artifacts.
    DELETE = "delete"


class OperationState(StrEnum):
    """Where an operation stands."""

    #: Put in by whoever asks for it; taken out by a keeper, or by a stop.
    WAITING = "waiting"
    #: Put in by a keeper; taken out by the end of its tasks, a canary that fails, or a stop.
    RUNNING = "running"
    #: Put in by a stop; taken out by a keeper.
    STOPPING = "stopping"
    #: Final: stopped before its end; what was done stays done.
    STOPPED = "stopped"
    #: Final: all its tasks were dealt with.
    DONE = "done"
    #: Final: it was given up, and the report says why.
    FAILED = "failed"


OPEN_STATES = frozenset({OperationState.WAITING, OperationState.RUNNING, OperationState.STOPPING})


class OperationOptions(BaseModel):
    """How an operation goes about it.

    Args:
        children: With cancel: whether what the tasks have submitted is cancelled as well.
        input: With rerun: members that replace those of each task's own input.
        canary: With rerun: how many go first, and have all to succeed before the rest goes; None is 5 where the
            filter names an error group, and 0 elsewhere.
        rate: With rerun: reruns a second; None is as fast as it goes.
        leave_out: With rerun: ids of tasks that match and are left alone, such as one that was tried by hand.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    children: bool = True
    input: dict[str, Any] | None = None
    canary: int | None = Field(default=None, ge=0, le=LARGEST_CANARY)
    rate: float | None = Field(default=None, gt=0, le=FASTEST, allow_inf_nan=False)
    leave_out: list[str] = Field(default=[], max_length=100)


_OPTIONS_OF = {
    OperationVerb.CANCEL: {"children"},
    OperationVerb.RERUN: {"input", "canary", "rate", "leave_out"},
    OperationVerb.DELETE: set[str](),
}


class OperationPlan(BaseModel):
    """What an operation is to do, and to which tasks.

    Args:
        verb: What is done to each task.
        everything: Says that an empty filter, which means all tasks, is meant so.
        filter: Which tasks.
        options: How.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    verb: OperationVerb
    everything: bool = False
    filter: TaskFilter = Field(default=TaskFilter(), validate_default=True)
    options: OperationOptions = OperationOptions()

    @field_validator("filter")
    @classmethod
    def _all_on_purpose(cls, value: TaskFilter, info: ValidationInfo) -> TaskFilter:
        if value.empty and not info.data.get("everything"):
            raise ValueError('an empty filter means all tasks: name some, or add "everything": true')
        return value

    @field_validator("options")
    @classmethod
    def _of_the_verb(cls, value: OperationOptions, info: ValidationInfo) -> OperationOptions:
        verb = info.data.get("verb")
        known = _OPTIONS_OF.get(verb, value.model_fields_set) if verb else value.model_fields_set
        unknown = value.model_fields_set - known
        if unknown:
            offered = f"the options of {verb} are: {', '.join(sorted(known))}" if known else f"{verb} has no options"
            raise ValueError(f"'{min(unknown)}' is no option of {verb}; {offered}")
        return value

    @property
    def canary(self) -> int:
        """How many reruns go first."""
        if self.verb is not OperationVerb.RERUN:
            return 0
        if self.options.canary is not None:
            return self.options.canary
        return CANARY if self.filter.fingerprint is not None else 0

    def completed(self) -> Self:
        """Return the plan with what its defaults stand for, as it is shown and kept."""
        if self.verb is not OperationVerb.RERUN:
            return self
        options = self.options.model_copy(update={"canary": self.canary})
        return self.model_copy(update={"options": options})


class OperationProblem(BaseModel):
    """A task that an operation could not deal with."""

    task_id: str
    message: str


class OperationReport(BaseModel):
    """What an operation has done so far.

    Args:
        outcomes: How many tasks came to what: ``cancelled``, ``requested``, ``deleted``, ``submitted``, ``refused``,
            ``left_out`` ...
        problems: The first tasks that were refused, and why.
        canary: The tasks that went first.
        canary_passed: Whether all of them have succeeded; null while that is open, or where there is no canary.
        message: Why it was given up, or what it waits for.
    """

    outcomes: dict[str, int] = {}
    problems: list[OperationProblem] = []
    canary: list[str] = []
    canary_passed: bool | None = None
    message: str | None = None


class Operation(BaseModel):
    """An operation as the API shows it. Times are UTC."""

    operation_id: str
    verb: OperationVerb
    state: OperationState
    actor: str = Field(description="Who asked for it")
    filter: TaskFilter
    options: OperationOptions
    total: int | None = Field(description="How many tasks it found when it began; null before")
    done: int = Field(description="How many of them were dealt with")
    progress: float | None = Field(description="0 to 100; null while unknown")
    report: OperationReport
    date_created: datetime
    date_started: datetime | None = None
    date_done: datetime | None = None

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self.state not in OPEN_STATES


class Matches(BaseModel):
    """How many tasks an operation would deal with, by state."""

    states: dict[str, int]
    total: int
    exact: bool = Field(description="False where there are more: only the newest were counted")

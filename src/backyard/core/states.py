"""The states of a task, and the one table of moves between them.

The ledger's scripts apply these rows and nothing else: a move is guarded by the state it leaves and, where an
attempt speaks, by that attempt's number. News that does not fit is refused and counted, never applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a task stands. The names are Celery's, since its ecosystem knows them."""

    #: Put in by a submit with a delay or a time; taken out by the promoter when due, or by a cancel.
    SCHEDULED = "SCHEDULED"
    #: Put in by a submit, the promoter, or the loss of a worker; taken out by a worker, or by a cancel.
    PENDING = "PENDING"
    #: Put in by a worker that begins an attempt; taken out by the attempt's end, or the loss of the worker.
    STARTED = "STARTED"
    #: Put in by the running attempt's first progress report; taken out like STARTED.
    PROGRESS = "PROGRESS"
    #: Put in by a failed attempt whose policy allows another; taken out by the promoter when due, or by a cancel.
    RETRY = "RETRY"
    #: Final: the attempt returned, and its result is kept.
    SUCCESS = "SUCCESS"
    #: Final: no attempt succeeded, and the failure says why.
    FAILURE = "FAILURE"
    #: Final: cancelled.
    REVOKED = "REVOKED"


WAITING = frozenset({State.SCHEDULED, State.PENDING, State.RETRY})
RUNNING = frozenset({State.STARTED, State.PROGRESS})
FINAL = frozenset({State.SUCCESS, State.FAILURE, State.REVOKED})


class Verb(StrEnum):
    """What can happen to a task."""

    PROMOTE = "promote"
    PUT_OFF = "put off"
    START = "start"
    PROGRESS = "progress"
    SUCCEED = "succeed"
    FAIL = "fail"
    RETRY = "retry"
    STOP = "stop"
    LOSE = "lose"
    CANCEL = "cancel"
    EXPIRE = "expire"


@dataclass(frozen=True, slots=True)
class Move:
    """One row of the table.

    Args:
        leaves: The states the verb may leave.
        enters: The state it enters.
        fenced: Whether only the running attempt may speak.
    """

    leaves: frozenset[State]
    enters: State
    fenced: bool


MOVES: Mapping[Verb, Move] = MappingProxyType(
    {
        Verb.PROMOTE: Move(frozenset({State.SCHEDULED, State.RETRY}), State.PENDING, fenced=False),
        # By a worker that does not know the task, while another does.
        Verb.PUT_OFF: Move(frozenset({State.PENDING}), State.SCHEDULED, fenced=False),
        Verb.START: Move(frozenset({State.PENDING}), State.STARTED, fenced=False),
        Verb.PROGRESS: Move(RUNNING, State.PROGRESS, fenced=True),
        Verb.SUCCEED: Move(RUNNING, State.SUCCESS, fenced=True),
        Verb.FAIL: Move(RUNNING, State.FAILURE, fenced=True),
        Verb.RETRY: Move(RUNNING, State.RETRY, fenced=True),
        Verb.STOP: Move(RUNNING, State.REVOKED, fenced=True),
        Verb.LOSE: Move(RUNNING, State.PENDING, fenced=True),
        Verb.CANCEL: Move(WAITING, State.REVOKED, fenced=False),
        Verb.EXPIRE: Move(WAITING, State.FAILURE, fenced=False),
    }
)


@dataclass(frozen=True, slots=True)
class Standing:
    """A task's state and the number of its latest attempt (0 before the first)."""

    state: State
    attempt: int


def move(standing: Standing, verb: Verb, attempt: int | None = None) -> Standing | None:
    """Say where a task stands after a verb.

    Args:
        standing: Where the task stands now.
        verb: What happened.
        attempt: The number of the attempt that speaks; needed where the row is fenced.

    Returns:
        The new standing, or None where the move is refused: the task is elsewhere, or the attempt is not the live one.
    """
    row = MOVES[verb]
    if standing.state not in row.leaves or (row.fenced and attempt != standing.attempt):
        return None
    return Standing(row.enters, standing.attempt + (verb is Verb.START))


def diagram() -> str:
    """Draw the table as a Mermaid state diagram; the documentation shows this text and a test keeps it current."""
    lines = ["stateDiagram-v2", "    [*] --> PENDING: submit", "    [*] --> SCHEDULED: submit with a delay"]
    for verb, row in MOVES.items():
        lines += [f"    {state} --> {row.enters}: {verb}" for state in State if state in row.leaves]
    lines += [f"    {state} --> [*]" for state in State if state in FINAL]
    return "\n".join(lines)

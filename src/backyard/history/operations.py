"""Operations: what they are to do, how far they are, and the next tasks that they deal with.

They go from the newest task, as it was when they were asked for, to older ones. Where they are (``place``), what is
done and what came of it change in one statement, from where it was: so each task is counted once, whoever else works
on the same operation or dies over it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, case, func, insert, or_, select, tuple_, update

from backyard.core.operation import (
    OPEN_STATES,
    Matches,
    Operation,
    OperationOptions,
    OperationPlan,
    OperationReport,
    OperationState,
    OperationVerb,
)
from backyard.core.secrets import MASK
from backyard.core.states import FINAL, State
from backyard.core.task_filter import TaskFilter
from backyard.history.database import History
from backyard.history.filters import Place, conditions, numbers_of
from backyard.history.prune import delete_in
from backyard.history.queries import COUNTED, counts_of
from backyard.history.tables import artifacts, operations, position, tasks
from backyard.history.views import moment

#: A row of the table: as it was read, or as it was made.
Row = RowMapping | dict[str, Any]

_OPEN = [str(state) for state in OPEN_STATES]
_STARTED = [str(OperationState.RUNNING), str(OperationState.STOPPING)]


@dataclass(frozen=True, slots=True)
class Standing:
    """An operation as a keeper finds it.

    Args:
        operation_id: Its id.
        state: Its state.
        plan: What it is to do.
        newest: Number of the newest task that belongs to it.
        place: Number of the last task that was dealt with; None before it has begun.
        done: Tasks that were dealt with.
        report: What came of them.
        input: What replaces members of inputs, as it was kept: JSON text, or a sealed one.
    """

    operation_id: str
    state: OperationState
    plan: OperationPlan
    newest: int
    place: int | None
    done: int
    report: OperationReport
    input: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """A task that an operation deals with.

    Args:
        number: Its number.
        task_id: Its id.
        name: Its definition's name.
        input: Its input as JSON text.
        saved: Whether it has artifacts.
    """

    number: int
    task_id: str
    name: str
    input: str | None
    saved: bool


def create(
    history: History, operation_id: str, plan: OperationPlan, *, actor: str, now: int, sealed: str | None = None
) -> tuple[Operation, bool]:
    """Ask for an operation; returns it, and whether it is new: an id makes one operation.

    Args:
        history: The history.
        operation_id: Its id.
        plan: What it is to do.
        actor: Who asks for it.
        now: Milliseconds since 1970.
        sealed: What stands for ``options.input``, where nobody is to see it.

    Raises:
        InvalidInputError: The text cannot be searched for.
        HistoryUnavailableError: The database is away.
    """
    plan = plan.completed()
    conditions(history, plan.filter)  # refused now, to whoever asks, and not to a keeper
    options = plan.options.model_dump(mode="json")
    if not options["leave_out"]:
        del options["leave_out"]  # a keeper of the version before does not know it
    changes = options.pop("input")
    if changes is not None:
        # Of a sealed one the names can be shown, and nothing else.
        options |= {"input": changes} if sealed is None else {"input": sealed, "members": sorted(changes)}
    row: dict[str, Any] = dict.fromkeys(("place", "total", "started", "finished", "next_at"))
    row.update(
        operation_id=operation_id, created=now, verb=str(plan.verb), state=str(OperationState.WAITING), actor=actor,
        filter=plan.filter.model_dump_json(exclude_defaults=True), options=json.dumps(options), done=0,
        report=OperationReport().model_dump_json(),
    )  # fmt: skip
    with history.writing() as connection:
        found = connection.execute(select(operations).where(operations.c.operation_id == operation_id)).mappings()
        known = found.one_or_none()
        if known is None:
            next_number = connection.execute(select(position.c.next_number)).scalar_one_or_none()
            row["newest"] = (next_number or 1) - 1
            connection.execute(insert(operations), [row])
    return _view(known or row), known is None


def get(history: History, operation_id: str) -> Operation | None:
    """Return an operation; None where there is none of that id.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        row = connection.execute(select(operations).where(operations.c.operation_id == operation_id)).mappings()
        found = row.one_or_none()
    return None if found is None else _view(found)


def listing(history: History, limit: int, after: str | None = None) -> list[Operation]:
    """Return operations, newest first.

    Args:
        history: The history.
        limit: Operations at most.
        after: Only older ones than that one.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    place = (operations.c.created, operations.c.operation_id)
    wanted = select(operations).order_by(*(column.desc() for column in place)).limit(limit)
    if after is not None:
        last = select(operations.c.created).where(operations.c.operation_id == after).scalar_subquery()
        wanted = wanted.where(tuple_(*place) < tuple_(last, after))
    with history.reading() as connection:
        return [_view(row) for row in connection.execute(wanted).mappings()]


def stop(history: History, operation_id: str, now: int) -> Operation | None:
    """Stop an operation: one that waits at once, one that runs after its batch; a final one stays as it is.

    Args:
        history: The history.
        operation_id: Its id.
        now: Milliseconds since 1970.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    ours = update(operations).where(operations.c.operation_id == operation_id)
    with history.writing() as connection:
        waiting = ours.where(operations.c.state == str(OperationState.WAITING))
        connection.execute(waiting.values(state=str(OperationState.STOPPED), finished=now))
        running = ours.where(operations.c.state == str(OperationState.RUNNING))
        connection.execute(running.values(state=str(OperationState.STOPPING), next_at=None))
    return get(history, operation_id)


def matches(history: History, plan: OperationPlan) -> Matches:
    """Count the tasks that an operation would deal with; where they are counted one by one, the newest 10,000.

    Raises:
        InvalidInputError: The text cannot be searched for.
        HistoryUnavailableError: The database is away.
    """
    wanted = _able(plan.verb, plan.filter)
    if wanted is None:
        return Matches(states={}, total=0, exact=True)
    found, exact = counts_of(history, wanted)
    total = sum(found.values())
    return Matches(states=found, total=total if exact else COUNTED, exact=exact)


# -- what keepers do ----------------------------------------------------------------------------------------------


def next_due(history: History, now: int) -> tuple[Standing | None, int | None]:
    """Return the operation that is next, and else the time at which one will be.

    Those that are to stop go first, then the oldest.

    Args:
        history: The history.
        now: Milliseconds since 1970.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    is_open = operations.c.state.in_(_OPEN)
    urgent = case((operations.c.state == str(OperationState.STOPPING), 0), else_=1)
    due = select(operations).where(is_open, or_(operations.c.next_at.is_(None), operations.c.next_at <= now))
    first = due.order_by(urgent, operations.c.created, operations.c.operation_id).limit(1)
    with history.reading() as connection:
        row = connection.execute(first).mappings().one_or_none()
        if row is not None:
            return _standing(row), None
        return None, connection.execute(select(func.min(operations.c.next_at)).where(is_open)).scalar_one()


def claim(history: History, operation: Standing, now: int) -> bool:
    """Begin an operation that waits: count its tasks; False where another has, or it was stopped.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    wanted, total = _able(operation.plan.verb, operation.plan.filter), 0
    if wanted is not None:
        mine = [*conditions(history, wanted), tasks.c.number <= operation.newest]
        with history.reading() as connection:
            total = connection.execute(select(func.count()).select_from(tasks).where(*mine)).scalar_one()
    waiting = (operations.c.operation_id == operation.operation_id, operations.c.state == str(OperationState.WAITING))
    begun = {"state": str(OperationState.RUNNING), "place": operation.newest + 1, "total": total, "started": now}
    with history.writing() as connection:
        return connection.execute(update(operations).where(*waiting).values(begun)).rowcount == 1


def targets(history: History, operation: Standing, limit: int) -> list[Target]:
    """Return the next tasks that an operation deals with, newest first.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    wanted = _able(operation.plan.verb, operation.plan.filter)
    if wanted is None:
        return []
    saved = select(artifacts.c.number).where(artifacts.c.number == tasks.c.number).exists()
    rows = select(tasks.c.number, tasks.c.task_id, tasks.c.name, tasks.c.input, saved).order_by(tasks.c.number.desc())
    with history.reading() as connection:
        numbers = numbers_of(history, connection, wanted, Place(limit, after=operation.place))
        return [Target(*row) for row in connection.execute(rows.where(tasks.c.number.in_(numbers)))]


def advance(
    history: History,
    operation: Standing,
    *,
    report: OperationReport,
    dealt: Sequence[Target] = (),
    deleted: Sequence[int] = (),
    end: OperationState | None = None,
    next_at: int | None = None,
    now: int = 0,
) -> bool:
    """Say how far an operation is; False where another has gone on from the same place, or it is over.

    Args:
        history: The history.
        operation: As it was found.
        report: What has come of it so far.
        dealt: The tasks that were dealt with.
        deleted: Numbers of those whose rows go in the same step.
        end: The final state, at its end.
        next_at: When it goes on; None is at once. Milliseconds since 1970.
        now: Milliseconds since 1970.

    Raises:
        HistoryUnavailableError: The database is away; nothing was changed.
    """
    ours = (
        operations.c.operation_id == operation.operation_id,
        operations.c.place == operation.place,
        operations.c.state.in_(_STARTED),
    )
    change: dict[str, Any] = {"report": report.model_dump_json(), "next_at": next_at}
    if dealt:
        change |= {"place": dealt[-1].number, "done": operation.done + len(dealt)}
    if end is not None:
        change |= {"state": str(end), "finished": now, "next_at": None}
    with history.writing() as connection:
        if connection.execute(update(operations).where(*ours).values(change)).rowcount != 1:
            return False
        delete_in(history, connection, deleted)
        return True


def postpone(history: History, operation: Standing, next_at: int) -> None:
    """Let others go first until a time, in milliseconds since 1970.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    ours = operations.c.operation_id == operation.operation_id
    with history.writing() as connection:
        connection.execute(update(operations).where(ours, operations.c.state.in_(_OPEN)).values(next_at=next_at))


def _able(verb: OperationVerb, wanted: TaskFilter) -> TaskFilter | None:
    """Return the filter with the verb's own part: what has ended cannot be cancelled, say. None is no task."""
    able = [state for state in State if (state in FINAL) != (verb is OperationVerb.CANCEL)]
    states = tuple(state for state in able if not wanted.state or state in wanted.state)
    return wanted.model_copy(update={"state": states}) if states else None


def _standing(row: Row) -> Standing:
    kept = json.loads(row["options"])
    changes, _ = kept.pop("input", None), kept.pop("members", None)
    wanted = TaskFilter.model_validate_json(row["filter"])
    options = OperationOptions.model_validate(kept)
    plan = OperationPlan.model_construct(
        verb=OperationVerb(row["verb"]), everything=wanted.empty, filter=wanted, options=options
    )
    return Standing(
        operation_id=row["operation_id"],
        state=OperationState(row["state"]),
        plan=plan,
        newest=row["newest"],
        place=row["place"],
        done=row["done"],
        report=OperationReport.model_validate_json(row["report"]),
        input=changes if isinstance(changes, str) or changes is None else json.dumps(changes),
    )


def _view(row: Row) -> Operation:
    found = _standing(row)
    options, members = found.plan.options, json.loads(row["options"]).get("members")
    if found.input is not None:
        shown = json.loads(found.input) if members is None else dict.fromkeys(members, MASK)
        options = options.model_copy(update={"input": shown})
    total, done = row["total"], row["done"]
    progress = None if total is None else 100.0 if done >= total else round(100 * done / total, 1)
    created = moment(row["created"])
    assert created is not None
    return Operation(
        operation_id=found.operation_id, verb=found.plan.verb, state=found.state, actor=row["actor"],
        filter=found.plan.filter, options=options, total=total, done=done, progress=progress, report=found.report,
        date_created=created, date_started=moment(row["started"]), date_done=moment(row["finished"]),
    )  # fmt: skip

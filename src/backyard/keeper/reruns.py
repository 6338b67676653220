"""Reruns of an operation: submits with ids that follow from the task, and the canary that goes first."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from backyard.app import Backyard
from backyard.core.errors import InvalidInputError, QueueFullError, UnknownDefinitionError
from backyard.core.operation import OperationProblem, OperationReport, sealing_place
from backyard.core.rerun import edited_input
from backyard.core.states import FINAL, State
from backyard.core.vault import ClosedError
from backyard.history.operations import Standing, Target
from backyard.history.queries import task_of
from backyard.ledger.submission import Submission
from backyard.submit import BETWEEN, Options, submission

#: Problems that a report names; the first ones say enough.
SHOWN: Final = 20
#: Characters of a problem's text that are kept.
LONGEST: Final = 500
#: Ids of reruns are made in here.
_SPACE: Final = uuid.UUID("7b0f3c1e-6c0a-5b39-9a55-0e6f6f2f3d11")


def rerun_id(operation_id: str, task_id: str) -> str:
    """Return the id of the rerun of a task by an operation, the same whoever submits it."""
    return str(uuid.uuid5(_SPACE, f"{operation_id}\0{task_id}"))


@dataclass(frozen=True, slots=True)
class Canary:
    """How the reruns that went first stand.

    Args:
        passed: All of them have succeeded.
        trouble: What became of the first that has not; None while there is none.
    """

    passed: bool
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a batch.

    Args:
        dealt: Its tasks, up to where a queue was full.
        submitted: The reruns among them.
        outcomes: What each came to.
        problems: Those that were refused.
        full: The queue's refusal, where it had no room.
    """

    dealt: list[Target]
    submitted: list[str]
    outcomes: Counter[str]
    problems: list[OperationProblem]
    full: QueueFullError | None

    def added_to(self, report: OperationReport, *, canary: bool) -> OperationReport:
        """Return a report with this batch in it."""
        return OperationReport(
            outcomes=dict(Counter(report.outcomes) + self.outcomes),
            problems=[*report.problems, *self.problems][:SHOWN],
            canary=[*report.canary, *self.submitted] if canary else report.canary,
            canary_passed=report.canary_passed,
            message=None if self.full is None else self.full.message,
        )


class Reruns:
    """Submits tasks again.

    Args:
        yard: The yard, with its definitions.
    """

    def __init__(self, yard: Backyard) -> None:
        self._yard = yard

    def look(self, task_ids: Sequence[str]) -> Canary:
        """Say how the reruns that went first stand.

        Raises:
            LedgerUnavailableError: The server is away.
            HistoryUnavailableError: The database is away.
        """
        calls = self._yard.ledger.calls
        records = self._yard.ledger.run(calls.records(task_ids)) if task_ids else []
        views = {record.task_id: record.view() for record in records}
        passed = True
        for task_id in task_ids:
            view = views.get(task_id) or task_of(self._yard.history, task_id)
            if view is None:
                return Canary(passed=False, trouble=f"{task_id} was deleted before it was known to succeed")
            if view.state in FINAL and view.state is not State.SUCCESS:
                failure = f" ({view.failure.type}: {view.failure.message})" if view.failure else ""
                return Canary(passed=False, trouble=f"{task_id} ended in {view.state}{failure}"[:LONGEST])
            passed = passed and view.state is State.SUCCESS
        return Canary(passed=passed)

    def submit(self, operation: Standing, batch: Sequence[Target]) -> Sent:
        """Submit tasks again, in their order.

        Raises:
            InvalidInputError: What is to replace members of inputs cannot be read.
            LedgerUnavailableError: The server is away; repeat it, and each is submitted once.
        """
        changes = self._changes(operation)
        ready = [self._prepared(operation, one, changes) for one in batch]
        kept: list[tuple[Submission, str]] = []
        wanted = [one for one in ready if isinstance(one, Submission)]
        size, full = max(len(wanted), 1), None
        while len(kept) < len(wanted):
            some = wanted[len(kept) : len(kept) + size]
            try:
                accepted = self._yard.ledger.submit(some)
            except QueueFullError as error:
                if size == 1:
                    full = error
                    break
                size = max(1, size // 2)
                continue
            kept += zip(some, (one.task_id for one in accepted), strict=True)
        return _sent(batch, ready, kept, full)

    def _changes(self, operation: Standing) -> Mapping[str, Any] | None:
        kept, vault = operation.input, self._yard.vault
        if kept is not None and kept.startswith("sealed:"):
            try:
                opened = None if vault is None else vault.open(kept, sealing_place(operation.operation_id))
            except ClosedError as error:
                raise InvalidInputError(f"The edited input of this operation cannot be opened: {error}.") from None
            if opened is None:
                raise InvalidInputError("The edited input is sealed, and this keeper has no BACKYARD_SECRET_KEYS.")
            kept = opened.decode()
        changes: Mapping[str, Any] | None = None if kept is None else json.loads(kept)
        return changes

    def _prepared(
        self, operation: Standing, target: Target, changes: Mapping[str, Any] | None
    ) -> Submission | OperationProblem | None:
        """Return what is to be submitted, or why that cannot be; None where the task is to be left alone."""
        operation_id = operation.operation_id
        if target.task_id in operation.plan.options.leave_out:
            return None
        options = Options(
            task_id=rerun_id(operation_id, target.task_id), rerun_of=target.task_id,
            idempotency_key=f"operation{BETWEEN}{operation_id}{BETWEEN}{target.task_id}",
        )  # fmt: skip
        try:
            definition = self._yard.definition(target.name)
            payload = edited_input(definition, target.input, changes)
            made = submission(definition, payload, options, self._yard.settings)
        except (InvalidInputError, UnknownDefinitionError) as error:
            return OperationProblem(task_id=target.task_id, message=error.message[:LONGEST])
        return replace(made, fields={**made.fields, "operation": operation_id})


def _sent(
    batch: Sequence[Target],
    ready: Sequence[Submission | OperationProblem | None],
    kept: Sequence[tuple[Submission, str]],
    full: QueueFullError | None,
) -> Sent:
    """Say what came of a batch, up to the first task that found no room."""
    sent = Sent([], [], Counter(), [], full)
    answers = iter(kept)
    for target, one in zip(batch, ready, strict=True):
        if isinstance(one, OperationProblem):
            sent.problems.append(one)
            sent.outcomes["refused"] += 1
        elif one is None:
            sent.outcomes["left_out"] += 1
        else:
            answer = next(answers, None)
            if answer is None:
                break
            ours = answer[1] == one.task_id
            sent.outcomes["submitted" if ours else "in_the_way"] += 1
            if ours:
                sent.submitted.append(one.task_id)
        sent.dealt.append(target)
    return sent

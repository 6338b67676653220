"""Operations in the history: what belongs to them, how they go on, and that nothing counts twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select, table

from backyard.core.errors import InvalidInputError
from backyard.core.operation import Operation, OperationPlan, OperationReport, OperationState
from backyard.core.task_filter import TaskFilter
from backyard.history import operations, tables
from backyard.history.database import History
from backyard.history.operations import Standing
from backyard.history.prune import delete_tasks
from backyard.history.queries import counts_of, page_of
from backyard.history.recorder import OvertakenError, Recorder
from support.news import Teller


@pytest.fixture
def teller(history: History) -> Teller:
    """Ten tasks: t0 ... t9, every third waiting, the others ended."""
    teller = Teller()
    recorder = recorder_of(history)
    for number in range(10):
        if number % 3:
            state = "FAILURE" if number % 2 else "SUCCESS"
            recorder.record(teller.whole(f"t{number}", state=state, tags=["a", "b"], input={"word": f"w{number}"}))
        else:
            recorder.record([teller.born(f"t{number}")])
    return teller


def recorder_of(history: History) -> Recorder:
    recorder = Recorder(history, lambda _: {})
    if recorder.position() is None:
        recorder.begin("0-0")
    return recorder


def made(history: History, verb: str, operation_id: str = "o", now: int = 1, **plan: Any) -> Operation:
    known = OperationPlan.model_validate({"verb": verb, "everything": True, **plan})
    return operations.create(history, operation_id, known, actor="me", now=now)[0]


def found(history: History, now: int = 1) -> Standing:
    standing, _ = operations.next_due(history, now)
    assert standing is not None
    return standing


def begun(history: History) -> Standing:
    assert operations.claim(history, found(history), 2)
    return found(history)


def ids(history: History, standing: Standing, limit: int = 100) -> list[str]:
    return [one.task_id for one in operations.targets(history, standing, limit)]


@pytest.mark.parametrize(
    ("verb", "wanted", "expected"),
    [
        ("cancel", {}, "t9 t6 t3 t0"),
        ("rerun", {}, "t8 t7 t5 t4 t2 t1"),
        ("delete", {"state": ["SUCCESS", "PENDING"]}, "t8 t4 t2"),
        ("rerun", {"fingerprint": "f00"}, "t7 t5 t1"),
        ("rerun", {"text": "w4"}, "t4"),
        ("delete", {"state": "PENDING"}, ""),
    ],
)
def test_a_verb_takes_what_it_can_be_done_to(
    history: History, teller: Teller, verb: str, wanted: dict[str, Any], expected: str
) -> None:
    operation = made(history, verb, filter=wanted)
    assert (operation.state, operation.total, operation.progress) == (OperationState.WAITING, None, None)
    recorder_of(history).record([*teller.whole("late", state="FAILURE"), teller.born("later")])
    standing = begun(history)
    assert ids(history, standing) == expected.split()
    kept = operations.get(history, "o")
    assert kept is not None
    total = len(expected.split())
    assert (kept.state, kept.total, kept.progress) == (OperationState.RUNNING, total, 0.0 if total else 100.0)
    late = 0 if "text" in wanted or verb == "delete" else 1
    counted = operations.matches(history, standing.plan)
    assert (counted.total, counted.exact) == (total + late, True)


@pytest.mark.usefixtures("teller")
def test_of_two_that_did_the_same_batch_one_counts(history: History) -> None:
    made(history, "rerun")
    waiting = found(history)
    assert operations.claim(history, waiting, 2)
    assert not operations.claim(history, waiting, 2)
    first = second = found(history)
    batch = operations.targets(history, first, 4)
    report = OperationReport(outcomes={"submitted": 4})
    assert operations.advance(history, first, report=report, dealt=batch)
    assert not operations.advance(history, second, report=report, dealt=batch)
    assert not operations.advance(history, second, report=OperationReport(), end=OperationState.FAILED)
    after = found(history)
    assert (after.done, after.report.outcomes, ids(history, after)) == (4, {"submitted": 4}, ["t2", "t1"])
    rest = operations.targets(history, after, 4)
    assert operations.advance(history, after, report=report, dealt=rest)
    assert operations.advance(history, found(history), report=report, end=OperationState.DONE, now=9)
    over = operations.get(history, "o")
    assert over is not None
    assert (over.state, over.done, over.progress, over.final) == (OperationState.DONE, 6, 100.0, True)
    assert over.date_done is not None
    assert operations.next_due(history, 99) == (None, None)


@pytest.mark.usefixtures("teller")
def test_a_stop_ends_one_that_waits_at_once_and_one_that_runs_after_its_batch(history: History) -> None:
    made(history, "rerun", "first", 1)
    made(history, "rerun", "second", 2)
    stopped = operations.stop(history, "second", 3)
    assert stopped is not None
    assert stopped.state is OperationState.STOPPED
    standing = begun(history)
    stopping = operations.stop(history, "first", 3)
    assert stopping is not None
    assert stopping.state is OperationState.STOPPING
    # What was done meanwhile counts.
    assert operations.advance(
        history, standing, report=OperationReport(), dealt=operations.targets(history, standing, 1)
    )
    after = found(history)
    assert (after.state, after.done) == (OperationState.STOPPING, 1)
    assert operations.advance(history, after, report=after.report, end=OperationState.STOPPED, now=4)
    again = operations.stop(history, "first", 5)
    assert again is not None
    assert again.state is OperationState.STOPPED
    assert operations.stop(history, "nobody", 5) is None


@pytest.mark.usefixtures("teller")
def test_who_is_next(history: History) -> None:
    for number, name in enumerate("abc"):
        made(history, "rerun", name, number)
    a = begun(history)
    assert (a.operation_id, a.state) == ("a", OperationState.RUNNING)
    operations.postpone(history, a, 50)
    b = begun(history)
    assert operations.advance(history, b, report=b.report, next_at=40)
    assert found(history).operation_id == "c"
    operations.stop(history, "c", 3)
    assert operations.next_due(history, 3) == (None, 40)
    assert found(history, 50).operation_id == "a"
    operations.stop(history, "b", 3)
    assert found(history, 50).operation_id == "b"


def test_lists_go_from_the_newest_to_older_ones(history: History) -> None:
    for number in range(5):
        made(history, "cancel", f"o{number}", number // 2)
    names = [one.operation_id for one in operations.listing(history, 10)]
    assert names == ["o4", "o3", "o2", "o1", "o0"]
    assert [one.operation_id for one in operations.listing(history, 2, "o3")] == ["o2", "o1"]
    assert operations.listing(history, 2, "unknown") == []


def test_an_id_makes_one_operation(history: History) -> None:
    plan = OperationPlan.model_validate({"verb": "rerun", "filter": {"name": "f"}, "options": {"input": {"a": 1}}})
    first, new = operations.create(history, "o", plan, actor="me", now=1, sealed="sealed:1:00000000:abc")
    second, again = operations.create(history, "o", plan, actor="me", now=2)
    assert (new, again, first) == (True, False, second)
    assert first.options.input == {"a": "**********"}
    assert found(history).input == "sealed:1:00000000:abc"


def test_a_text_that_cannot_be_searched_for_is_refused_at_once(history: History) -> None:
    with pytest.raises(InvalidInputError, match="1 to 20 words"):
        made(history, "cancel", filter={"text": "!!!"})
    assert operations.listing(history, 1) == []


def test_deleted_tasks_leave_nothing_but_sums(history: History, teller: Teller) -> None:
    recorder = recorder_of(history)
    artifact = {"name": "a.txt", "size": 1, "content_type": "text/plain", "url": "/"}
    recorder.record([teller.born("x"), teller.started("x"), teller.say("x", "artifact", "STARTED", 1, artifact)])
    recorder.record([teller.ended("x")])
    gone = delete_tasks(history, [*range(2, 12), 77])
    assert sorted(one.task_id for one in gone) == ["t1", "t2", "t4", "t5", "t7", "t8", "x"]
    assert [one.task_id for one in page_of(history, TaskFilter(), 20).tasks] == ["t9", "t6", "t3", "t0"]
    assert counts_of(history, TaskFilter()) == ({"PENDING": 4}, True)
    assert page_of(history, TaskFilter(text="w4"), 9).tasks == []
    with history.reading() as connection:
        left = {
            one.name: connection.execute(select(func.count()).select_from(one)).scalar_one()
            for one in (tables.attempts, tables.events, tables.artifacts, tables.tags, tables.error_groups)
        }
        words = select(func.count()).select_from(table("task_text"))
        left["task_text"] = connection.execute(words).scalar_one()
    assert left == {"task_text": 4, "attempts": 0, "events": 4, "artifacts": 0, "tags": 0, "error_groups": 1}
    assert delete_tasks(history, [2, 3]) == []


@pytest.mark.usefixtures("teller")
def test_rows_go_with_the_step_that_counts_them_or_stay(history: History) -> None:
    made(history, "delete")
    first = second = begun(history)
    batch = operations.targets(history, first, 2)
    assert operations.advance(history, first, report=first.report, dealt=batch, deleted=[batch[0].number])
    others = operations.targets(history, first, 3)
    assert not operations.advance(
        history, second, report=second.report, dealt=others, deleted=[one.number for one in others]
    )
    assert counts_of(history, TaskFilter())[0] == {"PENDING": 4, "SUCCESS": 2, "FAILURE": 3}


def test_an_id_that_is_used_anew_while_it_is_deleted_is_not_lost(history: History) -> None:
    teller = Teller()
    recorder_of(history).record(teller.whole("t1", state="FAILURE"))
    teller.later(5)
    anew = teller.born("t1", input="long")
    anew = replace(
        anew, fields={name: value for name, value in anew.fields.items() if name != "input"}, left_out=("input",)
    )

    def fetch(_: Sequence[str]) -> dict[str, dict[str, str]]:
        # Between what the recorder reads and what it writes.
        delete_tasks(history, [1])
        return {"t1": {"input": '"long"'}}

    recorder = Recorder(history, fetch)
    recorder.position()
    with pytest.raises(OvertakenError):
        recorder.record([anew])
    recorder.position()
    recorder.record([anew])
    assert counts_of(history, TaskFilter()) == ({"PENDING": 1}, True)
    assert [(one.task_id, one.input) for one in page_of(history, TaskFilter(), 9).tasks] == [("t1", "long")]

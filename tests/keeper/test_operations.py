from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from backyard import Backyard
from backyard.core.errors import LedgerUnavailableError
from backyard.core.operation import Operation, OperationPlan, OperationState
from backyard.core.states import State
from backyard.core.task_filter import TaskFilter
from backyard.history import operations
from backyard.history.queries import counts_of, page_of, task_of
from backyard.history.tables import artifacts, tasks
from backyard.keeper import operations as duty_module
from backyard.keeper.operations import LONGEST_REST
from backyard.keeper.reruns import rerun_id
from backyard.submit import Options, submission
from support.clean import wait_until
from support.keepers import await_recorded, start_keeper
from support.operated import Stage, states


def test_cancel_takes_all_that_wait_and_nothing_else(stage: Stage) -> None:
    done = stage.submit(3) and stage.work(State.SUCCESS)
    waits = stage.submit(16) + stage.submit(4, delay=600.0)
    others = stage.submit(2, "narrow")
    stage.record()
    stage.make("cancel", filter={"name": "mail"})
    late = stage.submit(1)
    over = stage.run()
    assert (over.state, over.total, over.done, over.progress) == (OperationState.DONE, 20, 20, 100.0)
    assert over.report.outcomes == {"cancelled": 20}
    assert states(stage, waits) == {State.REVOKED}
    assert states(stage, done) == {State.SUCCESS}
    assert states(stage, [*others, *late]) == {State.PENDING}


def test_delete_leaves_nothing_of_a_task(stage: Stage) -> None:
    ended = stage.submit(9) and stage.work(State.SUCCESS)
    waits = stage.submit(2)
    stage.yard.files.save_artifact(ended[0], "a.txt", b"text")
    artifact = '{"name":"a.txt","size":4,"content_type":"text/plain","url":"/"}'
    stage.record()
    with stage.yard.history.writing() as connection:
        number = connection.execute(tasks.select().where(tasks.c.task_id == ended[0])).one().number
        connection.execute(artifacts.insert(), [{"number": number, "name": "a.txt", "data": artifact}])
    stage.make("delete")
    over = stage.run()
    assert (over.state, over.done, over.report.outcomes) == (OperationState.DONE, 9, {"deleted": 9})
    assert [task_of(stage.yard.history, one) for one in ended] == [None] * 9
    assert stage.yard.ledger.run(stage.yard.ledger.calls.records(ended)) == []
    assert asyncio.run(stage.yard.files.list_artifacts(ended[0])) == []
    assert counts_of(stage.yard.history, TaskFilter()) == ({"PENDING": 2}, True)
    assert list(stage.bench.records()) == waits


def test_a_task_that_runs_anew_meanwhile_is_not_deleted(stage: Stage) -> None:
    (task_id,) = stage.submit(1) and stage.work()
    stage.make("delete")
    definition = stage.yard.definition("mail")
    anew = submission(definition, b'{"number":1}', Options(task_id=task_id), stage.yard.settings)
    stage.yard.ledger.submit([replace(anew, again=True)])
    over = stage.run()
    assert (over.report.outcomes, stage.bench.state(task_id)) == ({"kept": 1}, State.PENDING)


def test_rerun_makes_one_new_task_of_each(stage: Stage) -> None:
    ended = stage.submit(17) and stage.work()
    stage.submit(2)
    stage.record()
    stage.make("rerun", filter={"state": "FAILURE"})
    over = stage.run()
    assert (over.state, over.done, over.report.outcomes) == (OperationState.DONE, 17, {"submitted": 17})
    made = stage.reruns()
    assert sorted(made) == sorted(rerun_id("o", one) for one in ended)
    views = [stage.bench.record(one).view() for one in made]
    assert sorted(str(view.rerun_of) for view in views) == sorted(ended)
    assert sorted(view.input["number"] for view in views) == list(range(17))
    assert {view.state for view in views} == {State.PENDING}


def test_a_keeper_that_dies_in_the_middle_repeats_nothing_and_misses_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.submit(20)
    stage.work()
    stage.make("rerun", filter={"state": "FAILURE"})
    real, times = operations.advance, iter(range(100))

    def dies(*given: Any, **more: Any) -> bool:
        if next(times) % 2 == 0:
            raise LedgerUnavailableError("as if it died after the submit")
        return real(*given, **more)

    monkeypatch.setattr(operations, "advance", dies)
    for _ in range(40):
        try:
            stage.duty().step()
        except LedgerUnavailableError:
            # What it has submitted was taken and has ended meanwhile, too.
            stage.work(State.SUCCESS)
    over = stage.seen()
    assert (over.state, over.done, over.report.outcomes) == (OperationState.DONE, 20, {"submitted": 20})
    assert len(stage.reruns()) == 20
    stage.work(State.SUCCESS)
    assert counts_of(stage.yard.history, TaskFilter())[0] == {"FAILURE": 20, "SUCCESS": 20}


@pytest.mark.parametrize("verb", ["rerun", "delete"])
def test_a_second_keeper_beside_it_changes_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    stage.submit(20)
    stage.work()
    stage.make(verb, filter={"state": "FAILURE"})
    real, second, deep = operations.targets, stage.duty(), [0]

    def slowly(*given: Any) -> Any:
        batch = real(*given)
        if not deep[0]:
            deep[0] = 1
            second.step()
            deep[0] = 0
        return batch

    monkeypatch.setattr(operations, "targets", slowly)
    over = stage.run()
    outcome = "submitted" if verb == "rerun" else "deleted"
    assert (over.state, over.done, over.report.outcomes) == (OperationState.DONE, 20, {outcome: 20})
    assert len(stage.reruns()) == (20 if verb == "rerun" else 0)


def test_a_stop_in_the_middle_leaves_the_rest_alone(stage: Stage) -> None:
    stage.submit(20)
    stage.work()
    stage.make("rerun", filter={"state": "FAILURE"})
    assert stage.run(steps=2).done == 7
    operations.stop(stage.yard.history, "o", 5)
    over = stage.run()
    assert (over.state, over.done, over.progress, len(stage.reruns())) == (OperationState.STOPPED, 7, 35.0, 7)


def test_one_that_cannot_go_on_does_not_hold_up_the_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage.submit(2)
    stage.work()
    stage.make("delete", "bad")
    stage.make("rerun")

    def fails(*_: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(duty_module, "clear", fails)
    with caplog.at_level(logging.CRITICAL, "backyard.keeper"):
        assert stage.run(steps=10).state is OperationState.DONE
    assert stage.seen("bad").state is OperationState.RUNNING
    monkeypatch.undo()
    stage.now += 60
    for _ in range(4):
        stage.duty().step()
    assert stage.seen("bad").state is OperationState.DONE


def test_without_operations_it_rests(stage: Stage) -> None:
    assert stage.duty().step() == LONGEST_REST


def test_keepers_that_are_killed_in_the_middle(environment: dict[str, str], new_yard: Backyard) -> None:
    sent = [new_yard.celery.send_task("add", kwargs={"a": number}, countdown=600).id for number in range(400)]
    new_yard.cancel_sync(sent)
    first, second = start_keeper(environment), start_keeper(environment)
    try:
        await_recorded(new_yard.ledger)
        plan = OperationPlan.model_validate({"verb": "rerun", "everything": True, "options": {"rate": 50}})
        operations.create(new_yard.history, "o", plan, actor="me", now=1)

        def seen() -> Operation:
            found = operations.get(new_yard.history, "o")
            assert found is not None
            return found

        for keeper in (first, second):
            before = seen().done
            wait_until(lambda before=before: before < seen().done, "it goes on")  # type: ignore[misc]  # bound at once
            assert not seen().final
            if keeper is first:
                keeper.kill()
        third = start_keeper(environment)
        second.kill()
        try:
            over = wait_until(lambda: found if (found := seen()).final else None, "it ends")
            assert over is not None
            assert (over.state, over.done, over.report.outcomes) == (OperationState.DONE, 400, {"submitted": 400})
            await_recorded(new_yard.ledger)
            made = page_of(new_yard.history, TaskFilter(operation="o"), 1_000).tasks
            assert sorted(str(one.rerun_of) for one in made) == sorted(sent)
        finally:
            third.end()
    finally:
        for keeper in (first, second):
            keeper.end()
        new_yard.history.close()
        new_yard.ledger.close()

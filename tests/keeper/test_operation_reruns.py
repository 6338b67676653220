from __future__ import annotations

import pytest

from backyard.core.operation import OperationPlan, OperationState, sealing_place
from backyard.core.states import State, Verb
from backyard.history import operations
from support.operated import FAILURE, Stage


def test_a_canary_that_fails_ends_it(stage: Stage) -> None:
    stage.submit(20)
    stage.work()
    assert stage.make("rerun", filter={"fingerprint": "f00"}).options.canary == 5
    waiting = stage.run(steps=6)
    assert (waiting.state, waiting.done, len(stage.reruns())) == (OperationState.RUNNING, 5, 5)
    assert waiting.report.message == "It waits for the first reruns to succeed."
    stage.work(State.SUCCESS, 4)
    assert not stage.run(steps=3).final
    (failed,) = stage.work(State.FAILURE)
    over = stage.run()
    assert (over.state, over.done, over.report.canary_passed) == (OperationState.FAILED, 5, False)
    assert f"{failed} ended in FAILURE (ValueError: no such customer)" in str(over.report.message)
    assert len(stage.reruns()) == 5


@pytest.mark.parametrize(("canary", "first"), [(2, 2), (7, 7), (50, 20)])
def test_after_a_canary_that_succeeds_the_rest_goes(stage: Stage, canary: int, first: int) -> None:
    stage.submit(20)
    stage.work()
    stage.make("rerun", filter={"state": "FAILURE"}, options={"canary": canary})
    assert stage.run(steps=12).done == first
    assert len(stage.work(State.SUCCESS)) == first
    over = stage.run()
    assert (over.state, over.done, over.report.canary_passed) == (OperationState.DONE, 20, True)
    assert (len(over.report.canary), len(stage.reruns()), over.report.message) == (first, 20, None)


def test_what_was_tried_by_hand_is_left_out(stage: Stage) -> None:
    first, *others = stage.submit(8)
    stage.work()
    stage.make("rerun", filter={"fingerprint": "f00"}, options={"leave_out": [first]})
    stage.run(steps=12)
    stage.work(State.SUCCESS)
    over = stage.run()
    assert (over.state, over.done) == (OperationState.DONE, 8)
    assert over.report.outcomes == {"submitted": 7, "left_out": 1}
    assert {stage.bench.record(one).text("rerun_of") for one in stage.reruns()} == set(others)


def test_a_rate_is_kept_whoever_goes_on(stage: Stage) -> None:
    stage.submit(20)
    stage.work()
    stage.make("rerun", filter={"state": "FAILURE"}, options={"rate": 4})
    before = stage.now
    over = stage.run(stage.duty(), stage.duty(), stage.duty())
    assert (over.state, over.done) == (OperationState.DONE, 20)
    assert 4.5 <= stage.now - before <= 5.5


def test_an_edited_input_is_checked_by_the_definition_of_today(stage: Stage) -> None:
    ended = stage.submit(3) and stage.work()
    send = stage.yard.celery.send_task
    gone = [send("gone", kwargs={}).id, send("mail", args=[7]).id]
    stage.work()
    stage.make("rerun", filter={"state": "FAILURE"}, options={"input": {"word": "new"}})
    over = stage.run()
    assert over.report.outcomes == {"submitted": 4, "refused": 1}
    assert [one.task_id for one in over.report.problems] == gone[:1]
    assert "'gone'" in over.report.problems[0].message
    inputs = [stage.bench.record(one).json("input") for one in stage.reruns()]
    assert sorted(one["number"] for one in inputs) == [0, 1, 2, 7]
    assert {one["word"] for one in inputs} == {"new"}
    stage.make("rerun", "wrong", filter={"rerun_of": ended[0]}, options={"input": {"number": "x"}})
    stage.work(State.SUCCESS)
    for _ in range(4):
        stage.duty().step()
    wrong = stage.seen("wrong")
    assert (wrong.state, wrong.report.outcomes) == (OperationState.DONE, {"refused": 1})
    assert "number" in wrong.report.problems[0].message


def test_an_edited_input_may_be_sealed(stage: Stage) -> None:
    stage.submit(1)
    stage.work()
    vault = stage.yard.vault
    assert vault is not None
    plan = OperationPlan.model_validate({"verb": "rerun", "everything": True, "options": {"input": {"word": "hush"}}})
    sealed = vault.seal(b'{"word":"hush"}', sealing_place("o"))
    operations.create(stage.yard.history, "o", plan, actor="me", now=1, sealed=sealed)
    stage.run()
    (made,) = stage.reruns()
    assert stage.bench.record(made).json("input") == {"number": 0, "word": "hush"}
    operations.create(stage.yard.history, "moved", plan, actor="me", now=1, sealed=sealed)
    stage.work()
    for _ in range(3):
        stage.duty().step()
    moved = stage.seen("moved")
    assert moved.state is OperationState.FAILED
    assert "cannot be opened" in str(moved.report.message)


def test_a_full_queue_is_waited_for(stage: Stage) -> None:
    for _ in range(3):
        stage.submit(3, "narrow")
        for taken in stage.bench.take("c", 9, ["narrow"]):
            _, pending = stage.bench.entries()
            task_id = pending[f"narrow/{taken.tag}"]
            stage.bench.start(task_id, taken.tag)
            stage.bench.move(Verb.FAIL, task_id, 1, fields={"failure": FAILURE})
            stage.bench.run(stage.bench.calls.acknowledge([taken.place]))
    stage.record()
    stage.make("rerun", filter={"name": "narrow"})
    full = stage.run(steps=4)
    assert (full.done, full.state) == (3, OperationState.RUNNING)
    assert "'narrow' may hold 3 tasks" in str(full.report.message)
    stage.yard.cancel_sync(stage.reruns())
    full = stage.run(steps=130)
    assert (full.done, full.state) == (6, OperationState.RUNNING)


def test_a_rerun_that_has_a_twin_is_counted_and_not_made(stage: Stage) -> None:
    stage.submit(1, "alone")
    stage.work()
    stage.submit(1, "alone")
    stage.record()
    stage.make("rerun", filter={"state": "FAILURE"})
    assert stage.run().report.outcomes == {"in_the_way": 1}
    assert stage.reruns() == []

"""Celery's own callers keep their habits, and their tasks have records as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import ChordError, TaskRevokedError
from celery.result import AsyncResult, GroupResult

from backyard.core.errors import UnknownTaskError
from backyard.core.models import FailureKind
from backyard.core.states import State
from support.clean import news_of, wait_final, wait_for_state, wait_until
from support.stage import Stage
from support.trials import starts


def test_delay_and_result(served: Stage) -> None:
    result = served.plain.multiply.delay(6, 7)
    assert result.get(timeout=30) == 42
    assert (result.state, result.successful(), result.ready()) == ("SUCCESS", True, True)
    record = served.ledger.record(result.id)
    assert record.json("input") == {"args": [6, 7], "kwargs": {}}
    assert record.text("name") == "multiply"
    assert record.text("worker")
    assert served.yard.celery.AsyncResult(result.id).date_done is not None


def test_results_wait_for_tasks_that_end_later(served: Stage, gate: Path) -> None:
    result = served.plain.long.delay(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    assert not result.ready()
    gate.touch()
    assert result.get(timeout=30) == "long"


def test_an_exception_comes_back(served: Stage) -> None:
    result = served.plain.fail.delay("with words")
    with pytest.raises(ValueError, match="with words"):
        result.get(timeout=30)
    assert "with words" in result.traceback
    record = served.ledger.record(result.id)
    assert record.failure is not None
    assert (record.failure.kind, record.failure.type) == (FailureKind.ERROR, "ValueError")


def test_countdown_and_eta_wait_in_the_ledger(served: Stage) -> None:
    result = served.plain.multiply.apply_async((2, 3), countdown=0.3)
    assert result.get(timeout=30) == 6
    assert [state for state, _ in news_of(served.ledger, result.id)][:2] == ["SCHEDULED", "PENDING"]


def test_what_expires_before_it_starts_is_revoked_for_celery(served: Stage) -> None:
    result = served.plain.multiply.apply_async((2, 3), countdown=0.3, expires=0.1)
    with pytest.raises(TaskRevokedError, match="expired"):
        result.get(timeout=30)
    assert result.state == "REVOKED"
    record = wait_final(served.ledger, result.id)
    assert record.failure is not None
    assert (record.state, record.failure.kind) == (State.FAILURE, FailureKind.EXPIRED)
    assert record.number("attempt") == 0


def test_forget_deletes_what_is_over_and_nothing_else(served: Stage, gate: Path) -> None:
    result = served.plain.long.delay(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    served.yard.celery.AsyncResult(result.id).forget()
    assert served.ledger.record(result.id).state is State.STARTED
    gate.touch()
    assert result.get(timeout=30) == "long"
    result.forget()
    with pytest.raises(UnknownTaskError):
        served.ledger.record(result.id)


def test_self_retry(served: Stage) -> None:
    result = served.plain.retrying.delay(2)
    assert result.get(timeout=30) == 2
    assert served.ledger.record(result.id).number("attempt") == 3


def test_update_state_is_progress_and_custom_states_are_kept(served: Stage, gate: Path) -> None:
    result = served.plain.reporting.delay(str(gate))
    wait_until(lambda: result.state == "PROGRESS", "it reports")
    assert result.info == {"current": 1, "total": 4, "status": "busy"}
    view = served.ledger.record(result.id).view()
    assert (view.state, view.progress, view.progress_message) == (State.PROGRESS, 25.0, "busy")
    Path(f"{gate}.1").touch()
    wait_until(lambda: result.state == "CUSTOM", "it reports its own state")
    assert result.info == {"mine": True}
    assert served.ledger.record(result.id).state is State.PROGRESS
    Path(f"{gate}.2").touch()
    assert result.get(timeout=30) == "done"


def test_ignored_results_leave_a_record_without_the_result(served: Stage) -> None:
    for result in (served.plain.quiet.delay(5), served.plain.multiply.apply_async((2, 3), ignore_result=True)):
        record = wait_final(served.ledger, result.id)
        assert (record.state, record.json("result")) == (State.SUCCESS, None)


def test_reject_gives_back_or_fails(served: Stage, gate: Path) -> None:
    assert served.plain.rejecting.delay(str(gate), requeue=True).get(timeout=30) == "second"
    assert starts(gate) == [["False"], ["True"]]
    refused = served.plain.rejecting.delay(str(gate), requeue=False)
    assert wait_final(served.ledger, refused.id).state is State.FAILURE


def test_a_task_that_rejects_itself_often_is_not_lost(served: Stage) -> None:
    assert served.ledger.run(served.ledger.calls.record("none")) is None
    result = served.plain.coming_back.delay(6)
    assert result.get(timeout=30) == 7
    assert served.ledger.record(result.id).number("lost") == 0


def test_ignore_ends_a_task(served: Stage) -> None:
    result = served.plain.ignoring.delay()
    record = wait_final(served.ledger, result.id)
    assert (record.state, record.json("result")) == (State.SUCCESS, None)


def test_chain(served: Stage) -> None:
    result = chain(served.plain.multiply.s(2, 3), served.plain.multiply.s(4), served.typed.add.s(1))()
    assert result.get(timeout=30) == 25
    ids = [result.id, result.parent.id, result.parent.parent.id]
    records = [wait_final(served.ledger, task_id) for task_id in ids]  # a link sends the next one before it is over
    assert [record.state for record in records] == [State.SUCCESS] * 3
    assert records[0].text("parent_id") == ids[1]
    assert {record.text("root_id") for record in records} == {ids[2]}
    assert {record.text("lane") for record in records} == {"normal"}
    assert [child.id for child in served.yard.celery.AsyncResult(ids[2]).children] == [ids[1]]


def test_a_chain_into_a_task_that_refuses_the_input_fails_there(served: Stage) -> None:
    result = chain(served.plain.quiet.s("words"), served.typed.add.s(1))()
    wait_until(result.ready, "it ends")
    record = served.ledger.record(result.id)
    assert record.failure is not None
    assert record.failure.type == "InvalidInputError"
    assert wait_final(served.ledger, result.parent.id).state is State.SUCCESS


def test_a_broken_chain_fails_to_its_end(served: Stage) -> None:
    result = chain(served.plain.fail.s(), served.plain.multiply.s(2), served.plain.multiply.s(3))()
    with pytest.raises(ValueError, match="on purpose"):
        result.get(timeout=30)
    for task_id in (result.parent.parent.id, result.parent.id, result.id):
        assert wait_final(served.ledger, task_id).state is State.FAILURE


def test_errback(served: Stage, gate: Path) -> None:
    errback = served.plain.remember.si(str(gate), "failed")
    result = served.plain.fail.apply_async(link_error=errback)
    wait_until(lambda: starts(gate), "the errback runs")
    assert starts(gate) == [["failed"]]
    assert wait_final(served.ledger, result.id).state is State.FAILURE
    callback = served.plain.remember.s(str(gate))
    served.plain.multiply.apply_async((2, 2), link=served.plain.remember.si(str(gate), "linked"))
    wait_until(lambda: ["linked"] in starts(gate), "the callback runs")
    assert callback.app is served.yard.celery


def test_group_and_its_records(served: Stage) -> None:
    result = group(served.plain.multiply.s(n, n) for n in range(8))()
    assert result.get(timeout=30) == [n * n for n in range(8)]
    assert {served.ledger.record(child.id).text("group_id") for child in result.children} == {result.id}
    result.save()
    kept = GroupResult.restore(result.id, app=served.yard.celery)
    assert [child.id for child in kept.children] == [child.id for child in result.children]
    kept.delete()
    assert GroupResult.restore(result.id, app=served.yard.celery) is None


def test_chord(served: Stage) -> None:
    result = chord([served.plain.multiply.s(n, 2) for n in range(10)])(served.plain.total.s())
    assert result.get(timeout=30) == 90
    again = chord([served.typed.add.s(n, 1) for n in range(3)])(served.plain.total.s())
    assert again.get(timeout=30) == 6
    client: Any = served.ledger.client
    prefix = served.ledger.keys.prefix
    # Celery clears up after it has sent the body on, so that its result may be there before.
    groups = [f"{prefix}group:{one.parent.id}" for one in (result, again)]

    def kept() -> dict[bytes, int]:
        return {key: client.ttl(key) for group in groups for key in client.keys(f"{group}*")}

    # What is left tells parts that are doubled that all of it was done; it ends by itself.
    wait_until(lambda: kept().keys() == {f"{group}.c".encode() for group in groups}, "nothing counts their parts")
    assert all(0 < seconds <= 300 for seconds in kept().values())


def test_a_chord_with_a_failing_part_fails(served: Stage, gate: Path) -> None:
    body = served.plain.total.s()
    body.link_error(served.plain.remember.si(str(gate), "chord failed"))
    result = chord([served.plain.multiply.s(1, 1), served.plain.fail.s()])(body)
    with pytest.raises(ChordError):
        AsyncResult(result.id, app=served.yard.celery).get(timeout=30)
    wait_until(lambda: starts(gate) == [["chord", "failed"]], "the errback runs once")


def test_a_chord_with_a_cancelled_or_expired_part_fails(served: Stage, gate: Path) -> None:
    expired = served.plain.multiply.s(1, 1).set(expires=0.05, countdown=0.2)
    result = chord([served.plain.multiply.s(1, 1), expired])(served.plain.total.s())
    with pytest.raises(ChordError):
        AsyncResult(result.id, app=served.yard.celery).get(timeout=30)
    result = chord([served.plain.multiply.s(1, 1), served.typed.walk.s(str(gate))])(served.plain.total.s())
    wait_until(lambda: starts(gate), "it starts")
    walking = next(child for child in result.parent.children if served.ledger.record(child.id).text("name") == "walk")
    walking.revoke()
    with pytest.raises(ChordError):
        AsyncResult(result.id, app=served.yard.celery).get(timeout=30)


def test_nested_canvas(served: Stage) -> None:
    parts = [chain(served.plain.multiply.s(n, 2), served.plain.multiply.s(10)) for n in range(3)]
    result = chain(chord(parts, served.plain.total.s()), served.plain.multiply.s(2))()
    assert result.get(timeout=30) == 120


def test_revoke_reaches_a_waiting_task_without_any_worker(stage: Stage) -> None:
    result = stage.plain.multiply.delay(1, 1)
    result.revoke()
    assert stage.ledger.record(result.id).state is State.REVOKED
    with pytest.raises(TaskRevokedError):
        result.get(timeout=5)
    client = stage.ledger.client
    assert client.xlen(stage.ledger.keys.queue("default", "normal")) == 0


def test_revoke_terminates_a_running_task(served: Stage, gate: Path) -> None:
    result = served.plain.long.delay(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    result.revoke(terminate=True)
    record = wait_for_state(served.ledger, result.id, State.REVOKED)
    assert record.number("attempt") == 1
    with pytest.raises(TaskRevokedError, match="terminated"):
        result.get(timeout=5)


def test_tasks_send_tasks(served: Stage) -> None:
    result = served.plain.sends.delay()
    first, second = (AsyncResult(task_id, app=served.yard.celery) for task_id in result.get(timeout=30))
    assert (first.get(timeout=30), second.get(timeout=30)) == (2, 12)
    assert served.ledger.record(first.id).text("parent_id") == result.id
    assert served.ledger.record(second.id).text("lane") == "normal"


def test_an_unknown_id_is_pending_for_celery_and_unknown_for_us(served: Stage) -> None:
    result = served.yard.celery.AsyncResult("0197b6a0-1111-7000-8000-000000000001")
    assert (result.state, result.ready()) == ("PENDING", False)
    with pytest.raises(UnknownTaskError):
        served.ledger.record(result.id)


def test_apply_runs_here_and_leaves_no_record(stage: Stage) -> None:
    for eager in (stage.plain.multiply.apply((2, 3)), stage.plain.quiet.apply((6,)), stage.plain.fail.apply()):
        assert eager.state in ("SUCCESS", "FAILURE")
        assert stage.ledger.run(stage.ledger.calls.record(eager.id)) is None


def test_a_priority_is_kept_and_none_is_normal(stage: Stage) -> None:
    lanes = {None: "normal", 0: "high", 3: "normal", 9: "low"}
    for priority, lane in lanes.items():
        assert stage.ledger.record(stage.plain.multiply.apply_async((1, 1), priority=priority).id).text("lane") == lane
    assert stage.ledger.record(stage.yard.celery.send_task("multiply", (1, 1)).id).text("lane") == "normal"
    sent = stage.typed.lane.apply_async(("x", "y"), priority=None)
    assert stage.ledger.record(sent.id).text("lane") == "low"
    assert stage.ledger.record(sent.id).text("queue") == "lanes"


def test_classes_of_celerys_own_are_recorded_as_well(served: Stage) -> None:
    for result in (served.plain.based.delay(2), served.yard.celery.send_task("ClassBased", (2,))):
        assert result.get(timeout=30) == ["called", 2, 1]
        record = served.ledger.record(result.id)
        assert (record.state, record.number("attempt")) == (State.SUCCESS, 2)


def test_replace(served: Stage) -> None:
    """The replaced task's result is that of the last in its place, and its record does not end before."""
    for how, value in (("task", 12), ("chain", 27), ("group", [6, 8]), ("chord", 14)):
        result = served.plain.replacing.delay(how)
        assert result.get(timeout=30) == value, how
        assert served.ledger.record(result.id).state is State.SUCCESS
        ends = [state for state, _ in news_of(served.ledger, result.id) if state in ("SUCCESS", "FAILURE")]
        assert ends == ["SUCCESS"], how


def test_a_replacement_that_fails_fails_the_replaced(served: Stage) -> None:
    result = served.plain.replacing.delay("broken")
    assert wait_final(served.ledger, result.id).state is State.FAILURE

"""What goes in and comes out of typed definitions, through a real worker."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from pathlib import Path
from typing import Any

import pytest

from backyard.core.errors import InvalidInputError, TaskCancelledError, TaskFailedError
from backyard.core.models import FailureKind
from backyard.core.states import State
from support.clean import news_of, wait_final, wait_for_state, wait_until
from support.stage import Stage
from support.trials import Box, starts

BOXES = [
    Box(
        when=dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=45))),
        day=dt.date(2024, 2, 29),
        lasts=dt.timedelta(days=-1, microseconds=3),
        price=decimal.Decimal("0.10"),
        key=uuid.UUID(int=7),
        kind="large",
    )
]


@pytest.mark.parametrize("choice", [None, 3, "3", "ä\u2028\x00", BOXES[0]])
def test_values_travel_and_come_back_as_their_own_types(served: Stage, choice: Any) -> None:
    raw = bytes(range(256))
    rates = {"a": 0.1, "": -1e300}
    handle = served.typed.repeat.submit_sync(BOXES, raw=raw, choice=choice, rates=rates)
    boxes, back, chosen, same = handle.result_sync(30)
    assert (boxes, back, chosen, same) == (BOXES, raw, choice, rates)
    assert type(chosen) is type(choice)
    assert type(boxes[0].price) is decimal.Decimal
    assert boxes[0].when.utcoffset() == dt.timedelta(hours=5, minutes=45)


def test_the_same_values_travel_through_delay(served: Stage) -> None:
    result = served.typed.repeat.delay(BOXES, b"\xff\x00", choice=5)
    assert result.get(timeout=30)[1:3] == ["_wA=", 5] or result.get()[1:3] == ["/wA=", 5]
    again = served.yard.handle(result.id, "repeat").result_sync(30)
    assert again == (BOXES, b"\xff\x00", 5, None)


def test_async_functions_share_one_loop_a_process(served: Stage) -> None:
    handles = [served.typed.on_loop.submit_sync(number) for number in range(12)]
    rows = [handle.result_sync(30) for handle in handles]
    assert [row[0] for row in rows] == list(range(12))
    loops = {(pid, loop) for _, pid, loop in rows}
    assert len(loops) == len({pid for pid, _ in loops}), "a process had two loops"


def test_a_failed_attempt_is_retried_and_the_record_forgets_its_failure(served: Stage) -> None:
    handle = served.typed.flaky.submit_sync(2)
    assert handle.result_sync(30) == 3
    states = news_of(served.ledger, handle.task_id)
    assert [row for row in states if row[0] in ("STARTED", "RETRY", "SUCCESS")] == [
        ("STARTED", 1), ("RETRY", 1), ("STARTED", 2), ("RETRY", 2), ("STARTED", 3), ("SUCCESS", 3)
    ]  # fmt: skip
    view = handle.status_sync()
    assert (view.failure, view.attempt) == (None, 3)
    assert served.yard.celery.AsyncResult(handle.task_id).traceback is None


def test_retries_run_out(served: Stage) -> None:
    handle = served.typed.flaky.submit_sync(9)
    with pytest.raises(TaskFailedError, match="ValueError: attempt 3 fails on purpose") as caught:
        handle.result_sync(30)
    assert caught.value.failure["kind"] == "error"
    assert "fails on purpose" in caught.value.failure["traceback"]
    assert "/celery/" not in caught.value.failure["traceback"]


def test_a_wrong_result_is_no_success_and_is_not_tried_again(served: Stage) -> None:
    handle = served.typed.wrong_result.submit_sync()
    record = wait_final(served.ledger, handle.task_id)
    assert record.failure is not None
    assert (record.state, record.failure.kind) == (State.FAILURE, FailureKind.INVALID_RESULT)
    assert record.number("attempt") == 1


def test_a_time_limit_ends_the_attempt(served: Stage) -> None:
    handle = served.typed.too_slow.submit_sync()
    record = wait_final(served.ledger, handle.task_id)
    assert record.failure is not None
    assert record.failure.kind is FailureKind.TIMEOUT


def test_a_time_limit_lets_a_coroutine_come_to_rest(served: Stage, gate: Path) -> None:
    handle = served.typed.too_slow_async.submit_sync(str(gate))
    record = wait_final(served.ledger, handle.task_id)
    assert record.failure is not None
    assert record.failure.kind is FailureKind.TIMEOUT
    assert starts(gate) == [["rested"]]
    assert served.typed.on_loop.submit_sync(1).result_sync(30)[0] == 1


def test_invalid_input_is_refused_at_the_door(served: Stage) -> None:
    for send in (served.typed.add.submit_sync, served.typed.add.delay):
        with pytest.raises(InvalidInputError):
            send("x")


def test_invalid_input_that_reaches_a_worker_fails_there_once(served: Stage) -> None:
    result = served.yard.celery.send_task("flaky", (), {"failures": "many"})
    record = wait_final(served.ledger, result.id)
    assert record.failure is not None
    assert (record.failure.type, record.number("attempt")) == ("InvalidInputError", 1)


@pytest.mark.parametrize(
    ("how", "type_"), [("memory", "MemoryError"), ("exit", "SystemExit"), ("interrupt", "KeyboardInterrupt")]
)
def test_what_would_end_a_worker_is_a_failure_of_the_task_alone(served: Stage, how: str, type_: str) -> None:
    handle = served.typed.break_out.submit_sync(how)
    record = wait_final(served.ledger, handle.task_id)
    assert record.failure is not None
    assert (record.failure.type, record.failure.kind) == (type_, FailureKind.ERROR)
    assert news_of(served.ledger, handle.task_id)[-2:] == [("STARTED", 1), ("FAILURE", 1)]


@pytest.mark.parametrize(("how", "type_"), [("exit", "SystemExit"), ("cancel", "CancelledError")])
def test_the_same_from_a_coroutine_leaves_the_loop_to_others(served: Stage, how: str, type_: str) -> None:
    handle = served.typed.break_out_async.submit_sync(how)
    record = wait_final(served.ledger, handle.task_id)
    assert record.failure is not None
    assert record.failure.type == type_
    assert [served.typed.on_loop.submit_sync(n).result_sync(30)[0] for n in range(4)] == [0, 1, 2, 3]


def test_plain_tasks_that_exit_or_return_what_cannot_travel_fail_once(served: Stage) -> None:
    for task, type_ in ((served.plain.exits, "SystemExit"), (served.plain.opaque, "EncodeError")):
        result = task.delay()
        record = wait_final(served.ledger, result.id)
        assert record.failure is not None
        assert record.failure.type == type_
        assert [row for row in news_of(served.ledger, result.id) if row[0] == "FAILURE"] == [("FAILURE", 1)]


def test_anothers_cancellation_is_no_cancellation_of_ones_own(served: Stage) -> None:
    other = served.typed.add.with_options(delay=600).submit_sync(1)
    other.cancel_sync()
    with pytest.raises(TaskCancelledError):
        other.result_sync(5)
    waiting = served.typed.wait_for_other.submit_sync(other.task_id)
    record = wait_final(served.ledger, waiting.task_id)
    assert record.failure is not None
    assert (record.state, record.failure.type) == (State.FAILURE, "TaskCancelledError")


def test_cancel_a_running_task_that_looks(served: Stage, gate: Path) -> None:
    handle = served.typed.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    assert handle.cancel_sync()
    assert handle.result_sync(30) == -1  # it saw the flag and returned by itself: that is a success


@pytest.mark.parametrize("name", ["walk", "doze"])
def test_cancel_a_running_task_that_reports_or_waits(served: Stage, gate: Path, name: str) -> None:
    handle = getattr(served.typed, name).submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    assert handle.cancel_sync()
    record = wait_for_state(served.ledger, handle.task_id, State.REVOKED)
    assert record.fields.get("failure") is None
    with pytest.raises(TaskCancelledError):
        handle.result_sync(5)
    assert not handle.cancel_sync(), "there is nothing left to cancel"
    if name == "doze":
        assert starts(gate)[-1] == ["rested"]

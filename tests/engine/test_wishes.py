"""What tasks ask for from inside: another try, a later one, or none; and the policy's own answer to failures."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backyard import TaskFailedError
from backyard.core.models import FailureKind, TaskView
from backyard.core.states import State
from support.clean import assert_clean, wait_final, wait_for_state
from support.patient import TARGET, define
from support.processes import make_environment, start_worker
from support.trials import make_yard, starts

POOLS = {
    "prefork": ("--concurrency=2", "-Q", "default,timed"),
    "threads": ("--pool=threads", "--concurrency=2", "-Q", "default"),
    "solo": ("--pool=solo", "-Q", "default"),
}


@pytest.fixture(scope="module", params=POOLS)
def hired(request: pytest.FixtureRequest, server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A yard of patient tasks, and its worker."""
    environment = make_environment(server_url, tmp_path_factory.mktemp("patient"))
    worker = start_worker(environment, *POOLS[request.param], target=TARGET)
    yard = make_yard(environment)
    yield SimpleNamespace(yard=yard, ledger=yard.ledger, tasks=define(yard), worker=worker, pool=request.param)
    worker.end()
    yard.ledger.close()
    yard.celery.backend.result_consumer.stop()
    yard.celery.backend.client.connection_pool.disconnect()
    yard.celery.close()
    gc.collect()


@pytest.fixture
def crew(hired: Any) -> Iterator[Any]:
    """The same, which must be clean and alive after each test."""
    yield hired
    assert_clean(hired.ledger)
    assert hired.worker.child.poll() is None, hired.worker.output


def told(crew: Any, task_id: str) -> list[Any]:
    """Return the states that a task went through, with the event's data."""
    ledger = crew.ledger
    after, found = ledger.run(ledger.calls.replay(task_id, "0-0"))
    while after:
        after, more = ledger.run(ledger.calls.replay(task_id, after))
        found += more
    return [(news.state, news.data) for news in found if news.event == "state"]


def reasons(crew: Any, task_id: str) -> list[Any]:
    """Return why a task was sent anew, each time."""
    return [data["reason"] for state, data in told(crew, task_id) if state == "RETRY"]


def waiting(crew: Any, task_id: str) -> TaskView:
    """Return a task that waits for another attempt, and cancel it."""
    view = wait_for_state(crew.ledger, task_id, State.RETRY).view()
    crew.ledger.cancel([task_id])
    return view


@pytest.mark.parametrize("after", ["seconds", "duration", "moment", "never mind"])
def test_a_task_asks_for_another_try(crew: Any, after: str) -> None:
    handle = crew.tasks.ask.submit_sync(2, after)
    assert handle.result_sync(30) == 3
    assert reasons(crew, handle.task_id) == [
        {"kind": "error", "type": "Busy", "message": "attempt 1"},
        {"kind": "error", "type": "Busy", "message": "attempt 2"},
    ]


def test_a_coroutine_asks_for_another_try(crew: Any) -> None:
    for after in ("seconds", "never mind"):
        handle = crew.tasks.ask_async.submit_sync(2, after)
        assert handle.result_sync(30) == 3
        assert reasons(crew, handle.task_id) == [{"kind": "error", "type": "Retry", "message": "later"}] * 2


def test_a_wish_spends_retries_and_they_run_out(crew: Any) -> None:
    handle = crew.tasks.ask.submit_sync(9)
    with pytest.raises(TaskFailedError, match="Busy: attempt 4") as caught:
        handle.result_sync(30)
    assert "in ask" in caught.value.failure["traceback"]
    assert handle.status_sync().attempt == 4
    assert len(reasons(crew, handle.task_id)) == 3
    handle = crew.tasks.ask.submit_sync(9, reason="the other side is slow")
    with pytest.raises(TaskFailedError, match=r"the other side is slow Its 3 retries are spent\."):
        handle.result_sync(30)


def test_without_retries_the_failure_says_what_to_declare(crew: Any) -> None:
    handle = crew.tasks.ask_in_vain.submit_sync("Closed.")
    with pytest.raises(TaskFailedError, match=r"Retry: Closed\. It may have none: declare it with retries=1 or more\."):
        handle.result_sync(30)
    assert handle.status_sync().attempt == 1


def test_the_record_says_what_it_waits_for(crew: Any) -> None:
    handle = crew.tasks.ask_for.submit_sync(7200)
    view = waiting(crew, handle.task_id)
    assert view.date_due is not None
    assert view.date_started is not None
    assert 7199 < (view.date_due - view.date_started).total_seconds() < 7300, "longer than backoff_max, as was asked"
    assert (view.reason, view.retries_left) == ("closed at night", 4)
    assert view.failure is not None
    assert (view.failure.type, view.failure.message) == ("Retry", "closed at night")
    over = handle.status_sync()
    assert (over.state, over.reason, over.retries_left, over.date_due) == (State.REVOKED, None, None, None)


def test_putting_off_spends_no_retry(crew: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    handle = crew.tasks.put_off.submit_sync(str(gate), 5)
    assert handle.result_sync(30) == 7, "five times put off, once failed, and the one retry"
    assert starts(gate) == [[str(number)] for number in range(1, 8)]
    snooze = {"kind": "snooze", "message": "not ready"}
    assert reasons(crew, handle.task_id) == [snooze] * 5 + [
        {"kind": "error", "type": "Busy", "message": "now it fails"}
    ]
    view = waiting(crew, crew.tasks.put_off.submit_sync(str(gate), 1, 3600).task_id)
    assert (view.failure, view.reason, view.retries_left) == (None, "not ready", 1)
    assert crew.tasks.put_off_async.submit_sync(3).result_sync(30) == 4


@pytest.mark.parametrize("name", ["give_up", "give_up_async"])
def test_giving_up_ends_it_now(crew: Any, name: str) -> None:
    handle = getattr(crew.tasks, name).submit_sync()
    with pytest.raises(TaskFailedError, match="GiveUp: no such customer"):
        handle.result_sync(30)
    view = handle.status_sync()
    assert view.failure is not None
    assert (view.attempt, view.failure.kind) == (1, FailureKind.ERROR)


@pytest.mark.parametrize(("kind", "attempts"), [("busy", 2), ("time", 2), ("very busy", 1), ("value", 1)])
def test_the_policy_says_after_what_to_try_again(crew: Any, kind: str, attempts: int) -> None:
    handle = crew.tasks.choosy.submit_sync(kind)
    record = wait_final(crew.ledger, handle.task_id)
    assert record.number("attempt") == attempts
    assert record.state is (State.SUCCESS if attempts > 1 else State.FAILURE)


def test_a_time_limit_is_a_timeout(crew: Any) -> None:
    if crew.pool != "prefork":
        assert crew.pool in POOLS, "other pools keep no time"
        return
    assert crew.tasks.late_once.submit_sync().result_sync(30) == 2


@pytest.mark.parametrize("kind", ["busy", "very busy"])
def test_the_wait_goes_by_the_closest_class(crew: Any, kind: str) -> None:
    view = waiting(crew, crew.tasks.slow_and_fast.submit_sync(kind).task_id)
    assert view.date_due is not None
    assert view.date_started is not None
    assert 599 < (view.date_due - view.date_started).total_seconds() < 660
    assert view.retries_left == 1
    assert crew.tasks.slow_and_fast.submit_sync("value").result_sync(30) == 2


def test_plain_tasks_may_ask_as_well(crew: Any, tmp_path: Path) -> None:
    for how in ("retry", "default"):
        result = crew.tasks.plain_ask.delay(how)
        assert result.get(timeout=30) == 1
    spent = crew.tasks.plain_ask.delay("retry", times=9)
    failure = wait_final(crew.ledger, spent.id).failure
    assert failure is not None
    assert failure.message == "plain Its 2 retries are spent."
    snoozed = crew.tasks.plain_snooze.delay(str(tmp_path / "gate"))
    assert snoozed.get(timeout=30) == 0
    assert starts(tmp_path / "gate") == [["0"]] * 3


def test_celerys_own_retry_says_why_too(crew: Any) -> None:
    result = crew.tasks.plain_ask.delay("own")
    record = wait_for_state(crew.ledger, result.id, State.RETRY)
    assert reasons(crew, result.id) == [{"kind": "error", "type": "Busy", "message": "as ever"}]
    view = record.view()
    assert (view.reason, view.retries_left) == ("as ever", 1)
    assert view.failure is not None
    assert "Busy" in (view.failure.traceback or "") or view.failure.type == "Busy"
    answer = crew.yard.celery.AsyncResult(result.id)
    assert (answer.state, repr(answer.result)) == ("RETRY", "Busy('as ever')")
    crew.ledger.cancel([result.id])

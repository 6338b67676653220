"""Cancel, in its stages: asked for, seen, stopped or killed or too late."""

from __future__ import annotations

from typing import Any

import pytest

from backyard.core.models import CancelStage
from backyard.core.states import State, Verb
from support.bench import Bench
from support.cancelling import child, settle_revoked, stage, stages

# -- stages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"due": "+600000"}])
def test_a_waiting_task_has_stopped_at_once(bench: Bench, options: dict[str, Any]) -> None:
    bench.submit("a", **options)
    assert bench.record("a").view().cancel is None
    assert bench.cancel("a") == ["cancelled"]
    view = bench.record("a").view()
    assert view.cancel is not None
    assert (view.state, view.cancel.stage, view.cancel.seen_at) == (State.REVOKED, CancelStage.STOPPED, None)
    assert view.cancel.requested_at == view.date_done
    assert view.cancel_requested
    assert [one.event for one in bench.events("a")] == ["state", "cancel", "state"], "the state comes last"
    assert stages(bench, "a") == ["stopped"]
    assert bench.cancel("a", "a") == ["final", "final"]
    assert stages(bench, "a") == ["stopped"]


@pytest.mark.parametrize("progress", [False, True])
@pytest.mark.parametrize(
    ("verb", "stage_"), [(Verb.STOP, "stopped"), (Verb.SUCCEED, "too_late"), (Verb.FAIL, "too_late")]
)
def test_a_running_task_sees_it_and_ends(bench: Bench, verb: Verb, stage_: str, *, progress: bool) -> None:
    task_id, _ = bench.running()
    if progress:
        bench.move(Verb.PROGRESS, task_id, 1)
    assert not bench.run(bench.calls.asked(task_id, 1))
    assert bench.cancel(task_id, task_id) == ["requested", "requested"]
    assert stage(bench, task_id) == "requested"
    assert [bench.run(bench.calls.asked(task_id, 1)) for _ in range(2)] == [True, True]
    cancel = bench.record(task_id).view().cancel
    assert cancel is not None
    assert (cancel.stage, cancel.reason) == (CancelStage.SEEN, None)
    assert cancel.seen_at is not None
    assert cancel.seen_at >= cancel.requested_at
    bench.move(verb, task_id, 1)
    assert stages(bench, task_id) == ["requested", "seen", stage_]
    assert stage(bench, task_id) == stage_
    assert bench.events(task_id)[-1].final, "the final state is the last that is said"


def test_an_end_that_is_said_twice_has_one_stage(bench: Bench) -> None:
    """A plain Celery app, which has no attempts, may fail a failed task again."""
    task_id, _ = bench.running()
    bench.cancel(task_id)
    bench.move(Verb.FAIL, task_id, 1)
    settle = bench.calls.settle(task_id, State.FAILURE, attempt=None, lifetime=60, data="null", fields={})
    assert bench.run(settle) == "moved"
    assert stages(bench, task_id) == ["requested", "too_late"]


def test_a_report_tells_the_attempt(bench: Bench) -> None:
    task_id, _ = bench.running()
    bench.cancel(task_id)
    assert bench.move(Verb.PROGRESS, task_id, 1).cancel
    assert stages(bench, task_id) == ["requested", "seen"]


def test_only_the_live_attempt_has_seen_it_and_others_are_to_stop(bench: Bench) -> None:
    task_id, taken = bench.running()
    bench.run(bench.calls.give_back([taken.place], "worker_lost"))
    (again,) = bench.take()
    bench.start(task_id, again.tag)
    assert bench.run(bench.calls.asked(task_id, 1)), "its outcome would be refused"
    assert not bench.run(bench.calls.asked(task_id, 2))
    bench.cancel(task_id)
    assert bench.run(bench.calls.asked(task_id, 1))
    assert stage(bench, task_id) == "requested"
    assert not bench.run(bench.calls.asked("nobody", 1))


def test_one_question_finds_all_that_are_to_stop(bench: Bench) -> None:
    cancelled, _ = bench.running("cancelled")
    reported, _ = bench.running("reported")
    bench.move(Verb.PROGRESS, reported, 1)
    runs, _ = bench.running("runs")
    over, _ = bench.running("over")
    bench.move(Verb.SUCCEED, over, 1)
    lost, taken = bench.running("lost")
    bench.run(bench.calls.give_back([taken.place], "worker_lost"))
    bench.cancel(cancelled, reported)
    asked = [(task_id, 1) for task_id in (cancelled, reported, runs, over, lost, "nobody")]
    assert bench.run(bench.calls.to_stop(asked)) == [cancelled, reported, over, lost]
    assert stage(bench, cancelled) == "requested", "nobody was told"
    (again,) = bench.take()
    bench.start(lost, again.tag)
    assert bench.run(bench.calls.to_stop([(lost, 2), (lost, 1)])) == [lost]
    assert bench.run(bench.calls.to_stop([])) == []


def test_a_failure_of_a_cancelled_attempt_that_would_be_retried_is_its_stop(bench: Bench) -> None:
    task_id, _ = bench.running()
    bench.cancel(task_id)
    assert bench.retry(task_id, 1, due="+1000").state == State.REVOKED
    assert stages(bench, task_id) == ["requested", "stopped"]


def test_a_cancelled_task_of_a_lost_worker_has_stopped(bench: Bench) -> None:
    task_id, taken = bench.running()
    bench.cancel(task_id)
    bench.run(bench.calls.give_back([taken.place], "worker_lost"))
    assert (bench.state(task_id), stage(bench, task_id)) == (State.REVOKED, "stopped")
    assert stages(bench, task_id) == ["requested", "stopped"]


def test_cancel_between_two_attempts(bench: Bench) -> None:
    task_id, taken = bench.running()
    bench.retry(task_id, 1, due="+600000")
    assert bench.cancel(task_id) == ["cancelled"]
    assert bench.due() == []
    bench.run(bench.calls.acknowledge([taken.place]))
    assert (bench.state(task_id), stages(bench, task_id)) == (State.REVOKED, ["stopped"])


def test_an_end_that_nobody_asked_for_has_no_stage(bench: Bench) -> None:
    bench.submit("purged")
    bench.run(bench.calls.purge("q", 10))
    task_id, _ = bench.running()
    bench.move(Verb.STOP, task_id, 1)
    for one in ("purged", task_id):
        assert (bench.state(one), bench.record(one).view().cancel, stages(bench, one)) == (State.REVOKED, None, [])


def test_a_task_that_runs_anew_has_no_stage_and_no_children(bench: Bench) -> None:
    task_id, taken = bench.running()
    one = child(bench, task_id)
    bench.cancel(task_id)
    bench.run(bench.calls.asked(task_id, 1))
    bench.move(Verb.STOP, task_id, 1)
    bench.run(bench.calls.acknowledge([taken.place]))
    assert bench.submit(task_id, again=True).outcome == "created"
    assert bench.record(task_id).view().cancel is None
    left = set(bench.raw(task_id)) & {"cancel", "cancel_seen", "cancel_by", "cancel_reason", "cancel_tree", "killed"}
    assert not left
    assert not bench.client.exists(bench.keys.children(task_id))
    assert bench.state(one) is State.REVOKED


# -- force ------------------------------------------------------------------------------------------------------------


def overdue(bench: Bench, grace: float, held: str, *pairs: tuple[str, str]) -> list[str]:
    found: list[str] = bench.run(bench.calls.overdue(grace, held, pairs))
    return found


def test_overdue_is_what_was_told_long_enough_ago_and_runs_here(bench: Bench) -> None:
    task_id, taken = bench.running()
    pair = (task_id, taken.tag)
    assert overdue(bench, 0, "", pair) == [], "nobody has told it"
    bench.cancel(task_id)
    assert overdue(bench, 60, "", pair) == []
    assert overdue(bench, 0, "", (task_id, "normal/1-1"), ("nobody", "")) == [], "another's delivery"
    assert overdue(bench, 0, "", pair, ("nobody", "normal/1-1")) == [task_id]
    assert stage(bench, task_id) == "requested", "it still runs"
    assert settle_revoked(bench, task_id, taken.tag) == "moved"
    assert stages(bench, task_id) == ["requested", "killed"]
    assert overdue(bench, 0, "", pair) == []


def test_a_gentle_cancel_never_comes_to_force_unless_another_does(bench: Bench) -> None:
    task_id, taken = bench.running()
    pair = (task_id, taken.tag)
    assert bench.ledger.cancel([task_id], gentle=True) == ["requested"]
    assert overdue(bench, 0, "", pair) == []
    assert bench.run(bench.calls.asked(task_id, 1))
    assert bench.cancel(task_id) == ["requested"]
    assert overdue(bench, 0, "", pair) == [task_id]
    assert bench.ledger.cancel([task_id], gentle=True) == ["requested"], "what was asked for stays asked for"
    assert overdue(bench, 0, "", pair) == [task_id]


def test_who_ends_just_before_it_is_killed_was_not_killed(bench: Bench) -> None:
    task_id, taken = bench.running()
    bench.cancel(task_id)
    assert overdue(bench, 0, "", (task_id, taken.tag)) == [task_id]
    bench.move(Verb.SUCCEED, task_id, 1)
    assert stage(bench, task_id) == "too_late"
    assert settle_revoked(bench, task_id, taken.tag) == "refused"
    assert "killed" not in bench.raw(task_id)


def test_a_pool_that_cannot_kill_says_so_once(bench: Bench) -> None:
    task_id, taken = bench.running()
    bench.cancel(task_id)
    bench.run(bench.calls.asked(task_id, 1))
    for _ in range(2):
        assert overdue(bench, 0, "no pool of processes", (task_id, taken.tag)) == []
    cancel = bench.record(task_id).view().cancel
    assert cancel is not None
    assert (cancel.stage, cancel.reason) == (CancelStage.SEEN, "no pool of processes")
    assert stages(bench, task_id) == ["requested", "seen", "seen"]


def test_every_worker_may_report_a_revoke_and_it_is_said_once(bench: Bench) -> None:
    bench.submit("a")
    bench.cancel("a")
    before = bench.raw("a")
    assert [settle_revoked(bench, "a", "") for _ in range(2)] == ["repeated", "repeated"]
    assert bench.raw("a") == before
    assert bench.states("a") == ["PENDING", "REVOKED"]


def test_a_revoke_does_not_turn_a_failure_around(bench: Bench) -> None:
    task_id, _ = bench.running()
    bench.move(Verb.FAIL, task_id, 1)
    assert settle_revoked(bench, task_id, "") == "refused"
    assert bench.state(task_id) is State.FAILURE

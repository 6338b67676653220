"""Cancel under real workers: stages, force, children, the canvas, and what outlives processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError

from backyard.core.models import CancelStage
from backyard.core.states import State
from backyard.ledger import ledger as ledger_module
from support import stubborn  # noqa: F401 - puts its trials beside the others
from support.clean import assert_clean, counted, news_of, wait_final, wait_until
from support.processes import Process, start_worker
from support.stage import Stage, staged
from support.trials import starts

TARGET = "support.stubborn:yard.celery"
POOLS = ("prefork", "threads", "solo")
Start = Callable[..., Process]


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """A yard whose tasks get half a second to stop."""
    return {**environment, "BACKYARD_CANCEL_GRACE": "0.5"}


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Start workers of the yard, which read all of its queues; they are gone after the test."""
    started: list[Process] = []

    def begin(*options: str, queues: str = "default,parents,children") -> Process:
        process = start_worker(environment, "-Q", queues, *(options or ("--concurrency=2",)), target=TARGET)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.end()


def running(gate: Path, count: int = 1) -> list[list[str]]:
    """Wait until so many notes are there."""
    return wait_until(lambda: found if len(found := starts(gate)) >= count else [], f"{count} notes")


def stages(stage: Stage, task_id: str) -> list[str]:
    """Return the stages that a task's events tell of."""
    after, found = stage.ledger.run(stage.ledger.calls.replay(task_id, "0-0"))
    assert not after
    return [news.data["stage"] for news in found if news.event == "cancel"]


def shown(stage: Stage, task_id: str) -> str | None:
    """Return the stage that a task's record shows."""
    cancel = stage.ledger.record(task_id).cancel
    return None if cancel is None else str(cancel.stage)


def children_of(stage: Stage, task_id: str) -> list[str]:
    """Return the ids of what a task has submitted."""
    client: Any = stage.ledger.client
    return [one.decode() for one in client.smembers(stage.ledger.keys.children(task_id))]


# -- stages and force -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deaf", "deaf_async"])
def test_what_does_not_stop_is_killed_and_its_neighbours_run_on(
    stage: Stage, start: Start, gate: Path, tmp_path: Path, name: str
) -> None:
    if name == "deaf_async":
        stage.environment["BACKYARD_CANCEL_GRACE"] = "3"  # a coroutine is told within half a second, or a little more
    worker = start("--concurrency=2")
    neighbour = stage.typed.deaf.submit_sync(str(tmp_path / "other"), "neighbour")
    running(tmp_path / "other")
    handle = getattr(stage.typed, name).submit_sync(str(gate))
    pid = int(running(gate)[0][0])
    assert handle.cancel_sync()
    record = wait_final(stage.ledger, handle.task_id)
    assert (record.state, shown(stage, handle.task_id)) == (State.REVOKED, "killed")
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the process is gone")
    seen = ["seen"] if name == "deaf_async" else []
    assert stages(stage, handle.task_id) == ["requested", *seen, "killed"]
    assert [state for state, _ in news_of(stage.ledger, handle.task_id)] == ["PENDING", "STARTED", "REVOKED"]
    assert not {"lost", "crashed", "evidence", "failure"} & set(record.fields)
    assert not {"lost", "crashed", "returned", "quarantined"} & set(counted(stage.ledger))
    (tmp_path / "other").touch()
    assert neighbour.result_sync(30) == "neighbour"
    assert len(starts(tmp_path / "other")) == 1
    assert stage.typed.add.submit_sync(1).result_sync(30) == 3, "the pool has a new process"
    assert_clean(stage.ledger)
    assert worker.child.poll() is None, worker.output


@pytest.mark.parametrize("pool", POOLS)
def test_a_coroutine_is_cancelled_once_and_may_clean_up(
    environment: dict[str, str], start: Start, gate: Path, pool: str
) -> None:
    environment["BACKYARD_CANCEL_GRACE"] = "30"
    with staged(environment) as stage:
        start(f"--pool={pool}", "--concurrency=1")
        handle = stage.typed.careful.submit_sync(str(gate))
        running(gate)
        assert handle.cancel_sync()
        assert wait_final(stage.ledger, handle.task_id).state is State.REVOKED
        assert starts(gate)[1:] == [["cancelled"], ["cleaned"]]
        assert stages(stage, handle.task_id) == ["requested", "seen", "stopped"]
        assert_clean(stage.ledger)


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_that_hears_it_too_late(environment: dict[str, str], start: Start, gate: Path, pool: str) -> None:
    environment["BACKYARD_CANCEL_GRACE"] = "30"
    with staged(environment) as stage:
        start(f"--pool={pool}", "--concurrency=1")
        handle = stage.typed.listens.submit_sync(str(gate))
        running(gate)
        assert handle.cancel_sync()
        running(gate, 2)
        view = handle.status_sync()
        assert view.cancel is not None
        assert (view.state, view.cancel.stage) == (State.STARTED, CancelStage.SEEN)
        gate.touch()
        assert handle.result_sync(30) == 7
        assert stages(stage, handle.task_id) == ["requested", "seen", "too_late"]
        assert not handle.cancel_sync()


@pytest.mark.parametrize("pool", ["threads", "solo"])
@pytest.mark.parametrize("name", ["deaf", "deaf_async"])
def test_a_pool_without_processes_cannot_kill_and_says_so(
    stage: Stage, start: Start, gate: Path, pool: str, name: str
) -> None:
    worker = start(f"--pool={pool}", "--concurrency=2")
    handle = getattr(stage.typed, name).submit_sync(str(gate))
    running(gate)
    assert handle.cancel_sync()
    wait_until(lambda: (cancel := handle.status_sync().cancel) and cancel.reason, "it is overdue")
    if name == "deaf_async":
        wait_until(lambda: starts(gate).count(["swallowed"]) > 1, "it is cancelled again after each grace")
    view = handle.status_sync()
    assert view.cancel is not None
    assert view.cancel.reason is not None
    assert "cannot kill" in view.cancel.reason
    assert view.cancel.stage is (CancelStage.SEEN if name == "deaf_async" else CancelStage.REQUESTED)
    gate.touch()
    assert handle.result_sync(30) == name
    assert shown(stage, handle.task_id) == "too_late"
    assert_clean(stage.ledger)
    assert worker.child.poll() is None


@pytest.mark.parametrize("signal", [None, "KILL"])
def test_celerys_own_way_to_terminate(stage: Stage, start: Start, gate: Path, signal: str | None) -> None:
    start("--concurrency=1")
    results = [stage.plain.gated.delay(str(gate), "x") for _ in range(3)]
    running(gate)
    options = {"signal": signal} if signal else {}
    stage.yard.celery.control.revoke([result.id for result in results], terminate=True, **options)
    records = [wait_final(stage.ledger, result.id) for result in results]
    assert {record.state for record in records} == {State.REVOKED}
    assert sorted(str(shown(stage, result.id)) for result in results) == ["killed", "stopped", "stopped"]
    assert [len(news_of(stage.ledger, result.id)) for result in results] == [3, 2, 2], "each end is said once"
    assert len(starts(gate)) == 1
    assert_clean(stage.ledger)


def test_celerys_own_revoke_kills_nothing_that_runs_and_leaves_children_alone(
    stage: Stage, start: Start, gate: Path, tmp_path: Path
) -> None:
    start("--concurrency=2", queues="default,parents")
    parent = stage.plain.plain_parent.apply_async((str(gate),), queue="parents")
    running(gate)
    parent.revoke()
    wait_until(lambda: shown(stage, parent.id) == "requested", "it is told")
    forced = stage.typed.deaf.submit_sync(str(tmp_path / "other"))
    running(tmp_path / "other")
    assert forced.cancel_sync()
    wait_final(stage.ledger, forced.task_id)
    assert shown(stage, forced.task_id) == "killed", "it was told later, and its grace is over"
    assert stage.ledger.record(parent.id).state is State.STARTED
    waiting = {stage.ledger.record(child).state for child in children_of(stage, parent.id)}
    assert waiting == {State.PENDING, State.SCHEDULED}
    gate.touch()
    assert wait_final(stage.ledger, parent.id).state is State.SUCCESS
    assert stages(stage, parent.id) == ["requested", "too_late"]


# -- what outlives processes ------------------------------------------------------------------------------------------


def test_cancelled_with_no_worker_up_never_runs(stage: Stage, start: Start, gate: Path) -> None:
    first = start("--concurrency=1")
    held = stage.typed.hold.submit_sync(str(gate), "held")
    running(gate)
    late = stage.typed.hold.submit_sync(str(gate), "fetched ahead")
    retried = stage.plain.slow_retry.delay(str(gate))
    first.kill()
    queued = stage.typed.hold.submit_sync(str(gate), "queued")
    delayed = stage.typed.hold.with_options(delay=0.1).submit_sync(str(gate), "delayed")
    again = stage.plain.gated.apply_async((str(gate), "eta"), countdown=0.1)
    ids = [handle.task_id for handle in (held, late, queued, delayed)] + [again.id, retried.id]
    outcomes = stage.yard.cancel_sync(ids)
    # Whether the ledger has heard of the worker's death by now does not matter.
    assert outcomes.pop(held.task_id) in ("requested", "cancelled")
    assert outcomes == dict.fromkeys(ids[1:], "cancelled")
    assert stage.yard.cancel_sync(ids[1:]) == dict.fromkeys(ids[1:], "final")
    start("--concurrency=2")
    assert wait_final(stage.ledger, held.task_id).state is State.REVOKED
    marker = stage.typed.add.submit_sync(1)
    assert marker.result_sync(30) == 3
    assert len(starts(gate)) == 1
    assert {stage.ledger.record(one).state for one in ids} == {State.REVOKED}
    assert {shown(stage, one) for one in ids} == {"stopped"}
    assert_clean(stage.ledger)


def test_workers_go_on_with_children_that_nobody_is_left_to_cancel(
    stage: Stage, start: Start, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "STEPS", 0)
    parents = start("--concurrency=1", queues="parents")
    handle = stage.typed.parent.submit_sync(str(gate), 600)
    running(gate)
    parents.kill()
    assert handle.cancel_sync()
    left = stage.ledger.client.llen(f"{stage.ledger.keys.prefix}cancelling")
    assert left, "there is work for the workers"
    children = children_of(stage, handle.task_id)
    assert len(children) == 600 + 8
    start("--concurrency=1")
    for child in children:
        assert wait_final(stage.ledger, child).state is State.REVOKED
    assert wait_final(stage.ledger, handle.task_id).state is State.REVOKED
    assert starts(gate) == [["sent"]], "no child has started"
    assert_clean(stage.ledger)


# -- children ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "count"), [("parent", 9), ("parent_async", 17), ("plain_parent", 9)])
def test_what_a_task_submits_is_its_child_and_is_cancelled_with_it(
    stage: Stage, start: Start, gate: Path, name: str, count: int
) -> None:
    start("--concurrency=1", queues="parents")
    start("--concurrency=4", queues="children")
    task = getattr(stage.typed, name, None)
    task_id = (
        task.submit_sync(str(gate)).task_id
        if task
        else stage.plain.plain_parent.apply_async((str(gate),), queue="parents").id
    )
    wait_until(lambda: ["sent"] in starts(gate), "all are sent")
    children = children_of(stage, task_id)
    assert len(children) == count
    for child in children:
        view = stage.ledger.record(child).view()
        assert (view.parent_id, view.root_id) == (task_id, task_id)
    running(gate, 5)
    assert stage.yard.handle(task_id).cancel_sync()
    for one in (*children, task_id):
        record = wait_final(stage.ledger, one)
        assert record.state is State.REVOKED or name == "parent", record
    texts = {row[-1] for row in starts(gate)}
    assert not texts & {"second", "body", "later"}
    assert len(starts(gate)) <= 1 + 4, "what had not begun never did"
    assert_clean(stage.ledger, leases=2)


def test_a_task_that_put_others_in_its_place_is_cancelled_with_them(stage: Stage, start: Start, gate: Path) -> None:
    start("--concurrency=1")
    result = stage.plain.replaced.delay(str(gate))
    running(gate)
    assert stage.ledger.record(result.id).state is State.STARTED
    assert stage.yard.handle(result.id).cancel_sync()
    assert wait_final(stage.ledger, result.id).state is State.REVOKED
    (child,) = children_of(stage, result.id)
    assert wait_final(stage.ledger, child).state is State.REVOKED
    assert shown(stage, child) == "killed"
    assert shown(stage, result.id) == "stopped"
    assert [row[-1] for row in starts(gate)] == ["place"], "the last of them never ran"
    assert_clean(stage.ledger)


def test_children_are_left_alone_where_that_is_asked_for(stage: Stage, start: Start, gate: Path) -> None:
    stage.environment["BACKYARD_CANCEL_GRACE"] = "30"  # it stops by itself, however slow the machine is
    start("--concurrency=1", queues="parents")
    handle = stage.typed.parent.submit_sync(str(gate))
    running(gate)
    assert handle.cancel_sync(children=False)
    assert wait_final(stage.ledger, handle.task_id).state is State.SUCCESS
    states = {stage.ledger.record(child).state for child in children_of(stage, handle.task_id)}
    assert states == {State.PENDING, State.SCHEDULED}


# -- canvas -----------------------------------------------------------------------------------------------------------


def canvas(stage: Stage, gate: Path, how: str) -> tuple[Any, str]:
    """Send a canvas, and return its result and the part that is to be cancelled."""
    part = stage.plain.gated.s(str(gate), "part")
    other = stage.plain.multiply.s(2, 3)
    last = stage.plain.body.s(str(gate)).on_error(stage.plain.errback.s(gate=str(gate)))
    if how == "chord":
        result = chord([part, other], last).apply_async()
        return result, result.parent.results[0].id
    if how == "chain in a chord":
        result = chord([chain(part, stage.plain.multiply.s(1)), other], last).apply_async()
        return result, result.parent.results[0].parent.id
    if how == "chain":
        result = chain(part, stage.plain.body.s(str(gate))).apply_async()
        return result, result.parent.id
    result = part.apply_async(link_error=[stage.plain.errback.s(gate=str(gate)), stage.plain.old_errback.s(str(gate))])
    return result, result.id


@pytest.mark.parametrize("when", ["queued", "killed", "purged", "worker lost"])
@pytest.mark.parametrize("how", ["chord", "chain in a chord", "chain", "errbacks"])
def test_the_canvas_hears_of_a_cancel(stage: Stage, start: Start, gate: Path, how: str, when: str) -> None:
    if when in ("queued", "purged"):
        result, part = canvas(stage, gate, how)
        if when == "purged":
            stage.yard.celery.control.purge()
        else:
            assert stage.yard.handle(part).cancel_sync()
        start("--concurrency=1")
    else:
        worker = start("--concurrency=1")
        result, part = canvas(stage, gate, how)
        running(gate)
        if when == "worker lost":
            worker.kill()
        assert stage.yard.handle(part).cancel_sync()
        if when == "worker lost":
            start("--concurrency=1")
    assert wait_final(stage.ledger, part).state is State.REVOKED
    if how != "errbacks":
        error = result.get(timeout=30, propagate=False)
        assert "revoked" in repr(error).lower(), error
    if how != "chain":
        wait_until(lambda: any(row[0] == "errback" for row in starts(gate)), "the errback is called")
    if how == "errbacks":
        wait_until(lambda: ["old_errback", part] in starts(gate), "the old sort of errback is sent")
        assert ["errback", part, "TaskRevokedError"] in starts(gate)
    assert not any(row[0] == "body" for row in starts(gate))
    assert_clean(stage.ledger)
    assert len([row for row in starts(gate) if row[0] == "errback"]) == (how != "chain")


def test_the_canvas_hears_of_a_part_that_no_worker_can_run(stage: Stage, start: Start, gate: Path) -> None:
    unknown = stage.yard.celery.signature("unknown")
    last = stage.plain.body.s(str(gate)).on_error(stage.plain.errback.s(gate=str(gate)))
    result = chord([unknown, stage.plain.multiply.s(2, 3)], last).apply_async()
    start("--concurrency=1")
    assert "unknown" in repr(result.get(timeout=30, propagate=False))
    wait_until(lambda: any(row[0] == "errback" for row in starts(gate)), "the errback is called")
    assert_clean(stage.ledger)


@pytest.mark.parametrize("times", [1, 3])
def test_parts_of_a_chord_and_a_group_outlive_their_workers(stage: Stage, start: Start, gate: Path, times: int) -> None:
    """The body runs once, after all parts, however often their workers die."""
    worker = start("--concurrency=2")
    parts = [stage.plain.gated.s(str(gate), f"part{n}") for n in range(3)]
    result = chord([*parts, stage.plain.multiply.s(2, 3)], stage.plain.body.s(str(gate))).apply_async()
    several = group(stage.plain.gated.s(str(gate), f"one{n}") for n in range(2)).apply_async()
    running(gate)
    for _ in range(times):
        worker.kill()
        before = len(starts(gate))
        worker = start("--concurrency=2")
        running(gate, before + 1)
    assert not any(row[0] == "body" for row in starts(gate))
    gate.touch()
    assert result.get(timeout=30) == ["part0", "part1", "part2", 6]
    assert several.get(timeout=30) == ["one0", "one1"]
    bodies = [row for row in starts(gate) if row[0] == "body"]
    assert bodies == [["body", result.id]]
    ends = [state for state, _ in news_of(stage.ledger, result.id) if state in ("SUCCESS", "FAILURE")]
    assert ends == ["SUCCESS"]
    assert_clean(stage.ledger)


def test_a_revoked_result_is_what_celerys_callers_get(stage: Stage, gate: Path) -> None:
    result = stage.plain.gated.delay(str(gate), "x")
    result.revoke()
    with pytest.raises(TaskRevokedError):
        result.get(timeout=30)

"""Limits with real workers: never more at once than allowed, nobody held up, nothing left when workers die."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backyard import Backyard, Settings
from backyard.core.errors import QueueFullError
from backyard.core.states import FINAL, State
from backyard.submit import Options
from support import limited
from support.clean import assert_clean, wait_for_state, wait_until
from support.processes import Process, start_worker
from support.trials import starts

Start = Callable[..., Process]


@pytest.fixture
def yard(environment: dict[str, str]) -> Iterator[Backyard]:
    """The test's own yard, with the definitions of ``support.limited``."""
    settings = Settings(
        redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]), lease=2
    )
    made = Backyard(environment["TEST_YARD"], settings=settings)
    for definition in limited.yard.definitions.values():
        options = definition.policy.model_dump(exclude_unset=True)
        made.task(**options)(definition.function)
    yield made
    made.ledger.close()
    made.celery.close()


@pytest.fixture
def workers(environment: dict[str, str]) -> Iterator[Start]:
    """Start workers of the test's own yard; they are gone after the test."""
    started: list[Process] = []

    def start(*options: str, **more: str) -> Process:
        process = start_worker({**environment, **more}, *(options or ("--concurrency=4",)), target=limited.TARGET)
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()


def submit(yard: Backyard, name: str, number: int, **fields: Any) -> list[str]:
    """Submit as many tasks of a definition; returns their ids."""
    definition = yard.definition(name)
    handles = []
    for _ in range(number):
        payload = definition.encode(definition.bind((), fields))
        handles.append(yard.submit_sync(definition, payload, Options()).task_id)
    return handles


def wait_all(yard: Backyard, task_ids: list[str], state: State = State.SUCCESS) -> None:
    for task_id in task_ids:
        record = wait_for_state(yard.ledger, task_id, *FINAL)
        assert record.state is state, (record.state, record.failure)


def most_at_once(gate: Path, what: str = "") -> int:
    """Return how many ran at once, by the file: a line is written after its start and before its end."""
    running: Counter[str] = Counter()
    most = 0
    for kind, name, *_ in starts(gate):
        if not what or name == what:
            running[name] += 1 if kind == "start" else -1
            most = max(most, sum(running.values()))
    return most


def started(gate: Path, what: str = "") -> list[str]:
    return [row[2] for row in starts(gate) if row[0] == "start" and what in ("", row[1])]


def hold(gate: Path) -> Path:
    held = Path(f"{gate}.hold")
    held.touch()
    return held


def test_never_more_at_once_than_the_definition_allows(yard: Backyard, workers: Start, gate: Path) -> None:
    workers("--concurrency=4", "-n", "first")
    workers("--concurrency=4", "-n", "second")
    tasks = submit(yard, "two", 40, gate=str(gate))
    wait_all(yard, tasks)
    assert sorted(started(gate)) == sorted(tasks)
    assert most_at_once(gate) <= 2
    assert_clean(yard.ledger, 2)


def test_who_waits_for_a_limit_holds_up_nobody(yard: Backyard, workers: Start, gate: Path) -> None:
    workers("--concurrency=2")
    held = hold(gate)
    waiting = submit(yard, "single", 10, gate=str(gate))
    wait_until(lambda: started(gate, "single"), "the first starts")
    others = submit(yard, "free", 1, gate=str(gate.with_name("other")))
    wait_all(yard, others)
    assert len(started(gate, "single")) == 1
    held.unlink()
    wait_all(yard, waiting)
    assert most_at_once(gate) == 1
    assert_clean(yard.ledger)


def test_one_of_each_customer(yard: Backyard, workers: Start, gate: Path) -> None:
    workers("--concurrency=6")
    held = hold(gate)
    tasks = [submit(yard, "per_customer", 1, gate=str(gate), customer=number % 5)[0] for number in range(20)]
    wait_until(lambda: len(started(gate)) == 3, "three run")
    held.unlink()
    wait_all(yard, tasks)
    assert most_at_once(gate) == 3
    assert [most_at_once(gate, f"c{number}") for number in range(5)] == [1] * 5
    assert_clean(yard.ledger)


def test_never_more_at_once_than_the_yard_allows(yard: Backyard, workers: Start, gate: Path) -> None:
    workers("--concurrency=4", BACKYARD_MAX_RUNNING="2")
    tasks = submit(yard, "free", 12, gate=str(gate)) + submit(yard, "single", 6, gate=str(gate))
    wait_all(yard, tasks)
    assert most_at_once(gate) <= 2
    assert most_at_once(gate, "single") == 1
    assert_clean(yard.ledger)


def test_a_rate_is_kept_over_all_workers(yard: Backyard, workers: Start, gate: Path) -> None:
    workers("--concurrency=4", "-n", "first")
    workers("--concurrency=4", "-n", "second")
    tasks = submit(yard, "paced", 15, gate=str(gate))
    wait_all(yard, tasks)
    times = sorted(int(yard.ledger.record(one).fields["started"]) / 1000 for one in tasks)
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= 3 + (times[last] - times[first]) * 10 + 1e-6
    assert_clean(yard.ledger, 2)


def test_retries_leave_the_slot_to_others(yard: Backyard, workers: Start, gate: Path) -> None:
    workers("--concurrency=3")
    tasks = submit(yard, "failing", 4, gate=str(gate))
    wait_all(yard, tasks)
    assert len(started(gate)) == 12
    assert most_at_once(gate) == 1
    assert_clean(yard.ledger)


def test_a_killed_workers_slots_go_with_its_tasks(yard: Backyard, workers: Start, gate: Path) -> None:
    first = workers("--concurrency=4", "-n", "first")
    held = hold(gate)
    tasks = submit(yard, "two", 6, gate=str(gate))
    wait_until(lambda: len(started(gate)) == 2, "two run")
    lost = started(gate)
    first.kill()
    workers("--concurrency=4", "-n", "second")
    wait_until(lambda: len(started(gate)) == 4, "they run again")
    assert sorted(started(gate)[2:]) == sorted(lost), "none of the others took their place"
    held.unlink()
    wait_all(yard, tasks)
    assert len(started(gate)) == 8
    assert_clean(yard.ledger)


def test_a_cancelled_task_that_waits_for_a_limit_never_starts(yard: Backyard, workers: Start, gate: Path) -> None:
    workers("--concurrency=2")
    held = hold(gate)
    tasks = submit(yard, "single", 5, gate=str(gate))
    wait_until(lambda: sum("parked" in yard.ledger.record(one).fields for one in tasks) == 4, "four are parked")
    wait_until(lambda: started(gate), "the other one runs")
    (running,) = started(gate)
    waiting = [one for one in tasks if one != running]
    assert set(yard.cancel_sync(waiting[:2]).values()) == {"cancelled"}
    held.unlink()
    wait_all(yard, [running, *waiting[2:]])
    wait_all(yard, waiting[:2], State.REVOKED)
    assert sorted(started(gate)) == sorted([running, *waiting[2:]])
    assert_clean(yard.ledger)


def test_higher_priorities_start_first(yard: Backyard, workers: Start, gate: Path) -> None:
    workers("--concurrency=1")
    held = hold(gate)
    submit(yard, "single", 1, gate=str(gate), what="first")
    wait_until(lambda: started(gate), "the first runs")
    definition = yard.definition("single")
    wanted = []
    for lane in ("low", "normal", "high", "low", "normal", "high"):
        payload = definition.encode(definition.bind((), {"gate": str(gate), "what": lane}))
        wanted.append(yard.submit_sync(definition, payload, Options(priority=lane)).task_id)
    held.unlink()
    wait_all(yard, wanted)
    assert [row[1] for row in starts(gate) if row[0] == "start"][1:] == [
        "high",
        "high",
        "normal",
        "normal",
        "low",
        "low",
    ]
    assert_clean(yard.ledger)


def test_parked_tasks_go_on_by_priority(yard: Backyard, workers: Start, gate: Path) -> None:
    workers("--concurrency=3")
    held = hold(gate)
    submit(yard, "single", 1, gate=str(gate), what="first")
    wait_until(lambda: started(gate), "the first runs")
    definition = yard.definition("single")
    wanted = []
    for lane in ("low", "normal", "high", "low", "normal", "high"):
        payload = definition.encode(definition.bind((), {"gate": str(gate), "what": lane}))
        wanted.append(yard.submit_sync(definition, payload, Options(priority=lane)).task_id)
    wait_until(lambda: all("parked" in yard.ledger.record(one).fields for one in wanted), "all are parked")
    held.unlink()
    wait_all(yard, wanted)
    assert [row[1] for row in starts(gate) if row[0] == "start"][1:] == [
        "high",
        "high",
        "normal",
        "normal",
        "low",
        "low",
    ]
    assert_clean(yard.ledger)


def test_a_paused_queue_rests_through_restarts_until_it_is_resumed(yard: Backyard, workers: Start, gate: Path) -> None:
    first = workers("--concurrency=2")
    assert yard.pause_queue_sync("other", "mending the printer")
    tasks = submit(yard, "elsewhere", 3, gate=str(gate))
    wait_all(yard, submit(yard, "free", 3, gate=str(gate)))
    first.stop()
    workers("--concurrency=2")
    wait_all(yard, submit(yard, "free", 3, gate=str(gate)))
    assert started(gate, "elsewhere") == []
    (queue,) = [one for one in yard.queue_states_sync() if one.name == "other"]
    assert (queue.depth + queue.parked, queue.running) == (3, 0)
    assert queue.paused is not None
    assert queue.paused.reason == "mending the printer"
    assert yard.resume_queue_sync("other")
    wait_all(yard, tasks)
    assert_clean(yard.ledger)


def test_all_queues_can_be_paused(yard: Backyard, workers: Start, gate: Path) -> None:
    workers("--concurrency=2")
    names = ["default", "other"]
    for name in names:
        yard.pause_queue_sync(name)
    tasks = submit(yard, "free", 3, gate=str(gate)) + submit(yard, "elsewhere", 3, gate=str(gate))
    client: Any = yard.ledger.client
    wait_until(lambda: "blpop" in {row["cmd"] for row in client.client_list()}, "it waits where nobody writes")
    assert started(gate) == []
    for name in names:
        yard.resume_queue_sync(name)
    wait_all(yard, tasks)
    assert_clean(yard.ledger)


def test_a_paused_definition_lets_others_of_its_queue_run(yard: Backyard, workers: Start, gate: Path) -> None:
    yard.pause_definition_sync("single", "broken")
    tasks = submit(yard, "single", 3, gate=str(gate))
    workers("--concurrency=2")
    wait_all(yard, submit(yard, "free", 3, gate=str(gate)))
    wait_until(lambda: all("parked" in yard.ledger.record(one).fields for one in tasks), "they are parked")
    yard.resume_definition_sync("single")
    wait_all(yard, tasks)
    assert_clean(yard.ledger)


def test_a_unique_task_is_there_once_at_a_time(yard: Backyard, workers: Start, gate: Path) -> None:
    held = hold(gate)
    ids = {submit(yard, "alike", 1, gate=str(gate), customer=1, what=f"n{number}")[0] for number in range(5)}
    assert len(ids) == 1
    other = submit(yard, "alike", 1, gate=str(gate), customer=2)
    workers("--concurrency=2")
    wait_until(lambda: len(started(gate)) == 2, "both run")
    assert set(submit(yard, "alike", 1, gate=str(gate), customer=1)) == ids
    held.unlink()
    wait_all(yard, [*ids, *other])
    assert not set(submit(yard, "alike", 1, gate=str(gate), customer=1)) & ids
    wait_until(lambda: len(started(gate)) == 3, "a new one runs")
    assert_clean(yard.ledger)


def test_celerys_own_callers_get_the_earlier_task_back(yard: Backyard, gate: Path) -> None:
    task = yard.celery.tasks["alike"]
    first = task.delay(gate=str(gate), customer=1)
    assert task.delay(gate="elsewhere", customer=1).id == first.id
    second = task.delay(gate=str(gate), customer=2)
    assert second.id != first.id
    assert task.apply_async((), {"gate": "x", "customer": 1}, link=yard.celery.tasks["free"].s()).id != first.id
    assert [one.depth for one in yard.queue_states_sync() if one.name == "default"] == [3]
    assert submit(yard, "alike", 1, gate=str(gate), customer=2) == [second.id]


def test_a_full_queue_refuses_celerys_own_callers_too(environment: dict[str, str], gate: Path) -> None:
    settings = Settings(
        redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]),
        queue_limits={"default": 2}, max_queued=1,
    )  # fmt: skip
    yard = Backyard(environment["TEST_YARD"], settings=settings)
    task = yard.task(limited.free.definition.function)
    try:
        task.delay(str(gate))
        task.submit_sync(str(gate))
        with pytest.raises(QueueFullError):
            task.delay(str(gate))
        with pytest.raises(QueueFullError) as caught:
            task.submit_sync(str(gate))
        assert 1 <= caught.value.retry_after <= 60
        task.with_options(queue="narrow").submit_sync(str(gate))
        with pytest.raises(QueueFullError, match="narrow"):
            task.with_options(queue="narrow").submit_sync(str(gate))
    finally:
        yard.ledger.close()
        yard.celery.close()

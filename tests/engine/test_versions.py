"""Workers of two versions beside each other: what one does not know ends neither the worker nor the task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backyard import Backyard, Settings
from backyard.core.models import FailureKind
from backyard.core.states import State
from backyard.ledger.ledger import Ledger
from support.clean import assert_clean, counted, news_of, wait_final, wait_until
from support.processes import Process, start_worker
from support.trials import starts
from support.versions import define

Start = Callable[..., Process]


@pytest.fixture
def new(environment: dict[str, str]) -> Iterator[Backyard]:
    """The new version of the program, which submits."""
    settings = Settings(redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]))
    yard = Backyard(environment["TEST_YARD"], settings=settings)
    define(yard, 2)
    yield yard
    yard.ledger.close()
    yard.celery.close()


@pytest.fixture
def run(environment: dict[str, str]) -> Iterator[Start]:
    """Start workers of a version."""
    started: list[Process] = []

    def start(version: int, *options: str, lease: str = "10") -> Process:
        process = start_worker(
            {**environment, "BACKYARD_LEASE": lease, "TEST_VERSION": str(version)},
            "--concurrency=1",
            *options,
            target="support.versions:yard.celery",
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()


def submit(yard: Backyard, name: str, text: str) -> str:
    from backyard.submit import Options  # noqa: PLC0415 - one helper's own

    return yard.submit_sync(yard.definition(name), text.encode(), Options()).task_id


def test_an_unknown_task_is_left_to_those_who_know_it(new: Backyard, run: Start, gate: Path) -> None:
    old, young = run(1, "-n", "old"), run(2, "-n", "young")
    # The young one is busy, so that the old one meets the others first, and more than once.
    first = submit(new, "fresh", f'{{"gate": "{gate}"}}')
    wait_until(lambda: starts(gate), "it runs")
    ids = [submit(new, "fresh", '{"gate": ""}') for _ in range(5)]
    wait_until(lambda: counted(new.ledger).get("put_off", 0) >= 10, "the old one puts them off")
    assert counted(new.ledger).get("set_aside", 0) == 0
    steady = submit(new, "steady", '{"value": 5}')
    assert wait_final(new.ledger, steady).state is State.SUCCESS, "the old one goes on"
    gate.touch()
    for task_id in (first, *ids):
        record = wait_final(new.ledger, task_id)
        assert (record.state, record.fields["worker"]) == (State.SUCCESS, b"celery@young")
    news = news_of(new.ledger, ids[0])
    assert news[0] == ("PENDING", 0)
    assert set(news) <= {("PENDING", 0), ("SCHEDULED", 0), ("STARTED", 1), ("SUCCESS", 1)}
    assert_clean(new.ledger, leases=2)
    assert old.child.poll() is None
    assert young.child.poll() is None


def test_an_unknown_task_is_put_off_once_a_second_at_most(new: Backyard, run: Start, gate: Path) -> None:
    run(1, "-n", "old")
    run(2, "-n", "young")
    submit(new, "fresh", f'{{"gate": "{gate}"}}')
    wait_until(lambda: starts(gate), "it runs")
    waiting = submit(new, "fresh", '{"gate": ""}')
    wait_until(lambda: counted(new.ledger).get("put_off", 0) >= 3, "it is put off")
    record = new.ledger.record(waiting)
    now = int(new.ledger.client.time()[0]) * 1000
    assert record.number("put_off") <= 1 + (now + 1000 - record.number("created")) / 1000
    gate.touch()
    assert wait_final(new.ledger, waiting).state is State.SUCCESS


@pytest.mark.parametrize("young", ["none", "other queue", "draining", "dead"])
def test_what_no_other_knows_is_set_aside(new: Backyard, run: Start, ledger: Ledger, young: str) -> None:
    if young != "none":
        other = run(2, "-n", "young", *(("-Q", "other") if young == "other queue" else ()), lease="2")
        if young == "draining":
            new.drain(["young"], stay=True)
            wait_until(lambda: [one.state for one in new.workers()] == ["draining"], "it drains")
        elif young == "dead":
            other.kill()
            wait_until(lambda: [one.alive for one in new.workers()] != [True], "its lease is over")
    old = run(1, "-n", "old")
    record = wait_final(new.ledger, submit(new, "fresh", '{"gate": ""}'))
    assert record.state is State.FAILURE
    assert record.failure is not None
    assert (record.failure.kind, record.failure.type) == (FailureKind.ERROR, "NotRegistered")
    assert "knows no task named 'fresh', and no other worker that reads its queue does" in record.failure.message
    assert ledger.client.xlen(f"{ledger.keys.prefix}dead") == 1
    assert wait_final(new.ledger, submit(new, "steady", '{"value": 5}')).state is State.SUCCESS
    assert old.child.poll() is None


def test_what_is_put_off_too_often_is_set_aside(new: Backyard, run: Start, gate: Path) -> None:
    run(1, "-n", "old")
    run(2, "-n", "young")
    submit(new, "fresh", f'{{"gate": "{gate}"}}')
    wait_until(lambda: starts(gate), "it runs")
    waiting = submit(new, "fresh", '{"gate": ""}')
    new.ledger.client.hset(new.ledger.keys.task(waiting), "put_off", 200)
    record = wait_final(new.ledger, waiting)
    assert record.failure is not None
    assert "those that do never took it" in record.failure.message
    gate.touch()


def test_an_input_of_the_other_version_is_a_failure_with_a_reason(new: Backyard, run: Start) -> None:
    old = run(1)
    record = wait_final(new.ledger, submit(new, "grown", '{"size": "large", "color": "red"}'))
    assert (record.state, record.number("attempt")) == (State.FAILURE, 1), "it will not fit later either"
    assert record.failure is not None
    assert record.failure.type == "InvalidInputError"
    assert "grown" in record.failure.message
    assert "size" in record.failure.message
    assert wait_final(new.ledger, submit(new, "steady", '{"value": 5}')).state is State.SUCCESS
    assert_clean(new.ledger)
    assert old.child.poll() is None
    prints = [one.definitions["grown"] for one in new.workers()]
    run(2)
    wait_until(lambda: len(new.workers()) == 2, "both are known")
    both = {one.definitions["grown"] for one in new.workers()}
    assert len(both) == 2
    assert prints[0] in both

"""A task that kills what runs it ends after a few times, with evidence, and its neighbours run on."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from backyard.core.models import Evidence, Failure, FailureKind
from backyard.core.states import State
from backyard.ledger.ledger import Ledger
from backyard.ledger.task_calls import CRASHES
from support.clean import assert_clean, counted, news_of, wait_final, wait_for_state, wait_until
from support.deadly import TARGET, define, yard_of
from support.processes import Process, start_worker
from support.trials import starts

Start = Callable[..., Process]


@pytest.fixture
def yard(environment: dict[str, str]) -> Iterator[SimpleNamespace]:
    made = yard_of(environment)
    yield SimpleNamespace(ledger=made.ledger, tasks=define(made))
    made.ledger.close()


@pytest.fixture
def work(environment: dict[str, str]) -> Iterator[Start]:
    started: list[Process] = []

    def start(*options: str, **more: str) -> Process:
        process = start_worker({**environment, **more}, *(options or ("--concurrency=1",)), target=TARGET)
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def failure_of(ledger: Ledger, task_id: str) -> Failure:
    record = wait_final(ledger, task_id)
    assert record.state is State.FAILURE
    failure = record.view().failure
    assert failure is not None
    return failure


def evidence_of(failure: Failure) -> list[Evidence]:
    assert failure.kind is FailureKind.QUARANTINED
    assert failure.evidence is not None
    return failure.evidence


@pytest.mark.parametrize(
    ("how", "ending"), [("kill", ("SIGKILL", None)), ("segfault", ("SIGSEGV", None)), ("exit", (None, 7))]
)
def test_a_task_that_ends_its_own_process(
    yard: SimpleNamespace, work: Start, gate: Path, how: str, ending: tuple[str | None, int | None]
) -> None:
    worker = work("--concurrency=2")
    neighbour = yard.tasks.hold.submit_sync(f"{gate}.neighbour")
    handle = yard.tasks.crash.submit_sync(str(gate), how)
    evidence = evidence_of(failure_of(yard.ledger, handle.task_id))
    assert len(starts(gate)) == CRASHES
    assert [(one.attempt, one.reason, one.signal, one.exit_code) for one in evidence] == [
        (number, "crashed", *ending) for number in (1, 2, 3)
    ]
    for number, one in enumerate(evidence, 1):
        assert one.lines == ["INFO about to end", f"WARNING shop: 60000000 bytes of ballast, attempt {number}"]
        assert one.peak_rss is not None
        assert one.peak_rss > 100_000_000, "the ballast counts"
        assert (one.host, one.worker) == (os.uname().nodename, f"celery@{os.uname().nodename}")
    Path(f"{gate}.neighbour").touch()
    assert neighbour.result_sync(30) == 1
    assert yard.tasks.add.submit_sync(1).result_sync(30) == 3
    assert [state for state, _ in news_of(yard.ledger, handle.task_id)].count("FAILURE") == 1
    assert counted(yard.ledger)["quarantined"] == 1
    assert_clean(yard.ledger)
    assert worker.child.poll() is None


def test_a_definition_has_a_limit_of_its_own(yard: SimpleNamespace, work: Start, gate: Path) -> None:
    work()
    evidence = evidence_of(failure_of(yard.ledger, yard.tasks.crash_once.submit_sync(str(gate)).task_id))
    assert [one.signal for one in evidence] == ["SIGABRT"]
    assert len(starts(gate)) == 1


def test_the_yard_has_a_limit(yard: SimpleNamespace, work: Start, gate: Path) -> None:
    work("--concurrency=1", BACKYARD_CRASH_LIMIT="2")
    handle = yard.tasks.crash.submit_sync(str(gate), "kill")
    assert len(evidence_of(failure_of(yard.ledger, handle.task_id))) == len(starts(gate)) == 2


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_task_that_ends_its_whole_worker(yard: SimpleNamespace, work: Start, gate: Path, pool: str) -> None:
    """Whoever restarts the worker does so a limited number of times; in threads and solo a crash is one as well."""
    fell = yard.tasks.fell_worker if pool == "prefork" else yard.tasks.crash
    handle = fell.submit_sync(*([str(gate)] if pool == "prefork" else [str(gate), "segfault"]))
    dead = 0
    while not wait_for_state(yard.ledger, handle.task_id, State.PENDING, State.FAILURE).final:
        worker = work("--concurrency=1", f"--pool={pool}", BACKYARD_LOSS_LIMIT="2", BACKYARD_LEASE="600")
        wait_until(lambda: worker.child.poll() is not None or yard.ledger.record(handle.task_id).final, "it falls")  # noqa: B023
        dead += worker.child.poll() is not None
    assert dead == 2 == len(starts(gate))
    evidence = evidence_of(failure_of(yard.ledger, handle.task_id))
    assert [(one.attempt, one.reason) for one in evidence] == [(1, "worker_lost"), (2, "worker_lost")]
    for number, one in enumerate(evidence, 1):
        if pool == "prefork":
            assert one.lines == [f"INFO felling, attempt {number}"]
        else:
            assert one.lines[0] == "INFO about to end"
        assert one.signal in (None, "SIGKILL" if pool == "prefork" else "SIGSEGV")
        assert one.peak_rss is not None
        assert one.peak_rss > 10_000_000
    assert yard.tasks.add.submit_sync(1).result_sync(30) == 3, "the last worker lives"
    assert_clean(yard.ledger)


def test_a_neighbour_does_not_end_with_the_culprit(yard: SimpleNamespace, work: Start, gate: Path) -> None:
    """Both are lost with the worker, again and again, until each has to run without the other."""
    culprit = yard.tasks.fell_worker.submit_sync(str(gate))
    neighbour = yard.tasks.hold.submit_sync(f"{gate}.neighbour")
    dead = 0

    def settled(worker: Process) -> bool:
        record = yard.ledger.record(culprit.task_id)
        if record.text("parked"):
            Path(f"{gate}.neighbour").touch()  # it has its turn alone, and ends well
        return record.final or worker.child.poll() is not None

    while not wait_for_state(yard.ledger, culprit.task_id, State.PENDING, State.FAILURE).final:
        worker = work("--concurrency=2", BACKYARD_LOSS_LIMIT="4", BACKYARD_LEASE="600")
        wait_until(lambda: settled(worker), "the worker falls, or the culprit has ended")  # noqa: B023
        dead += worker.child.poll() is not None
    Path(f"{gate}.neighbour").touch()
    assert neighbour.result_sync(60) in (1, 2, 3)
    assert yard.ledger.record(neighbour.task_id).number("lost") <= 2
    assert len(evidence_of(failure_of(yard.ledger, culprit.task_id))) == dead == len(starts(gate)) == 4
    assert_clean(yard.ledger)


def test_a_child_killed_while_its_worker_stops_counts_against_nobody(
    yard: SimpleNamespace, work: Start, gate: Path
) -> None:
    worker = work()
    handle = yard.tasks.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    worker.child.terminate()
    worker.wait_for_line("Warm shutdown")
    os.kill(int(starts(gate)[0][0]), signal.SIGKILL)
    assert worker.child.wait(30) == 0
    record = yard.ledger.record(handle.task_id)
    assert (record.state, record.number("crashed"), record.number("lost")) == (State.PENDING, 0, 0)
    assert yard.ledger.client.zcard(yard.ledger.keys.leases) == 0


def test_the_log_of_a_chatty_task_is_cut(yard: SimpleNamespace, work: Start, gate: Path) -> None:
    work()
    handle = yard.tasks.chatter.submit_sync(str(gate))
    (one,) = evidence_of(failure_of(yard.ledger, handle.task_id))
    assert len(one.lines) == 20
    assert [int(re.findall(r"\d+", text)[0]) for text in one.lines] == list(range(980, 1_000))
    assert all(290 <= len(text.encode()) <= 300 for text in one.lines)

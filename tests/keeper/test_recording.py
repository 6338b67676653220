from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backyard import Backyard
from backyard.core.states import State
from backyard.core.task_filter import TaskFilter
from backyard.history.database import History
from backyard.history.queries import attempts_of, counts_of, events_of, page_of, task_of
from backyard.ledger.ledger import Ledger
from support.clean import wait_until
from support.keepers import await_recorded, different, start_keeper
from support.processes import TESTS, Process, start_worker

TARGET = "support.yard:yard"


@pytest.fixture
def keeper(environment: dict[str, str]) -> Iterator[Process]:
    process = start_keeper(environment)
    yield process
    process.end()


@pytest.fixture
def crew(environment: dict[str, str]) -> Iterator[Process]:
    process = start_worker(environment)
    yield process
    process.end()


def await_end(ledger: Ledger, task_id: str) -> None:
    """Wait until a task is final."""
    wait_until(lambda: ledger.record(task_id).final, f"{task_id} ends")


def leader_of(ledger: Ledger, keepers: list[Process]) -> Process | None:
    """Return the keeper that records."""
    client: Any = ledger.client
    leader = client.get(f"{ledger.keys.prefix}lead:record") or b""
    return next((one for one in keepers if leader.startswith(f"keeper{one.child.pid}@".encode())), None)


def test_history_is_the_same_as_the_ledger(
    keeper: Process, crew: Process, new_yard: Backyard, ledger: Ledger, history: History
) -> None:
    assert keeper.child.poll() is None
    assert crew.child.poll() is None
    send = new_yard.celery.send_task
    made = [send("add", kwargs={"a": number, "b": 1}) for number in range(20)]
    made += [
        send("flaky", kwargs={"failures": 1}),
        send("wrong_result"),
        send("steps", kwargs={"count": 3}, queue="slow"),
    ]
    made += [send("save_and_log", kwargs={"name": "a.txt", "text": "x" * 9_000}), send("plain", args=[2, 3])]
    made += [send("add", kwargs={"a": "x" * 9_000}), send("retrying", kwargs={"times": 2})]
    waits = send("add", kwargs={"a": 1, "b": 1}, countdown=600)
    gone = send("add", kwargs={"a": 2, "b": 1}, countdown=600)
    assert new_yard.cancel_sync([gone.id])[gone.id] == "cancelled"
    for one in made:
        await_end(ledger, one.id)
    await_recorded(ledger)
    assert different(ledger, history) == []
    states, exact = counts_of(history, TaskFilter())
    assert (states["SCHEDULED"], states["REVOKED"], exact) == (1, 1, True)
    assert sum(states.values()) == len(made) + 2
    flaky = next(one.id for one in made if ledger.record(one.id).text("name") == "flaky")
    assert [one["outcome"] for one in attempts_of(history, flaky)] == ["RETRY", "SUCCESS"]
    logged = next(one.id for one in made if ledger.record(one.id).text("name") == "save_and_log")
    assert any(one["data"]["message"] == "saving" for one in events_of(history, logged, kinds=["log"]))
    view = task_of(history, waits.id)
    assert view is not None
    assert view.state is State.SCHEDULED


def test_what_happened_before_the_first_keeper_is_there(
    environment: dict[str, str], crew: Process, new_yard: Backyard, ledger: Ledger, history: History
) -> None:
    assert crew.child.poll() is None
    made = [new_yard.celery.send_task("add", kwargs={"a": number}) for number in range(5)]
    for one in made:
        await_end(ledger, one.id)
    # As if the stream had been trimmed since.
    ledger.client.xtrim(ledger.keys.events, maxlen=2, approximate=False)
    keeper = start_keeper(environment)
    try:
        await_recorded(ledger)
        wait_until(lambda: len(page_of(history, TaskFilter(), 10).tasks) == len(made), "all are taken over")
        assert different(ledger, history) == []
    finally:
        keeper.end()


def test_keepers_take_over_and_double_nothing(
    environment: dict[str, str], crew: Process, new_yard: Backyard, ledger: Ledger, history: History
) -> None:
    assert crew.child.poll() is None
    keepers = [start_keeper(environment), start_keeper(environment)]
    try:
        total = 0
        for _ in range(3):
            made = [new_yard.celery.send_task("add", kwargs={"a": number}) for number in range(50)]
            total += len(made)
            victim = wait_until(lambda: leader_of(ledger, keepers), "one of them leads")
            assert victim is not None
            victim.kill()
            victim.stop()
            keepers.remove(victim)
            keepers.append(start_keeper(environment))
            for one in made:
                await_end(ledger, one.id)
        await_recorded(ledger)
        assert different(ledger, history) == []
        assert counts_of(history, TaskFilter()) == ({"SUCCESS": total}, True)
    finally:
        for one in keepers:
            one.end()


def test_a_keeper_stops_when_it_is_told(keeper: Process, ledger: Ledger) -> None:
    wait_until(lambda: ledger.client.exists(f"{ledger.keys.prefix}lead:record"), "it leads")
    keeper.child.send_signal(signal.SIGTERM)
    assert keeper.child.wait(30) == 0
    assert ledger.client.exists(f"{ledger.keys.prefix}lead:record") == 0


def test_the_stream_is_trimmed_when_it_is_recorded_and_not_before(ledger: Ledger) -> None:
    calls = ledger.calls
    calls.events_kept = 1_000
    for number in range(3_000):
        ledger.run(calls.audit({"number": number}))
    length = ledger.run(calls.set_recorded("0-1", "k", 1_000_000, caught_up=False))
    assert length < 3_000  # nobody recorded: kept short as before
    for number in range(3_000):
        ledger.run(calls.audit({"number": number}))
    assert ledger.client.xlen(ledger.keys.events) >= 3_000
    assert ledger.run(calls.set_recorded("0-1", "k", 1_000_000, caught_up=True)) >= 3_000
    newest = ledger.run(calls.last_event())
    assert ledger.run(calls.set_recorded(newest, "k", 1_000_000, caught_up=True)) < 3_000


def test_a_keeper_starts_without_its_history_and_records_when_it_is_back(
    environment: dict[str, str], new_yard: Backyard, ledger: Ledger, history: History
) -> None:
    folder = Path(environment["BACKYARD_DATA_DIR"]) / "history"
    folder.write_text("in the way")
    sent = new_yard.celery.send_task("add", kwargs={"a": 1})
    keeper = start_keeper(environment)
    try:
        keeper.wait_for_line("The duty 'record' waits")
        folder.unlink()
        await_recorded(ledger)
        found = task_of(history, sent.id)
        assert found is not None
        assert found.state is State.PENDING
    finally:
        keeper.end()


def test_a_keeper_refuses_a_history_that_is_behind(environment: dict[str, str]) -> None:
    keeper = Process([sys.executable, "-m", "backyard", "keeper", TARGET], environment)
    assert keeper.child.wait(60) == 1
    keeper.wait_for_line("Run `backyard migrate` first")
    done = subprocess.run(
        [sys.executable, "-m", "backyard", "migrate", TARGET],
        env={**os.environ, **environment, "PYTHONPATH": str(TESTS)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "is up to date now: 0001" in done.stdout
    keeper.stop()
    again = Process([sys.executable, "-m", "backyard", "keeper", TARGET], environment)
    again.wait_for_line(" ready.")
    again.stop()

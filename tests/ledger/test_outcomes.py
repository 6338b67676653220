"""How threads wait for the end of a task."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backyard.core.errors import LedgerUnavailableError, UnknownTaskError
from backyard.core.states import State, Verb
from backyard.embedded.server import EmbeddedServer
from backyard.ledger import outcomes as outcomes_module
from backyard.ledger.ledger import Ledger
from backyard.ledger.record import Record
from support.bench import Bench, bench_of
from support.watching import PATIENCE
from support.web import until


def listeners(bench: Bench, task_id: str) -> int:
    return int(bench.client.pubsub_numsub(bench.keys.task(task_id))[0][1])


def begin(bench: Bench, task_id: str) -> Future[Record | None]:
    """Wait for a task in a thread of its own, and return when it is heard."""
    outcome: Future[Record | None] = Future()

    def wait() -> None:
        try:
            outcome.set_result(bench.ledger.outcomes.wait(task_id, PATIENCE))
        except BaseException as error:  # noqa: BLE001 - the test is to see it
            outcome.set_exception(error)

    threading.Thread(target=wait, daemon=True).start()
    until(lambda: listeners(bench, task_id) == 1, "the subscription")
    return outcome


@pytest.mark.parametrize(
    ("verb", "state", "fields"),
    [
        (Verb.SUCCEED, State.SUCCESS, {"result": '"short"'}),
        (Verb.SUCCEED, State.SUCCESS, {"result": '"' + "long" * 2_000 + '"'}),
        (Verb.SUCCEED, State.SUCCESS, {"result": '"müde \\u0000 \\n"'}),
        (Verb.SUCCEED, State.SUCCESS, {"result": b"\xff\xfe no text"}),
        (Verb.SUCCEED, State.SUCCESS, {}),
        (Verb.FAIL, State.FAILURE, {"failure": '{"kind":"error","type":"E","message":"m"}'}),
        (Verb.SUCCEED, State.SUCCESS, {"result": '"' + "long" * 2_000 + '"', "failure": '{"of":"an earlier attempt"}'}),
        (Verb.STOP, State.REVOKED, {}),
    ],
)
def test_wait_returns_how_the_task_ended(bench: Bench, verb: Verb, state: State, fields: dict[str, Any]) -> None:
    task_id, _ = bench.running()
    outcome = begin(bench, task_id)
    bench.move(Verb.PROGRESS, task_id, 1, event="progress")
    assert not outcome.done()
    bench.move(verb, task_id, 1, fields=fields)
    after = bench.ledger.outcomes.wait(task_id)
    for record in (outcome.result(PATIENCE), after):
        assert record is not None
        assert record.state is state
        for name in ("result", "failure"):
            value = fields.get(name)
            assert record.fields.get(name) == (value.encode() if isinstance(value, str) else value)


def test_small_outcome_comes_with_the_news(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id, _ = bench.running()
    looks: list[str] = []
    look: Callable[[str], Record] = bench.ledger.outcomes._record

    def looked(asked: str) -> Record:
        record = look(asked)
        looks.append(asked)
        return record

    monkeypatch.setattr(bench.ledger.outcomes, "_record", looked)
    outcome = begin(bench, task_id)
    until(lambda: looks, "the look at the record before the wait")
    bench.move(Verb.SUCCEED, task_id, 1, fields={"result": "7"})
    record = outcome.result(PATIENCE)
    assert record is not None
    assert record.fields["result"] == b"7"
    assert looks == [task_id]  # and none for the outcome


def test_task_that_ends_right_after_the_look_is_not_missed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id, _ = bench.running()
    look: Callable[[str], Record] = bench.ledger.outcomes._record

    def look_and_end(looked: str) -> Record:
        record = look(looked)
        bench.move(Verb.SUCCEED, looked, 1, fields={"result": "7"})
        return record

    monkeypatch.setattr(bench.ledger.outcomes, "_record", look_and_end)
    record = bench.ledger.outcomes.wait(task_id, PATIENCE)
    assert record is not None
    assert record.fields["result"] == b"7"


def test_time_runs_out(bench: Bench) -> None:
    task_id, _ = bench.running()
    for timeout in (0, 0.05):
        assert bench.ledger.outcomes.wait(task_id, timeout) is None
    bench.move(Verb.SUCCEED, task_id, 1)
    for timeout in (0, -1):
        record = bench.ledger.outcomes.wait(task_id, timeout)
        assert record is not None
        assert record.final


def test_unknown_task(bench: Bench) -> None:
    with pytest.raises(UnknownTaskError):
        bench.ledger.outcomes.wait("nobody", PATIENCE)


def test_a_thread_keeps_its_connection(bench: Bench) -> None:
    ids = [bench.running(queue=f"q{number}")[0] for number in range(5)]
    bench.ledger.outcomes.wait(ids[0], 0.01)
    kept = bench.ledger.outcomes._own.connection
    assert kept is not None
    for task_id in ids:
        bench.ledger.outcomes.wait(task_id, 0.01)
        bench.move(Verb.SUCCEED, task_id, 1)
        assert bench.ledger.outcomes.wait(task_id, PATIENCE) is not None
        assert bench.ledger.outcomes._own.connection is kept
    until(lambda: not any(listeners(bench, task_id) for task_id in ids), "the end of the subscriptions")


def test_kept_connection_that_has_died_is_replaced(bench: Bench) -> None:
    task_id, _ = bench.running()
    assert bench.ledger.outcomes.wait(task_id, 0.01) is None
    until(lambda: not listeners(bench, task_id), "the end of the subscription")
    bench.client.execute_command("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")
    assert bench.ledger.outcomes.wait(task_id, 0.01) is None
    bench.move(Verb.SUCCEED, task_id, 1)
    assert bench.ledger.outcomes.wait(task_id, PATIENCE) is not None


def test_many_threads_wait_at_once(bench: Bench) -> None:
    ids = [bench.running(queue=f"q{number}")[0] for number in range(20)]
    with ThreadPoolExecutor(len(ids)) as threads:
        waits = [threads.submit(bench.ledger.outcomes.wait, task_id, PATIENCE) for task_id in ids]
        until(lambda: all(listeners(bench, task_id) for task_id in ids), "the subscriptions")
        for task_id in reversed(ids):
            bench.move(Verb.SUCCEED, task_id, 1, fields={"result": f'"{task_id}"'})
        for task_id, wait in zip(ids, waits, strict=True):
            record = wait.result()
            assert record is not None
            assert record.json("result") == task_id


def test_killed_connections_lose_nothing(bench: Bench) -> None:
    task_id, _ = bench.running()
    outcome = begin(bench, task_id)
    for _ in range(3):
        until(lambda: listeners(bench, task_id) == 1, "the subscription")
        bench.client.execute_command("CLIENT KILL", "TYPE", "pubsub")
    bench.move(Verb.SUCCEED, task_id, 1)
    assert outcome.result(PATIENCE) is not None


def test_silent_wait_asks_whether_the_server_is_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes_module, "SILENCE", 0.02)
    task_id, _ = bench.running()
    outcome = begin(bench, task_id)
    bench.client.config_resetstat()
    until(
        lambda: int(bench.client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"]) > 2, "the questions"
    )
    assert not outcome.done()
    bench.move(Verb.SUCCEED, task_id, 1)
    assert outcome.result(PATIENCE) is not None


def test_server_that_goes_and_comes_back(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "data", appendfsync="no") as server, bench_of(server.url) as bench:
        task_id, _ = bench.running()
        kept = Ledger(server.url, bench.keys.yard)
        assert kept.outcomes.wait(task_id, 0.01) is None
        outcome = begin(bench, task_id)
        server.stop()
        with pytest.raises(LedgerUnavailableError):
            kept.outcomes.wait(task_id, PATIENCE)
        server.start()
        until(lambda: listeners(bench, task_id) == 1, "the subscription")
        bench.move(Verb.SUCCEED, task_id, 1)
        assert outcome.result(PATIENCE) is not None
        # The connection that was kept has died meanwhile; that is no reason to say that the server is away.
        assert kept.outcomes.wait(task_id, PATIENCE) is not None
        kept.close()

"""The guardian: leases outlast a held interpreter, and nothing else; what dies is given back at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backyard.core.states import State
from backyard.embedded.server import EmbeddedServer
from backyard.engine import guardian as guardian_module
from backyard.engine.flight_file import FlightFile, read_flight
from backyard.engine.guardian import Guardian
from backyard.engine.processes import peak_rss, start_of
from backyard.ledger.ledger import Ledger
from support.clean import assert_clean, counted, news_of, wait_for_state, wait_until
from support.deadly import TARGET, define, yard_of
from support.family import alive, children, field, folders, guardian_of, guardians, open_files
from support.processes import Process, start_worker
from support.trials import starts

#: Each pool, with room for two tasks where it has room at all.
POOLS = ["prefork", "threads", "solo"]
SHORT, LONG = "2", "600"


class Scene(SimpleNamespace):
    """A yard of deadly tasks, with workers that are gone after the test."""

    ledger: Ledger
    tasks: SimpleNamespace
    environment: dict[str, str]
    started: list[Process]

    def worker(self, *options: str, pool: str = "prefork", concurrency: int = 1, lease: str = "") -> Process:
        environment = {**self.environment, **({"BACKYARD_LEASE": lease} if lease else {})}
        words = (f"--pool={pool}", f"--concurrency={concurrency}", "-n", f"w{len(self.started)}", *options)
        process = start_worker(environment, *words, target=TARGET)
        self.started.append(process)
        return process


@pytest.fixture
def scene(environment: dict[str, str]) -> Iterator[Scene]:
    yard = yard_of(environment)
    scene = Scene(ledger=yard.ledger, tasks=define(yard), environment=environment, started=[])
    yield scene
    for process in scene.started:
        process.end()
    yard.ledger.close()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def freeze(worker: Process) -> None:
    os.killpg(worker.child.pid, signal.SIGSTOP)


def thaw(worker: Process) -> None:
    os.killpg(worker.child.pid, signal.SIGCONT)


# -- while it lives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
def test_a_held_interpreter_keeps_its_lease(scene: Scene, gate: Path, pool: str) -> None:
    first = scene.worker(pool=pool, lease=SHORT)
    handle = scene.tasks.hold_interpreter.submit_sync(str(gate), 7.0)
    wait_until(lambda: starts(gate), "it starts")
    other = scene.worker(lease=SHORT)  # it would take over whatever it may
    assert handle.result_sync(60) == 1
    assert len(starts(gate)) == 1
    assert scene.ledger.record(handle.task_id).number("lost") == 0
    assert counted(scene.ledger).get("workers_lost", 0) == 0
    assert_clean(scene.ledger, leases=2)
    assert (first.child.poll(), other.child.poll()) == (None, None)


@pytest.mark.parametrize("pool", POOLS)
def test_a_frozen_worker_does_not_keep_its_lease(scene: Scene, gate: Path, pool: str) -> None:
    frozen = scene.worker(pool=pool, lease=SHORT)
    scene.worker(lease=SHORT)
    handle = scene.tasks.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    ran = next(
        one for one in scene.started if starts(gate)[0][0] in map(str, [one.child.pid, *children(one.child.pid)])
    )
    other = next(one for one in scene.started if one is not ran)
    freeze(ran)
    wait_until(lambda: len(starts(gate)) == 2, "another worker starts it")
    gate.touch()
    assert handle.result_sync(30) == 2
    thaw(ran)
    wait_until(lambda: counted(scene.ledger).get("stale", 0), "the late outcome arrives")
    record = scene.ledger.record(handle.task_id)
    assert (record.state, record.number("attempt"), record.number("lost")) == (State.SUCCESS, 2, 1)
    assert [state for state, _ in news_of(scene.ledger, handle.task_id)].count("SUCCESS") == 1
    wait_until(lambda: "was dropped (stale)" in ran.output, "it is logged")
    assert scene.tasks.add.submit_sync(1).result_sync(30) == 3
    assert_clean(scene.ledger, leases=2)
    assert (frozen.child.poll(), other.child.poll()) == (None, None)


def test_a_guardian_that_was_killed_is_replaced(scene: Scene, gate: Path) -> None:
    worker = scene.worker(lease=LONG)
    first = guardian_of(worker.child.pid)
    handle = scene.tasks.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    os.kill(first, signal.SIGKILL)
    second = guardian_of(worker.child.pid, but=first)
    os.kill(second, signal.SIGKILL)
    third = guardian_of(worker.child.pid, but=second)
    wait_until(lambda: any("socket:" in one for one in open_files(third)), "it knows whom it guards")
    worker.wait_for_line("starting another")
    worker.kill()
    wait_for_state(scene.ledger, handle.task_id, State.PENDING)
    wait_until(lambda: counted(scene.ledger).get("workers_lost") == 1)


def test_without_its_guardian_a_worker_renews_itself(scene: Scene, gate: Path) -> None:
    first, other = scene.worker(lease=SHORT), scene.worker(lease=SHORT)
    guardian = guardian_of(first.child.pid)
    guardian_of(other.child.pid)  # this one goes on: somebody has to be there to take over
    os.kill(guardian, signal.SIGSTOP)
    try:
        handles = [scene.tasks.hold.submit_sync(str(gate)) for _ in range(2)]
        wait_until(lambda: len(starts(gate)) == 2, "each runs one")
        seconds = scene.ledger.client.time()[0]
        wait_until(lambda: scene.ledger.client.time()[0] - seconds > 2 * float(SHORT), "two leases pass")
        gate.touch()
        assert [handle.result_sync(30) for handle in handles] == [1, 1]
    finally:
        os.kill(guardian, signal.SIGCONT)
    assert (first.child.poll(), other.child.poll()) == (None, None)


def test_a_guardian_holds_nothing_of_its_worker(scene: Scene) -> None:
    worker = scene.worker()
    pid = worker.child.pid
    guardian = guardian_of(pid)
    wait_until(lambda: any("socket:" in one for one in open_files(guardian)), "it renews")

    def holds_its_own_alone() -> bool:
        kinds = sorted(one.partition(":[")[0] for one in open_files(guardian))
        return (
            len(kinds) == 5
            and (kinds[2] == "anon_inode" or "pidfd" in kinds[2])
            and {*kinds[:2], *kinds[3:]} == {"/dev/null", "pipe", "socket"}
        )

    wait_until(holds_its_own_alone, "it has nothing else open for long")
    assert Path(f"/proc/{guardian}/cwd").readlink() == Path("/")
    assert field(guardian, 2) == field(guardian, 3) == str(guardian), "a group and a session of its own"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(guardian, number)
    assert worker.stop() == 0
    wait_until(lambda: not alive(guardian), "it ends with its worker")


# -- when it dies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["main", "group"])
@pytest.mark.parametrize("pool", POOLS)
def test_what_a_killed_worker_held_is_back_at_once(scene: Scene, gate: Path, pool: str, who: str) -> None:
    """The lease is ten minutes: nobody waits for it."""
    worker = scene.worker(pool=pool, lease=LONG)
    guardian = guardian_of(worker.child.pid)
    handle = scene.tasks.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    queued = scene.tasks.add.submit_sync(1)
    ran = int(starts(gate)[0][0])
    if who == "group":
        worker.kill()
    else:
        worker.child.kill()
        worker.child.wait()
    wait_for_state(scene.ledger, handle.task_id, State.PENDING)
    assert not alive(ran), "nothing of the first attempt runs beside the second"
    wait_until(lambda: not alive(guardian), "the guardian has done its work")
    assert folders(worker.child.pid, tempfile.gettempdir()) == []
    scene.worker(lease=LONG)
    wait_until(lambda: len(starts(gate)) == 2, "it starts again")
    gate.touch()
    assert (handle.result_sync(30), queued.result_sync(30)) == (2, 3)
    record = scene.ledger.record(handle.task_id)
    (evidence,) = record.json("evidence")
    assert (record.number("lost"), record.number("crashed"), evidence["reason"]) == (1, 0, "worker_lost")
    assert evidence["lines"] == ["INFO holding in attempt 1"]
    assert evidence["peak_rss"] > 10_000_000
    assert evidence.get("signal") in (None, "SIGKILL")  # nobody waits for this worker who could tell
    assert (evidence["attempt"], evidence["worker"]) == (1, "celery@w0")
    assert_clean(scene.ledger)
    assert counted(scene.ledger)["workers_lost"] == 1


def test_a_worker_that_was_told_to_stop_and_then_killed_counts_against_nobody(scene: Scene, gate: Path) -> None:
    worker = scene.worker(lease=LONG)
    handle = scene.tasks.hold.submit_sync(str(gate))
    wait_until(lambda: starts(gate), "it starts")
    worker.child.terminate()
    worker.wait_for_line("Warm shutdown")
    time.sleep(2)  # whoever deploys has patience, though too little
    worker.kill()
    record = wait_for_state(scene.ledger, handle.task_id, State.PENDING)
    assert (record.number("lost"), record.number("crashed"), record.text("evidence")) == (0, 0, None)
    assert news_of(scene.ledger, handle.task_id)[-1] == ("PENDING", 1)


@pytest.mark.parametrize("pool", POOLS)
def test_a_clean_end_leaves_nothing(scene: Scene, pool: str) -> None:
    worker = scene.worker(pool=pool, lease=LONG)
    pid = worker.child.pid
    guardian = guardian_of(pid)
    assert scene.tasks.add.submit_sync(1).result_sync(30) == 3
    assert folders(pid, tempfile.gettempdir())
    assert worker.stop() == 0
    assert not alive(guardian), "its worker has waited for it"
    assert folders(pid, tempfile.gettempdir()) == []
    assert counted(scene.ledger).get("workers_lost", 0) == 0
    assert_clean(scene.ledger, leases=0)


@pytest.mark.parametrize("how", ["gone", "frozen"])
def test_a_guardian_ends_with_its_worker_while_the_server_is_away(
    tmp_path: Path, environment: dict[str, str], how: str
) -> None:
    with EmbeddedServer(tmp_path / "own", appendfsync="no") as server:
        worker = start_worker({**environment, "BACKYARD_REDIS_URL": server.url}, "--concurrency=1", target=TARGET)
        try:
            guardian = guardian_of(worker.child.pid)
            pid = server.pid or 0
            os.kill(pid, signal.SIGSTOP if how == "frozen" else signal.SIGKILL)
            worker.kill()
            wait_until(lambda: not alive(guardian), "it gives up")
            assert guardians(worker.child.pid) == []
        finally:
            worker.end()
            if how == "frozen":
                os.kill(pid, signal.SIGCONT)


def test_nobody_is_reaped_when_the_server_was_frozen(tmp_path: Path, environment: dict[str, str], gate: Path) -> None:
    """All leases ran out while it was: for one lease nobody is declared dead."""
    with EmbeddedServer(tmp_path / "own", appendfsync="no") as server:
        own = {**environment, "BACKYARD_REDIS_URL": server.url, "BACKYARD_LEASE": SHORT}
        yard = yard_of(own)
        tasks = define(yard)
        workers = [start_worker(own, "--concurrency=1", "-n", name, target=TARGET) for name in ("one", "two")]
        try:
            handles = [tasks.hold.submit_sync(str(gate)) for _ in range(2)]
            wait_until(lambda: len(starts(gate)) == 2, "both run one")
            assert server.pid is not None
            for _ in range(2):
                os.kill(server.pid, signal.SIGSTOP)
                time.sleep(2 * float(SHORT))  # the fault itself
                os.kill(server.pid, signal.SIGCONT)
                before = yard.ledger.client.time()[0]
                wait_until(lambda: yard.ledger.client.time()[0] - before > float(SHORT), "a lease passes")  # noqa: B023
            gate.touch()
            assert [handle.result_sync(30) for handle in handles] == [1, 1]
            assert len(starts(gate)) == 2
            assert counted(yard.ledger).get("workers_lost", 0) == 0
            assert_clean(yard.ledger, leases=2)
        finally:
            for worker in workers:
                worker.end()
            yard.ledger.close()


# -- step by step -----------------------------------------------------------------------------------------------------


def hello(**more: Any) -> dict[str, Any]:
    common = {"pid": os.getppid(), "host": "h", "lease": 1, "folder": None, "address": {}, "prefix": "", "waiter": None}
    return {**common, **more}


def test_what_is_left_of_a_pool_is_killed_and_nobody_else() -> None:
    """Linux ends children with their parent by itself, if the pool asks for it; elsewhere nobody does."""
    program = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
    orphan, successor = subprocess.Popen(program), subprocess.Popen(program)
    try:
        ended = 2**22 + 1
        Guardian(hello(pid=os.getpid())).end_pool(
            [
                {"pid": orphan.pid, "started": start_of(orphan.pid)},
                {"pid": successor.pid, "started": start_of(successor.pid) - 1},  # its id was another's before
                {"pid": os.getpid(), "started": start_of(os.getpid())},  # the worker itself is dead
                {"pid": ended, "started": 5},
            ]
        )
        assert orphan.wait(10) == -signal.SIGKILL
        assert successor.poll() is None
    finally:
        for process in (orphan, successor):
            process.kill()
            process.wait()


def test_news_comes_in_any_pieces() -> None:
    guardian = Guardian(hello())
    said = [{"consumers": ["é" * 50], "stopping": False}, {"consumers": ["a", "b"], "stopping": True}]
    for byte in "".join(json.dumps(one) + "\n" for one in said).encode():
        guardian.hear(bytes([byte]))
    assert (guardian.consumers, guardian.stopping, guardian.over) == (["a", "b"], True, False)
    guardian.hear(b'{"consumers": [], "stopping": true}\n{"consu')
    assert guardian.over


def test_the_peak_is_noted_and_files_of_the_long_gone_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guardian_module, "SAMPLE", 0.0)
    guardian = Guardian(hello(folder=str(tmp_path)))
    living, gone = tmp_path / f"{os.getpid()}.0", tmp_path / f"{2**22 + 1}.0"
    for path in (living, gone):
        FlightFile(path, 0)
    guardian.sample()
    assert (read_flight(living) or {})["peak_rss"] == pytest.approx(peak_rss(os.getpid()), rel=0.1)
    assert gone.exists(), "the worker may want to read it"
    monkeypatch.setattr(guardian_module, "KEPT", -1.0)
    guardian.sample()
    assert (living.exists(), gone.exists()) == (True, False)

"""Rows 8, 11 and 16: workers that are frozen, killed while they read, or replaced."""

from __future__ import annotations

import signal
import time

from backyard.core.models import FailureKind
from backyard.core.states import State
from backyard.ledger.keys import GROUP
from faults.client import Client, Submit
from faults.judge import Expected
from faults.plan import plan_jobs
from faults.processes import family, send_all
from faults.run import Run, scenario
from faults.site import Crew, Site
from faults.storm import promised
from support.clean import counted, wait_until

#: Seconds that a worker has for what it runs, once it is told to stop.
GRACE = 10.0
FAILING = {"fail": {FailureKind.ERROR}}


def worker_of(site: Site, task_id: str) -> Crew:
    """Wait until a task has started, and return the worker that runs it."""
    wait_until(lambda: site.starts(task_id), f"{task_id} starts")
    pid = site.starts(task_id)[-1].pid
    return next(crew for crew in site.crews if pid in family(crew.pid))


@scenario("8", "worker frozen past its lease, then thawed", commit=True)
def frozen_worker(run: Run) -> None:
    with run.deployed(2, concurrency=1) as (site, client):
        gate = run.folder / "gate"
        held = client.submit("hold", {"gate": str(gate)})
        first = worker_of(site, held.task_id)
        begun = time.time()
        pids = site.freeze(first)
        wait_until(lambda: len(site.starts(held.task_id)) == 2, "it starts again", patience=60)
        took = site.starts(held.task_id)[1].at - begun
        run.row.recovery = round(took, 2)
        most = promised(site.lease)
        run.demand(took <= most, f"I6 the second attempt came after {took:.1f} s, not {most:g} s")
        wait_until(lambda: time.time() - begun - took > 2 * site.lease, "two leases of the living worker pass")
        run.demand(len(site.starts(held.task_id)) == 2, "I4 it started again while its second worker lived")
        gate.touch()
        wait_until(lambda: site.ledger.record(held.task_id).final, "the second attempt ends")
        others = [client.submit("work") for _ in range(20)]
        send_all(pids, signal.SIGCONT)
        wait_until(lambda: counted(site.ledger).get("stale", 0) >= 1, "the late outcome is refused")
        run.demand(site.ledger.record(held.task_id).number("attempt") == 2, "I3 another attempt is recorded")
        others.append(frozen_reader(site, client, run))
        run.judge(site, client, Expected(overlaps=True, extra_starts=1))
        run.row.kills = "1 worker frozen"
        run.demand(first.alive, "I8 the thawed worker ended")
        run.demand(all(site.ledger.record(one.task_id).state is State.SUCCESS for one in others), "neighbours failed")


def frozen_reader(site: Site, client: Client, run: Run) -> Submit:
    """Freeze a worker that waits for an entry, and thaw it when that entry has been given to another."""
    gate = run.folder / "gate2"
    held = client.submit("hold", {"gate": str(gate)})
    busy = worker_of(site, held.task_id)
    idle = next(crew for crew in site.crews if crew is not busy)
    for _ in range(10):
        pids = site.freeze(idle)
        made = client.submit("work")
        entry = site.ledger.record(made.task_id).text("entry") or ""
        lane, _, number = entry.partition("/")
        if site.client.xpending_range(site.ledger.keys.queue("default", lane), GROUP, number, number, 1):
            break
        send_all(pids, signal.SIGCONT)  # it was not reading at that moment
        wait_until(lambda made=made: site.ledger.record(made.task_id).final, "it ends")  # type: ignore[misc]
    else:
        raise AssertionError("an idle worker never was reading")
    wait_until(lambda: site.ledger.record(made.task_id).text("entry") != entry, "its entry is given back")
    send_all(pids, signal.SIGCONT)
    wait_until(lambda: counted(site.ledger).get("doubled", 0) >= 1, "the old entry is refused")
    wait_until(lambda: site.ledger.record(made.task_id).final, "it ends")
    run.demand(len(site.starts(made.task_id)) == 1, "I4 it started from its old entry as well")
    gate.touch()
    return made


@scenario("11", "freeze while reading, submit, kill -9", commit=True)
def killed_while_reading(run: Run) -> None:
    rounds = run.size("rounds", 3, 10)
    with run.deployed(1) as (site, client):
        made: list[Submit] = []
        for _ in range(rounds):
            crew = site.crews[0]
            # Nothing runs, and nothing waits: the worker is waiting for an answer of the server.
            wait_until(lambda: all(site.ledger.record(one.task_id).final for one in made), "what was submitted ends")
            site.freeze(crew)
            made.extend(client.submit("work") for _ in range(5))
            site.kill(crew, guardian=run.random.random() < 0.5)
            site.revive(crew, wait=True)
        run.judge(site, client, Expected(extra_starts=0))
        run.row.kills = f"{rounds} workers"


@scenario("16", "SIGTERM rolling deploy under load")
def rolling_deploy(run: Run) -> None:
    rounds = run.size("rounds", 2, 10)
    with run.deployed(2, BACKYARD_STOP_GRACE=f"{GRACE:g}") as (site, client):
        exits = []
        for number in range(rounds):
            client.submit_all(plan_jobs(run.random, 60))
            # One that no grace is long enough for, and that the next worker finds open.
            gate = run.folder / f"gate{number}"
            held = client.submit("hold", {"gate": str(gate)})
            crew = worker_of(site, held.task_id)
            begun = time.time()
            crew.process.child.terminate()
            crew.process.child.wait(60)
            ended = time.time()
            exits.append(ended - begun)
            wait_until(lambda held=held: len(site.starts(held.task_id)) == 2, "it starts again")  # type: ignore[misc]
            again = site.starts(held.task_id)[1].at - ended
            run.row.recovery = max(run.row.recovery or 0, round(again, 2))
            run.demand(again <= site.lease, f"I6 it started again {again:.1f} s after the exit")
            gate.touch()
            site.revive(crew, wait=True)
        run.note(f"exits after {', '.join(f'{took:.1f}' for took in exits)} s")
        run.demand(max(exits) <= GRACE, f"a worker took {max(exits):.1f} s to exit, with {GRACE:g} s of grace")
        expected = Expected(extra_starts=rounds * site.concurrency, failures=FAILING)
        run.judge(site, client, expected)
        run.row.kills = f"{rounds} workers stopped"

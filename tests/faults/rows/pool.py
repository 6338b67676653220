"""Rows 4 to 6: tasks that end, or try to end, the process that runs them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from backyard.core.models import FailureKind
from backyard.core.states import State
from faults.judge import Expected
from faults.run import Run, scenario
from faults.site import Site

CRASHES = 3
LOSSES = 3


@scenario("4", "pool child: kill -9, os._exit, segfault", commit=True)
def pool_child(run: Run) -> None:
    gate = run.folder / "gate"
    with run.deployed(1, concurrency=3) as (site, client):
        pids = [crew.pid for crew in site.crews]
        neighbour = client.submit("hold", {"gate": str(gate)})
        dying = [client.submit("crash", {"how": how}) for how in ("kill", "exit", "segfault")]
        others = [client.submit("work", {"seconds": 0.02}) for _ in range(run.size("tasks", 50, 300))]
        for made in (*dying, *others):
            client.call("GET", f"/tasks/{made.task_id}", params={"wait": 30})
        gate.touch()
        crashes = CRASHES * len(dying)
        run.judge(site, client, Expected(failures={"crash": {FailureKind.QUARANTINED}}, extra_starts=(CRASHES - 1) * 3))
        run.row.kills = f"{crashes} children"
        run.demand(len(site.starts(neighbour.task_id)) == 1, "I4 the neighbour was started again")
        run.demand([crew.pid for crew in site.crews if crew.alive] == pids, "I8 the worker did not survive")
        for made in dying:
            record = site.ledger.record(made.task_id)
            starts = len(site.starts(made.task_id))
            run.demand(record.state is State.FAILURE, f"{made.task_id} is {record.state}")
            run.demand(starts == CRASHES, f"a task that ends its process was started {starts} times, not {CRASHES}")


@contextmanager
def revived(site: Site) -> Iterator[list[int]]:
    """Start workers again that die, for a while; gives the count of deaths."""
    ended = threading.Event()
    deaths = [0]

    def watch() -> None:
        while not ended.wait(0.05):
            deaths[0] += site.revive_dead()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield deaths
    finally:
        ended.set()
        thread.join()


@scenario("5", "a task that kills its whole worker")
def worker_killer(run: Run) -> None:
    with run.deployed(2, BACKYARD_LOSS_LIMIT=str(LOSSES)) as (site, client):
        made = client.submit("crash_worker")
        with revived(site) as deaths:
            others = [client.submit("work", {"seconds": 0.02}) for _ in range(50)]
            for one in (made, *others):
                client.call("GET", f"/tasks/{one.task_id}", params={"wait": 60})
        failures = {"crash_worker": {FailureKind.QUARANTINED}}
        run.judge(site, client, Expected(failures=failures, extra_starts=LOSSES * site.concurrency))
        run.row.kills = f"{deaths[0]} workers"
        run.demand(deaths[0] <= LOSSES, f"{deaths[0]} workers died of one task, not {LOSSES}")
        failure = site.ledger.record(made.task_id).failure
        evidence = (failure.evidence if failure else None) or []
        run.demand(len(evidence) == LOSSES, f"{len(evidence)} deaths are kept as evidence, not {LOSSES}")
        run.demand(any(one.peak_rss for one in evidence), "no peak RSS is kept")
        run.demand(any("about to kill" in line for one in evidence for line in one.lines), "no log lines are kept")
        run.demand(any(one.signal for one in evidence), "no signal is kept")


@scenario("6", "MemoryError, SystemExit, KeyboardInterrupt, unserialisable result", commit=True)
def breaking_out(run: Run) -> None:
    with run.deployed(1) as (site, client):
        pids = [crew.pid for crew in site.crews]
        wild = [client.submit("break_out", {"how": how}) for how in ("memory", "exit", "interrupt", "object")]
        wild.append(client.submit("whole", {"number": -1}))
        fine = [client.submit("whole", {"number": number}) for number in range(20)]
        kinds = {FailureKind.ERROR, FailureKind.INVALID_RESULT}
        run.judge(site, client, Expected(failures={"break_out": kinds, "whole": kinds}))
        for made in wild:
            record = site.ledger.record(made.task_id)
            starts = len(site.starts(made.task_id))
            run.demand((record.state, starts) == (State.FAILURE, 1), f"{made.name}: {record.state}, {starts} starts")
        good = [site.ledger.record(made.task_id).state for made in fine]
        run.demand(set(good) == {State.SUCCESS}, f"neighbours: {good}")
        run.demand([crew.pid for crew in site.crews if crew.alive] == pids, "I8 the worker did not survive")

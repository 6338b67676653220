"""Rows 1, 2 and 12: workers, their reapers and the server are killed while thousands of tasks run."""

from __future__ import annotations

from collections.abc import Mapping

from faults.plan import plan_faults, plan_jobs
from faults.run import Run, scenario
from faults.storm import STRUCK, Storm, expected_after

WORKERS = 3


@scenario("1, 2, 12", "worker, reaper and Redis kill -9", commit=True)
def main(run: Run) -> None:
    kills = run.size("kills", 4, 20)
    pairs = max(1, kills // 5)
    alone = max(0, kills - 2 * pairs)
    counts = {"reaper": pairs, "host": alone // 2, "worker": alone - alone // 2}
    counts["server"] = run.size("restarts", 1, 5)
    storm(run, counts, run.size("tasks", 2_000, 10_000), lease=10.0 if run.full else 2.0)


def storm(run: Run, counts: Mapping[str, int], tasks: int, lease: float) -> None:
    """Let a storm pass over a deployment of three workers and a keeper, and judge what is left.

    Args:
        run: The run.
        counts: Faults of each kind.
        tasks: Tasks to submit.
        lease: Seconds of a lease.
    """
    faults = plan_faults(run.random, counts)
    jobs = plan_jobs(run.random, tasks)
    run.note(f"plan: {' '.join(map(str, faults))}")
    with run.deployed(WORKERS, keepers=1, lease=lease) as (site, client):
        passing = Storm(site, client, jobs, faults)
        passing.run()
        run.judge(site, client, expected_after(faults, site))
        killed = sum(STRUCK.get(kind, 0) * number for kind, number in passing.struck.items())
        parts = [f"{killed} workers" * (killed > 0), f"{site.server_kills} Redis" * (site.server_kills > 0)]
        run.row.kills = ", ".join(part for part in parts if part)

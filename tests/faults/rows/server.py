"""Rows 3, 7, 10, 14 and 22: the server is restarted, frozen, full, or closes its connections."""

from __future__ import annotations

import contextlib
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faults.client import Client, Job, Submit
from faults.judge import Expected
from faults.run import Run, scenario
from faults.site import Site
from support.clean import wait_until


@scenario("3", "Redis restarted while submitting")
def restarted_while_submitting(run: Run) -> None:
    restarts = run.size("restarts", 2, 5)
    with run.deployed(2) as (site, client):
        ended = threading.Event()

        def submit() -> None:
            while not ended.is_set():
                made = client.submit("work")
                # A client does what it is told: it waits as long as the answer says.
                time.sleep(0.005 if made.answer == "accepted" else made.retry_after or 0.5)

        with ThreadPoolExecutor(4) as pool:
            threads = [pool.submit(submit) for _ in range(4)]
            for number in range(restarts):
                before = client.counts()["unsure"]
                gate = run.folder / f"gate{number}"
                # They fail while nobody can be told that they are to be tried again.
                stumbling = [_accepted(client, "stumble", {"gate": str(gate)}) for _ in range(2)]
                for one in stumbling:
                    wait_until(lambda one=one: site.starts(one.task_id), "it starts")  # type: ignore[misc]
                site.kill_server(signal.SIGTERM, away=run.random.uniform(0.5, 1.5), meanwhile=gate.touch)
                accepted = client.counts()["accepted"]
                wait_until(lambda accepted=accepted: client.counts()["accepted"] > accepted + 10)  # type: ignore[misc]
                unsure = client.counts()["unsure"] - before
                run.demand(unsure <= 5, f"I5 {unsure} submits were unsure in one restart, not at most 5")
            ended.set()
            for thread in threads:
                thread.result()
        run.judge(site, client)
        run.row.kills = f"{restarts} Redis"


def _accepted(client: Client, name: str, payload: dict[str, str]) -> Submit:
    made = client.submit(name, payload)
    assert made.answer == "accepted", made
    return made


@scenario("7", "Redis frozen")
def frozen_server(run: Run) -> None:
    times = [run.sizes["seconds"]] if "seconds" in run.sizes else [10, 60] if run.full else [5]
    with run.deployed(2) as (site, client):
        gate = run.folder / "gate"
        held = client.submit("hold", {"gate": str(gate)})
        wait_until(lambda: site.starts(held.task_id), "it starts")
        for seconds in times:
            client.submit_all([Job("work", {"seconds": 0.02})] * 100)
            slowest = _submit_into(site, client, seconds, run)
            thawed = time.monotonic()
            wait_until(lambda: _waiting(site) == 0, "the queue is drained", patience=60)
            drained = time.monotonic() - thawed
            run.note(f"{seconds} s: slowest submit {slowest:.1f} s, drained {drained:.1f} s later")
            run.demand(drained <= 15, f"drained {drained:.1f} s after the thaw, not 15 s")
        run.demand(len(site.starts(held.task_id)) == 1, "a running task was started again")
        gate.touch()
        run.judge(site, client)
        run.row.kills = f"{len(times)} freezes"


def _submit_into(site: Site, client: Client, seconds: float, run: Run) -> float:
    """Submit while the server is frozen; returns the longest that an answer took."""
    slowest = 0.0
    with site.frozen_server():
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            made = client.submit("work")
            slowest = max(slowest, made.took)
            run.demand(made.status == 503, f"a submit was answered with {made.status} while Redis was frozen")
            time.sleep(0.5)
    run.demand(slowest <= 3, f"a submit took {slowest:.1f} s, not 3 s")
    return slowest


def _waiting(site: Site) -> int:
    queues = site.ledger.run(site.ledger.calls.queues())
    return sum(site.ledger.run(site.ledger.calls.depth(queues)).values())


@scenario("10", "CLIENT KILL of all connections")
def cut_connections(run: Run) -> None:
    times = run.size("times", 3, 10)
    with run.deployed(2) as (site, client):
        gate = run.folder / "gate"
        held = [client.submit("hold", {"gate": str(gate)}) for _ in range(2)]
        for one in held:
            wait_until(lambda one=one: site.starts(one.task_id), "it starts")  # type: ignore[misc]
        cut = 0
        for _ in range(times):
            client.submit_all([Job("work", {"seconds": 0.01})] * 50)
            cut += site.cut_connections()
            time.sleep(run.random.uniform(0.1, 1))
        gate.touch()
        run.judge(site, client)
        run.row.kills = f"{cut} connections"
        run.demand(all(len(site.starts(one.task_id)) == 1 for one in held), "a running task was started again")


@scenario("14", "memory full (noeviction)")
def memory_full(run: Run) -> None:
    with run.deployed(2) as (site, client):
        gate = run.folder / "gate"
        held = [client.submit("hold", {"gate": str(gate)}) for _ in range(2)]
        for one in held:
            wait_until(lambda one=one: site.starts(one.task_id), "it starts")  # type: ignore[misc]
        client.submit_all([Job("work")] * 50)
        site.client.config_set("maxmemory", "1mb")
        refused = [client.submit("work") for _ in range(20)]
        gate.touch()
        for made in refused:
            run.demand((made.status, made.answer) == (503, "refused"), f"{made.status} {made.answer}: {made.detail}")
            run.demand("memory" in made.detail, f"the answer gives no reason: {made.detail}")
        time.sleep(2)
        site.client.config_set("maxmemory", "0")
        run.judge(site, client)
        run.demand(all(len(site.starts(one.task_id)) == 1 for one in held), "a running task was started again")


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """Put a small file system at a folder, where this user may; says whether it is there."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


@scenario("22", "disk full under the AOF")
def disk_full(run: Run) -> None:
    with small_disk(run.folder / "server", 8) as mounted, run.deployed(2) as (site, client):
        client.submit_all([Job("work")] * 50)
        ballast = run.folder / "server" / "ballast"
        pid = site.server.pid
        assert pid is not None
        if mounted:
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"\0" * 4096)
        else:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (65_536, 65_536))
        run.note("small tmpfs" if mounted else "RLIMIT_FSIZE, since nothing can be mounted here")
        full = [client.submit("work") for _ in range(20)]
        run.demand(all(made.answer != "accepted" for made in full[5:]), "a submit was accepted on a full disk")
        run.note(f"on a full disk the server {'lives' if site.server.pid else 'ends; whoever runs it starts it again'}")
        ballast.unlink(missing_ok=True)
        if site.server.pid is None or not mounted:
            site.kill_server() if site.server.pid else site.server.start()
        client.submit_all([Job("work")] * 50)
        run.judge(site, client, Expected())
        run.row.kills = "1 full disk"

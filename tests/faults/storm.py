"""A storm: faults after a plan, while tasks are submitted and run."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from backyard.core.models import FailureKind
from faults.absence import Absence, take_away
from faults.client import Client, Job, Submit
from faults.judge import Expected
from faults.plan import Fault
from faults.processes import parents, send_all, session_of
from faults.site import Crew, Site
from support.clean import wait_until

#: Tasks that wait at most, so that submits go on while faults strike.
BACKLOG = 300
#: Seconds without progress after which the next fault strikes all the same.
PATIENCE = 20.0


class Storm:
    """Faults over one deployment.

    Args:
        site: The deployment.
        client: Who submits.
        jobs: What is submitted.
        faults: What strikes, in order.
    """

    def __init__(self, site: Site, client: Client, jobs: Sequence[Job], faults: Sequence[Fault]) -> None:
        self.site = site
        self.client = client
        self.jobs = jobs
        self.faults = faults
        self.struck: Counter[str] = Counter()
        self.absences: list[Absence] = []
        self.done = threading.Event()
        self._read = 0
        self._ended = 0
        self._lock = threading.Lock()

    def run(self) -> None:
        """Submit everything, let everything strike, and return when both are over."""
        with ThreadPoolExecutor(1) as pool:
            submitting = pool.submit(self.client.submit_all, self.jobs, 4, self._slow_down)
            submitting.add_done_callback(lambda _: self.done.set())
            for fault in self.faults:
                self._await(fault.at)
                time.sleep(fault.delay)
                KINDS[fault.kind](self, fault)
                self.struck[fault.kind] += 1
            submitting.result()
        wait_until(self.site.revive_keepers, "all keepers keep")

    # -- progress -------------------------------------------------------------------------------------------------

    def ended(self) -> int:
        """Count the attempts that have ended; only what is new in the journal is read."""
        with self._lock:
            if self.site.journal.exists():
                with self.site.journal.open("rb") as file:
                    file.seek(self._read)
                    data = file.read()
                self._read += len(data)
                self._ended += data.count(b" end ")
            return self._ended

    def _slow_down(self, _: Submit) -> None:
        while len(self.client.submits) - self.ended() > BACKLOG and not self.done.is_set():
            time.sleep(0.05)

    def _await(self, share: float) -> None:
        last, since = -1, time.monotonic()
        while (ended := self.ended()) < share * len(self.jobs):
            if ended != last:
                last, since = ended, time.monotonic()
            if time.monotonic() - since > PATIENCE:
                return
            time.sleep(0.02)

    # -- faults ---------------------------------------------------------------------------------------------------

    def victim(self, fault: Fault) -> Crew:
        """Return the worker that a fault strikes: one that reads its queues."""
        end = time.monotonic() + 60
        while True:
            ready = [crew for crew in self.site.crews if crew.ready]
            if ready:
                return ready[int(fault.victim * len(ready))]
            assert time.monotonic() < end, "no worker came back"
            time.sleep(0.05)

    def kill_worker(self, fault: Fault) -> None:
        """Kill a worker's group; its guardian, which has a session of its own, lives to tell."""
        crew = self.victim(fault)
        self.site.kill(crew)
        self.site.revive(crew)

    def kill_host(self, fault: Fault) -> None:
        """Kill a worker with everything that it started: nobody is left to tell."""
        crew = self.victim(fault)
        self.site.kill(crew, guardian=True)
        self.site.revive(crew)

    def kill_reaper(self, fault: Fault) -> None:
        """Kill a worker, and another one when it is about to take over what the first one held."""
        first = self.victim(fault)
        self.site.kill(first, guardian=True)
        time.sleep(max(0.0, self.site.lease + 0.4 * (fault.seconds - 2)))
        second = self.victim(fault)
        self.site.kill(second, guardian=True)
        self.site.revive(first)
        self.site.revive(second)

    def kill_child(self, fault: Fault) -> None:
        """Kill one process of a worker's pool."""
        crew = self.victim(fault)
        session = session_of(crew.pid)
        above = parents()
        # The worker itself is a parent of others of its session; the processes of its pool are not.
        pool = [pid for pid in session if pid not in above.values()]
        if pool:
            send_all([pool[int(fault.seconds * 1000) % len(pool)]], signal.SIGKILL)

    def kill_keeper(self, fault: Fault) -> None:
        """Kill the keeper that records, or any where none does."""
        keepers = self.site.keepers
        keeper = self.site.leader("record") or keepers[int(fault.victim * len(keepers))]
        self.site.kill_keeper(keeper)
        self.site.revive(keeper)

    def kill_api(self, _: Fault) -> None:
        """Kill the API, and start it again."""
        self.site.kill_api()

    def lock_history(self, fault: Fault) -> None:
        """Let the history's database be locked by another."""
        self._take_away("locked", fault)

    def move_history(self, fault: Fault) -> None:
        """Take the history's database away altogether."""
        self._take_away("moved", fault)

    def _take_away(self, how: str, fault: Fault) -> None:
        self.absences.append(take_away(self.site, self.client, how, 4 * fault.seconds, self.ended))

    def kill_server(self, fault: Fault) -> None:
        """Kill the server, and start it again."""
        self.site.kill_server(away=fault.seconds)

    def freeze_server(self, fault: Fault) -> None:
        """Stop the server for a few seconds."""
        with self.site.frozen_server():
            time.sleep(2 * fault.seconds)

    def freeze_worker(self, fault: Fault) -> None:
        """Stop a worker past its lease."""
        pids = self.site.freeze(self.victim(fault))
        time.sleep(self.site.lease * 1.5)
        send_all(pids, signal.SIGCONT)

    def cut(self, _: Fault) -> None:
        """Close every connection to the server."""
        self.site.cut_connections()


KINDS: dict[str, Callable[[Storm, Fault], None]] = {
    "worker": Storm.kill_worker,
    "host": Storm.kill_host,
    "reaper": Storm.kill_reaper,
    "child": Storm.kill_child,
    "server": Storm.kill_server,
    "frozen server": Storm.freeze_server,
    "frozen worker": Storm.freeze_worker,
    "cut": Storm.cut,
    "keeper": Storm.kill_keeper,
    "api": Storm.kill_api,
    "locked history": Storm.lock_history,
    "moved history": Storm.move_history,
}
#: Workers, or parts of one, that each kind cuts off.
STRUCK = {"worker": 1, "host": 1, "reaper": 2, "child": 1, "frozen worker": 1}


def expected_after(faults: Sequence[Fault], site: Site) -> Expected:
    """Return what a storm's faults may show.

    Args:
        faults: What struck.
        site: Over what.
    """
    cut_off = sum(STRUCK.get(fault.kind, 0) for fault in faults)
    kinds = {fault.kind for fault in faults}
    return Expected(
        failures={"fail": {FailureKind.ERROR}},
        extra_starts=cut_off * site.concurrency,
        overlaps="frozen worker" in kinds,
        recovery=promised(site.lease),
    )


def promised(lease: float) -> float:
    """Return the seconds within which a dead worker's task runs again; what is promised of the default lease at most.

    That is the lease, two looks of the reaper, and some seconds for a machine that has other things to do.
    """
    return min(15.0, lease * 1.5 + 8)

"""A deployment on this machine: server, API and workers as real processes, to be broken and repaired."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import backyard
from backyard.embedded.server import EmbeddedServer
from backyard.ledger.ledger import Ledger
from faults import journal
from faults.processes import family, send_all, send_groups, session_of, state_of
from faults.proxy import Proxy
from support.clean import wait_until
from support.processes import TESTS, Process, free_port, make_environment, wait_until_answers

TARGET = "faults.yard:yard"
#: What a worker says when it reads its queues, somewhere in the lines it begins with.
READY = " ready."
FIRST_LINES = 100
PATH = os.pathsep.join([str(TESTS), str(Path(backyard.__file__).parents[1])])


@dataclass(frozen=True, slots=True)
class Death:
    """A worker's death.

    Args:
        at: Seconds since 1970.
        pids: The processes that ended with it.
        worker: The worker's name.
    """

    at: float
    pids: frozenset[int]
    worker: str


@dataclass(slots=True)
class Crew:
    """A worker, started as often as it dies.

    Args:
        name: Its name before the @.
        environment: What its processes are told.
        process: Its latest process.
        before: Those before.
    """

    name: str
    environment: Mapping[str, str]
    process: Process
    before: list[Process] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """Its main process."""
        return self.process.child.pid

    @property
    def alive(self) -> bool:
        """Whether its main process lives."""
        return self.process.child.poll() is None

    @property
    def ready(self) -> bool:
        """Whether it has come so far as to read its queues."""
        return self.alive and any(READY in line for line in self.process.lines[:FIRST_LINES])


class Site:
    """A deployment.

    Args:
        folder: Where its data goes.
        lease: Seconds a silent worker keeps its tasks.
        concurrency: Tasks that a worker runs at once.
        proxied: Whether workers reach the server through a proxy.
        settings: More settings, by the name of their environment variable.
    """

    def __init__(
        self, folder: Path, *, lease: float = 2.0, concurrency: int = 2, proxied: bool = False, **settings: str
    ) -> None:
        self.folder = folder
        self.lease = lease
        self.concurrency = concurrency
        self.journal = folder / "journal"
        self.server = EmbeddedServer(folder / "server", appendfsync="always")
        self.server.start()
        self.environment = {
            **make_environment(self.server.url, folder),
            "BACKYARD_LEASE": f"{lease:g}",
            "BACKYARD_EVENTS_KEPT": "1000000",
            "BACKYARD_CONCURRENCY": str(concurrency),
            journal.VARIABLE: str(self.journal),
            # The same code in all processes, wherever this one found it.
            "PYTHONPATH": PATH,
            **settings,
        }
        self.proxy = Proxy(self.server_port) if proxied else None
        self.ledger = Ledger(self.server.url, self.environment["TEST_YARD"], events_kept=1_000_000)
        self.crews: list[Crew] = []
        self.deaths: list[Death] = []
        #: When the server was away or frozen, or no worker was there: from, to.
        self.outages: list[tuple[float, float]] = []
        self.server_kills = 0
        self.api: Process | None = None
        self.api_url = ""

    @property
    def server_port(self) -> int:
        """The server's own port."""
        return int(self.server.url.rpartition(":")[2].partition("/")[0])

    @property
    def client(self) -> Any:
        """A plain client of the server."""
        return self.ledger.client

    def key(self, name: str) -> str:
        """Return a key of the yard."""
        return f"{self.ledger.keys.prefix}{name}"

    def lines(self) -> list[journal.Line]:
        """Return what the tasks have noted."""
        return journal.read(self.journal)

    def starts(self, task_id: str) -> list[journal.Line]:
        """Return the starts of a task."""
        return [line for line in self.lines() if line.task_id == task_id and line.what == "start"]

    # -- API ------------------------------------------------------------------------------------------------------

    def start_api(self) -> str:
        """Start the API, and return its address when it answers."""
        port = free_port()
        self.api = Process([sys.executable, "-m", "backyard", "api", TARGET, "--port", str(port)], self.environment)
        self.api_url = f"http://127.0.0.1:{port}"
        wait_until_answers(f"{self.api_url}/health")
        return self.api_url

    # -- workers --------------------------------------------------------------------------------------------------

    def start_workers(self, count: int, **more: str) -> list[Crew]:
        """Start workers beside each other, and return them when they read their queues.

        Args:
            count: How many.
            more: More settings of theirs, by environment variable.
        """
        environment = {**self.environment, **more}
        if self.proxy is not None:
            environment["BACKYARD_REDIS_URL"] = f"redis://127.0.0.1:{self.proxy.port}/0"
        first = len(self.crews) + 1
        made = [
            Crew(name, environment, self._launch(name, environment))
            for name in (f"w{number}" for number in range(first, first + count))
        ]
        self.crews += made
        for crew in made:
            crew.process.wait_for_line(READY)
        return made

    def _launch(self, name: str, environment: Mapping[str, str]) -> Process:
        return Process([sys.executable, "-m", "backyard", "worker", TARGET, "--name", name], environment)

    def kill(self, crew: Crew, *, guardian: bool = False) -> Death:
        """Kill a worker with -9.

        Args:
            crew: Whom.
            guardian: Whether the guardian dies with it, as in a power cut.
        """
        session = session_of(crew.pid)
        others = [pid for pid in family(crew.pid) if pid not in session] if guardian else []
        death = Death(time.time(), frozenset((*session, *others)), crew.name)
        # Whoever would tell of the death goes first.
        send_all(others, signal.SIGKILL)
        send_groups(session, signal.SIGKILL)
        crew.process.child.wait()
        self.deaths.append(death)
        if not any(one.ready for one in self.crews):
            threading.Thread(target=self._note_silence, args=(death.at,), daemon=True).start()
        return death

    def _note_silence(self, begun: float) -> None:
        """Note as an outage how long there was no worker at all that could have taken anything over."""
        wait_until(lambda: any(one.ready for one in self.crews), "a worker comes back", patience=600)
        self.outages.append((begun, time.time()))

    def revive(self, crew: Crew, *, wait: bool = False) -> None:
        """Start a worker again that has died.

        Args:
            crew: Whom.
            wait: Whether to return when it reads its queues.
        """
        send_groups(session_of(crew.pid), signal.SIGKILL)  # what is left of it
        crew.process.kill()
        crew.before.append(crew.process)
        crew.process = self._launch(crew.name, crew.environment)
        if wait:
            crew.process.wait_for_line(READY)

    def revive_dead(self) -> int:
        """Start all workers again that have died by themselves, and return how many."""
        dead = [crew for crew in self.crews if not crew.alive]
        for crew in dead:
            self.deaths.append(Death(time.time(), frozenset((crew.pid,)), crew.name))
            self.revive(crew)
        return len(dead)

    def freeze(self, crew: Crew) -> list[int]:
        """Stop a worker, its guardian left out, and return whom to thaw."""
        pids = session_of(crew.pid)
        send_groups(pids, signal.SIGSTOP)
        wait_until(lambda: all(state_of(pid) in "TXZ" for pid in pids), "the worker stands still")
        return pids

    # -- server ---------------------------------------------------------------------------------------------------

    def kill_server(
        self, how: signal.Signals = signal.SIGKILL, away: float = 1.0, meanwhile: Callable[[], object] = int
    ) -> None:
        """End the server, and start it again on the same data.

        Args:
            how: The signal.
            away: Seconds until it is started.
            meanwhile: Called when it is gone.
        """
        begun = time.time()
        pid = self.server.pid
        assert pid is not None
        send_all([pid], how)
        self.server.exited.result(30)
        meanwhile()
        time.sleep(away)
        self.server.start()
        self.server_kills += 1
        self.outages.append((begun, time.time()))

    @contextlib.contextmanager
    def frozen_server(self) -> Any:
        """Stop the server for a while."""
        pid = self.server.pid
        assert pid is not None
        begun = time.time()
        send_all([pid], signal.SIGSTOP)
        try:
            yield
        finally:
            send_all([pid], signal.SIGCONT)
            self.outages.append((begun, time.time()))

    def cut_connections(self) -> int:
        """Close every connection to the server but this one's, and return how many."""
        kinds = ("normal", "pubsub")
        return sum(int(self.client.client_kill_filter(_type=kind, skipme=True)) for kind in kinds)

    # -- end ------------------------------------------------------------------------------------------------------

    def serving(self, patience: float) -> list[str]:
        """Wait until every worker is alive and in the registry; return the names of those that are not."""

        def missing() -> list[str]:
            alive = {
                (one.worker_name.partition("@")[0], one.pid)
                for one in self.ledger.run(self.ledger.calls.workers())
                if one.alive
            }
            return [crew.name for crew in self.crews if not alive & {(crew.name, pid) for pid in family(crew.pid)}]

        with contextlib.suppress(AssertionError):
            wait_until(lambda: not missing(), patience=patience)
        return missing()

    def tracebacks(self) -> list[str]:
        """Return lines of workers that tell of an error nobody expected."""
        lines = (line for crew in self.crews for one in (*crew.before, crew.process) for line in one.lines)
        return [line for line in lines if re.search(r"CRITICAL|Unrecoverable", line)]

    def close(self) -> None:
        """End everything."""
        for crew in self.crews:
            send_all(family(crew.pid), signal.SIGCONT)
            pids = family(crew.pid)
            send_all(pids, signal.SIGKILL)
            for process in (*crew.before, crew.process):
                process.kill()
                process.stop()
        if self.api is not None:
            self.api.kill()
            self.api.stop()
        self.ledger.close()
        if self.proxy is not None:
            self.proxy.close()
        if self.server.pid is not None:
            send_all([self.server.pid], signal.SIGCONT)
        self.server.kill()
        self.server.stop()

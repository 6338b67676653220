"""A deployment on this machine: server, API, workers and keepers as real processes, to be broken and repaired."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import backyard
from backyard.embedded.server import EmbeddedServer
from backyard.history.database import History
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
    """A worker or a keeper, started as often as it dies.

    Args:
        name: Its name; a worker's before the @.
        command: How it is started.
        environment: What its processes are told.
        process: Its latest process.
        before: Those before.
    """

    name: str
    command: Sequence[str]
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
        """Whether it has come so far as to read its queues, or to keep."""
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
        self.ledger = Ledger(self.server.url, self.environment["TEST_YARD"], events_kept=1_000_000, timeout=30.0)
        #: Workers, and keepers beside them.
        self.crews: list[Crew] = []
        self.keepers: list[Crew] = []
        self.deaths: list[Death] = []
        #: When the server was away or frozen, or no worker was there: from, to.
        self.outages: list[tuple[float, float]] = []
        self.server_kills = 0
        self.api: Process | None = None
        self.api_port = free_port()
        self.api_url = f"http://127.0.0.1:{self.api_port}"

    @property
    def server_port(self) -> int:
        """The server's own port."""
        return int(self.server.url.rpartition(":")[2].partition("/")[0])

    @property
    def client(self) -> Any:
        """A plain client of the server."""
        return self.ledger.client

    @cached_property
    def history(self) -> History:
        """The yard's history, where it has keepers."""
        return History.open(None, Path(self.environment["BACKYARD_DATA_DIR"]), self.environment["TEST_YARD"])

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
        command = [sys.executable, "-m", "backyard", "api", TARGET, "--port", str(self.api_port)]
        self.api = Process(command, self.environment)
        wait_until_answers(f"{self.api_url}/health")
        return self.api_url

    def kill_api(self) -> None:
        """Kill the API with -9, and start it again."""
        assert self.api is not None
        self.api.kill()
        self.api.stop()
        self.start_api()

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
            _launched(f"w{number}", ["worker", TARGET, "--name", f"w{number}"], environment)
            for number in range(first, first + count)
        ]
        self.crews += made
        for crew in made:
            crew.process.wait_for_line(READY)
        return made

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
        """Start a worker or a keeper again that has died.

        Args:
            crew: Whom.
            wait: Whether to return when it is ready.
        """
        send_groups(session_of(crew.pid), signal.SIGKILL)  # what is left of it
        crew.process.kill()
        crew.before.append(crew.process)
        crew.process = Process([*crew.command], crew.environment)
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

    # -- keepers --------------------------------------------------------------------------------------------------

    def start_keepers(self, count: int) -> None:
        """Start keepers beside each other; nobody has to wait for them.

        Args:
            count: How many.
        """
        first = len(self.keepers) + 1
        names = [f"k{number}" for number in range(first, first + count)]
        self.keepers += [_launched(name, ["keeper", TARGET, "--migrate"], self.environment) for name in names]

    def leader(self, duty: str) -> Crew | None:
        """Return the keeper that leads a duty; None where nobody does, or one that is dead."""
        who: bytes = self.client.get(self.key(f"lead:{duty}")) or b""
        return next((one for one in self.keepers if one.alive and who.startswith(b"keeper%d@" % one.pid)), None)

    def kill_keeper(self, keeper: Crew) -> None:
        """Kill a keeper with -9."""
        keeper.process.kill()

    def revive_keepers(self) -> bool:
        """Start all keepers again that have died, and say whether all of them keep.

        One that cannot begin gives up, and whoever runs it tries again.
        """
        for keeper in self.keepers:
            if not keeper.alive:
                self.revive(keeper)
        return all(keeper.ready for keeper in self.keepers)

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
        """Wait until every worker is alive and in the registry, and every keeper keeps; return the names of others."""

        def missing() -> list[str]:
            alive = {
                (one.worker_name.partition("@")[0], one.pid)
                for one in self.ledger.run(self.ledger.calls.workers())
                if one.alive
            }
            return [crew.name for crew in self.crews if not alive & {(crew.name, pid) for pid in family(crew.pid)}]

        with contextlib.suppress(AssertionError):
            wait_until(lambda: not missing() and all(one.ready for one in self.keepers), patience=patience)
        return missing() + [keeper.name for keeper in self.keepers if not keeper.ready]

    def tracebacks(self) -> list[str]:
        """Return lines of workers that tell of an error nobody expected."""
        lines = (line for crew in self.crews for one in (*crew.before, crew.process) for line in one.lines)
        return [line for line in lines if re.search(r"CRITICAL|Unrecoverable", line)]

    def close(self) -> None:
        """End everything."""
        for crew in (*self.crews, *self.keepers):
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
        self.history.close()
        if self.proxy is not None:
            self.proxy.close()
        if self.server.pid is not None:
            send_all([self.server.pid], signal.SIGCONT)
        self.server.kill()
        self.server.stop()


def _launched(name: str, words: Sequence[str], environment: Mapping[str, str]) -> Crew:
    command = [sys.executable, "-m", "backyard", *words]
    return Crew(name, command, environment, Process(command, environment))

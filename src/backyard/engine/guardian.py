"""The guardian: a small process beside each worker, which renews its leases while it lives and speaks when it dies.

A task may hold the interpreter for a minute, and no thread of the worker gets a turn: the guardian renews all the same,
as long as the worker's main process lives and is not stopped. When that process dies, however it dies, the guardian
ends what is left of its pool, gives back what it held, and tells what is known of the death. It has a session of its
own, so that no signal to the worker's group reaches it, and imports next to nothing: 10 MB, 20 ms.

It is told what to do on its standard input, a line of JSON at a time: first all about the yard, then the consumers.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from backyard.engine.flight_file import flights, pid_of, read_flight, write_peak
from backyard.engine.guardian_wire import RefusedError, Wire
from backyard.engine.processes import DEAD, LINUX, STOPPED, ending_of, open_pidfd, peak_rss, start_of, state_of

#: Seconds between two looks at the worker, where the system does not tell of its end.
LOOK = 0.25 if LINUX else 1.0
#: Seconds between two looks at how much memory the pool uses.
SAMPLE = 0.5
#: Seconds a dead worker's entries are tried to be given back; then their lease has to run out.
PATIENCE = 5.0
#: Seconds that killed processes may take to be gone.
ENDING = 1.0
#: Seconds that whoever waits for the worker may take to say how it ended.
WORD = 1.0
BURIED_AT_ONCE = 200
#: Seconds after which a file is written again that has not changed, or who cleans up temporary files takes it for old.
REFRESH = 3_600.0
#: Seconds a dead child's file is kept for the worker to read.
KEPT = 60.0


class Guardian:
    """The guardian of one worker towards one yard.

    Args:
        hello: ``pid`` of the worker, ``host``, ``lease`` (s), ``folder`` of its flight files or None, ``address`` and
            ``prefix`` of the yard, scripts ``guard`` and ``bury``, ``events_kept``, and ``waiter``: the pid of the
            process that waits for the worker and the pipe on which it tells the worker's end, or None.
    """

    def __init__(self, hello: dict[str, Any]) -> None:
        self.hello = hello
        self.pid: int = hello["pid"]
        self.wire = Wire(hello["address"])
        self.folder = Path(hello["folder"]) if hello["folder"] else None
        self.waiter: tuple[int, int] | None = hello["waiter"] and tuple(hello["waiter"])
        self.consumers: list[str] = []
        self.stopping = False
        self.over = False
        self._pidfd = open_pidfd(self.pid)
        self._rest = b""
        self._renewed = 0.0
        self._sampled = 0.0
        self._gone: dict[Path, float] = {}
        self._peaks: dict[Path, tuple[int, float]] = {}
        self._frozen = False

    def run(self) -> None:
        """Watch until the worker needs no guardian any more, or is dead."""
        poll = select.poll()
        poll.register(sys.stdin.fileno(), select.POLLIN)
        if self._pidfd is not None:
            poll.register(self._pidfd, select.POLLIN)
        while not self.over and self.lives():
            self.follow()
            self.renew()
            self.sample()
            for number, _ in poll.poll(LOOK * 1000):
                if number == sys.stdin.fileno() and not self.listen(number):
                    poll.unregister(number)
        if not self.over:
            self.bury()
        self.wire.close()

    def lives(self) -> bool:
        """Whether the worker's main process lives; while it does, it is this one's parent."""
        return os.getppid() == self.pid

    def listen(self, number: int) -> bool:
        """Read what the worker says; False when it will say no more."""
        data = os.read(number, 1 << 16)
        self.hear(data)
        return bool(data)

    def hear(self, data: bytes) -> None:
        """Take in what the worker says, in whatever pieces it comes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            told = json.loads(line)
            self.consumers, self.stopping = told["consumers"], told["stopping"]
            self.over = not self.consumers

    def renew(self) -> None:
        """Renew the worker's leases when it is time, unless somebody has stopped it."""
        now = time.monotonic()
        if not self.consumers or now - self._renewed < self.hello["lease"] / 4 or state_of(self.pid) in STOPPED:
            return
        words = [1, self.hello["prefix"], int(self.hello["lease"] * 1000), *self.consumers]
        # Tried again at the next look, if the server is away.
        with contextlib.suppress(OSError, RefusedError):
            self.wire.run(self.hello["guard"], words)
            self._renewed = now

    def follow(self) -> None:
        """Do to the worker what was done to the one who waits for it, and could not be passed on."""
        if self.waiter is None:
            return
        state = state_of(self.waiter[0])
        stopped = state in STOPPED
        with contextlib.suppress(OSError):
            if state in ("", *DEAD):
                os.killpg(self.pid, signal.SIGKILL)
            elif stopped != self._frozen:
                os.killpg(self.pid, signal.SIGSTOP if stopped else signal.SIGCONT)
                self._frozen = stopped

    def sample(self) -> None:
        """Note how much memory each process has had, and forget the files of those that are long gone."""
        now = time.monotonic()
        if self.folder is None or now - self._sampled < SAMPLE:
            return
        self._sampled = now
        for path in flights(self.folder):
            peak = peak_rss(pid_of(path))
            written, at = self._peaks.get(path, (0, 0.0))
            if peak > written or (peak and now - at > REFRESH):
                write_peak(path, peak)
                self._peaks[path] = peak, now
            elif peak:
                continue
            elif not state_of(pid_of(path)) and now - self._gone.setdefault(path, now) > KEPT:
                path.unlink(missing_ok=True)
                del self._gone[path]
                self._peaks.pop(path, None)

    # -- death ----------------------------------------------------------------------------------------------------

    def bury(self) -> None:
        """Give back what the dead worker held, and tell what is known of its death."""
        ending = ending_of(self.pid, self._pidfd)
        paths = flights(self.folder) if self.folder else ()
        found = [entry for path in paths if (entry := read_flight(path))]
        self.end_pool(found)
        common = {"host": self.hello["host"], **(ending or self.word())}
        evidence = {"": common}
        for entry in found:
            if entry.get("task"):
                known = {name: entry[name] for name in ("peak_rss", "lines") if entry.get(name)}
                evidence[entry["task"]] = {**common, **known}
        texts = {task_id: json.dumps(known) for task_id, known in evidence.items()}
        reason = "shutdown" if self.stopping else "worker_lost"
        report = {"consumers": self.consumers, "reason": reason, "evidence": texts}
        words = [1, self.hello["prefix"], self.hello["events_kept"], BURIED_AT_ONCE, json.dumps(report)]
        end = time.monotonic() + PATIENCE
        more = bool(self.consumers)
        while more and time.monotonic() < end:
            try:
                more = bool(self.wire.run(self.hello["bury"], words)[1])
            except (OSError, RefusedError):
                time.sleep(0.1)
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def end_pool(self, found: list[dict[str, Any]]) -> None:
        """Kill what is left of the pool: nobody waits for its results, and its tasks are to run elsewhere."""
        orphans = {entry["pid"]: entry["started"] for entry in found if entry["pid"] != self.pid}
        end = time.monotonic() + ENDING
        while orphans and time.monotonic() < end:
            for pid, started in list(orphans.items()):
                if state_of(pid) in ("", *DEAD) or (started and start_of(pid) != started):
                    del orphans[pid]
                    continue
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            if orphans:
                time.sleep(0.01)

    def word(self) -> dict[str, Any]:
        """Return what the process that waits for the worker says of its end, if there is one that can."""
        if self.waiter is None:
            return {}
        _, pipe = self.waiter
        if not select.select([pipe], [], [], WORD)[0]:
            return {}
        said = os.read(pipe, 1_000)  # empty, where that one is dead as well
        return dict(json.loads(said)) if said else {}


def main() -> None:
    """Be the guardian of the process that started this one."""
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)  # whoever ends the worker's session must not end its guardian
    os.chdir("/")
    data = b""
    while b"\n" not in data:
        more = os.read(sys.stdin.fileno(), 1 << 16)
        if not more:
            return  # the worker died while it said hello
        data += more
    hello, _, rest = data.partition(b"\n")
    guardian = Guardian(json.loads(hello))
    guardian.hear(rest)
    guardian.run()

"""The flight recorder: what each process that runs attempts is doing now, kept where no death can take it.

The worker's main process makes a private folder before its pool starts; each process has its files there, one for each
attempt that runs at the same time. Whoever outlives the process reads them: the main process for a pool's child, the
guardian for all.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import stat
import tempfile
import threading
import time
from collections import deque
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from celery import signals

from backyard.core.log_line import Scrub, interrupts, same
from backyard.engine.flight_file import FlightFile, flights, read_flight
from backyard.engine.processes import own_peak_rss, start_of, state_of

logger = logging.getLogger("backyard.flight")

PREFIX = "backyard-"
#: Log lines kept of an attempt, and bytes kept of each.
LINES = 20
LONGEST = 300
#: Seconds that the peak of memory is not looked at anew when an attempt begins.
PEAK_HOLDS = 0.1
#: Files of one process. What runs beside as many others is not recorded: a thousand files would be more than help.
FILES = 100


class Slot:
    """One attempt at a time, and its file."""

    def __init__(self, file: FlightFile) -> None:
        self.file = file
        self._entry: dict[str, Any] = {}
        self._lines: deque[str] = deque(maxlen=LINES)
        self._scrub: Scrub = same
        self._lock = threading.Lock()
        self._peak = 0
        self._peak_at = 0.0

    def begin(self, task_id: str, attempt: int, scrub: Scrub = same) -> None:
        """Note which attempt runs from now on, and what takes out of its lines what nobody may read."""
        with self._lock:
            self._scrub = scrub
            self._entry = {"task": task_id, "attempt": attempt}
            self._lines.clear()
            # Asking for it takes longer than a short task, of which there may be thousands a second.
            if (now := time.monotonic()) >= self._peak_at:
                self._peak, self._peak_at = own_peak_rss(), now + PEAK_HOLDS
            self.file.begin(task_id, attempt, self._peak)

    def line(self, text: str) -> None:
        """Note a line of the attempt's log."""
        text = self._scrub(text)
        with self._lock:
            self._lines.append(text.encode("utf-8", "backslashreplace")[:LONGEST].decode("utf-8", "ignore"))
            # The peak is only seen now and then from outside; a process that fills up the memory is often gone before.
            self._peak = own_peak_rss()
            self.file.write({**self._entry, "peak_rss": self._peak, "lines": self._lines})


class Recorder(logging.Handler):
    """The slots of one process; as a handler it notes what an attempt logs in the usual way.

    Args:
        folder: Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.pid = os.getpid()
        self._folder = folder
        self._slots: list[Slot] = []
        self._free: list[Slot] = []
        self._turn = threading.Lock()
        self._started = start_of(self.pid)

    def take(self) -> Slot | None:
        """Return a slot that nobody uses; None where there are enough."""
        with self._turn:
            if self._free:
                return self._free.pop()
            if len(self._slots) == FILES:
                return None
            path = self._folder / f"{self.pid}.{len(self._slots)}"
            path.unlink(missing_ok=True)  # of a process that had the same id
            self._slots.append(Slot(FlightFile(path, self._started)))
            return self._slots[-1]

    def leave(self, slot: Slot) -> None:
        """Let another attempt have the slot; what it says stands until then."""
        with self._turn:
            self._free.append(slot)

    def only(self) -> Slot | None:
        """Return the slot in use, if there is but one: a thread that a task started does not know whose it is."""
        with self._turn:
            used = [slot for slot in self._slots if slot not in self._free]
        return used[0] if len(used) == 1 else None

    def emit(self, record: logging.LogRecord) -> None:
        """Note a log record."""
        if os.getpid() != self.pid:
            return  # a process that the task made: its threads are not here to let go of a lock
        slot = _slot.get() or self.only()
        if slot is not None:
            # A task's own argument may do anything when it is written; the handlers that show it say so.
            try:
                slot.line(f"{record.levelname} {record.name}: {record.getMessage()}")
            except Exception as error:
                if interrupts(error):
                    raise

    def remove(self) -> None:
        """Take the files away: this process ends as it should."""
        for slot in self._slots:
            slot.file.remove()
        self._slots, self._free = [], []


_folder: Path | None = None
_recorder: Recorder | None = None
_slot: ContextVar[Slot | None] = ContextVar("backyard_slot", default=None)
_lock = threading.Lock()


def folder() -> Path | None:
    """Return the worker's folder of flight files; None where there is none."""
    return _folder


def open_folder() -> Path | None:
    """Make the folder of this process and of the pool it is going to start; what dead workers left behind goes."""
    global _folder, _recorder  # noqa: PLW0603 - one a worker is the point
    place = Path(tempfile.gettempdir())
    _sweep(place)
    try:
        _folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-{start_of(os.getpid())}-", dir=place))
    except OSError as error:
        logger.warning("No flight recorder, for %s cannot be written: %s", place, error)
        _folder = None
    _recorder = None
    atexit.register(close_folder, os.getpid())
    return _folder


def close_folder(pid: int) -> None:
    """Take the folder away at the end of the process that made it."""
    if _folder is not None and pid == os.getpid():
        shutil.rmtree(_folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Take away the folders of this user's workers that are dead, and whose guardians died with them."""
    for found in place.glob(f"{PREFIX}*-*-*"):
        pid, _, rest = found.name.removeprefix(PREFIX).partition("-")
        started = rest.partition("-")[0]
        if not (pid.isdecimal() and started.isdecimal()):
            continue
        lives = bool(state_of(int(pid))) and start_of(int(pid)) == int(started)
        with contextlib.suppress(OSError):
            details = found.lstat()
            if not lives and details.st_uid == os.getuid() and stat.S_ISDIR(details.st_mode):
                shutil.rmtree(found, ignore_errors=True)


def recorder() -> Recorder | None:
    """Return this process's recorder, made on first use; None where nothing can be recorded."""
    global _recorder  # noqa: PLW0603 - one a process is the point
    with _lock:
        if _folder is None:
            return None
        if _recorder is None or _recorder.pid != os.getpid():
            _recorder = Recorder(_folder)
        root = logging.getLogger()
        if _recorder not in root.handlers:
            for handler in [one for one in root.handlers if isinstance(one, Recorder)]:
                root.removeHandler(handler)  # the parent's
            root.addHandler(_recorder)
        return _recorder


def begin(task_id: str, attempt: int, scrub: Scrub = same) -> None:
    """Note that an attempt begins in this thread or coroutine; a disk that is full is no reason not to run it."""
    found = recorder()
    if found is None:
        return
    try:
        slot = _slot.get() or found.take()
    except OSError as error:
        logger.warning("The flight recorder cannot write: %s", error)
        return
    if slot is not None:
        _slot.set(slot)
        slot.begin(task_id, attempt, scrub)


def end() -> None:
    """Note that the attempt of this thread or coroutine is over."""
    slot = _slot.get()
    if slot is not None and _recorder is not None and _recorder.pid == os.getpid():
        _slot.set(None)
        _recorder.leave(slot)


def line(text: str) -> None:
    """Note a line of the attempt's own log."""
    if _recorder is None or _recorder.pid != os.getpid():
        return
    slot = _slot.get() or _recorder.only()
    if slot is not None:
        slot.line(text)


def last_task(pid: int) -> str | None:
    """Return the task that a process ran last, or runs now; None where nothing is known of it."""
    for path in flights(_folder, pid) if _folder is not None else ():
        entry = read_flight(path)
        if entry and entry.get("task"):
            return str(entry["task"])
    return None


def last_words(pid: int) -> dict[str, dict[str, Any]]:
    """Return what a process that is gone said of each of its tasks last: ``peak_rss`` and ``lines``; its files go."""
    known: dict[str, dict[str, Any]] = {}
    if _folder is not None:
        for path in flights(_folder, pid):
            entry = read_flight(path)
            if entry and entry.get("task"):
                known[entry["task"]] = {name: entry[name] for name in ("peak_rss", "lines") if entry.get(name)}
            path.unlink(missing_ok=True)
    return known


def _on_worker(**_: Any) -> None:
    open_folder()


def _on_child(**_: Any) -> None:
    """Have a file from the first moment on: that is how the guardian knows the pool's children."""
    found = recorder()
    if found is not None:
        with contextlib.suppress(OSError):
            slot = found.take()
            if slot is not None:
                found.leave(slot)


def _on_child_end(**_: Any) -> None:
    if _recorder is not None and _recorder.pid == os.getpid():
        _recorder.remove()


signals.worker_init.connect(_on_worker, weak=False)
signals.worker_process_init.connect(_on_child, weak=False)
signals.worker_process_shutdown.connect(_on_child_end, weak=False)

"""What a running task sees: progress, log, artifacts, its own attempt, and whether it has been told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar
from urllib.parse import quote

from backyard.core.errors import LedgerUnavailableError, TaskCancelledError
from backyard.core.models import Artifact, File, Progress, TaskContext
from backyard.core.secrets import scrub
from backyard.core.states import Verb
from backyard.files import Files
from backyard.ledger.call import Call
from backyard.ledger.ledger import Ledger
from backyard.ledger.record import ARTIFACT
from backyard.ledger.task_log import TaskLog

T = TypeVar("T")
Level = Literal["debug", "info", "warning", "error"]

#: Seconds between two progress reports that are sent; what comes faster is merged, and the last always goes out.
REPORT_INTERVAL = 0.1
#: Seconds for which an answer to "am I cancelled?" is taken as still true.
CANCEL_INTERVAL = 0.25
#: Seconds between two tries while the server is away.
AWAY = 0.5


class Context(TaskContext):
    """What a running task sees. A parameter annotated with it receives it.

    Args:
        task_id: The task's id.
        name: The definition's name.
        attempt: The attempt's number, from 1.
        ledger: Where news goes; None keeps it here.
        files: Where files come from and artifacts go to.
        prefix: Path that the yard's routes begin with.
        log: The attempt's log, where somebody else opens and closes it.
    """

    def __init__(
        self,
        task_id: str,
        name: str,
        attempt: int,
        ledger: Ledger | None,
        files: Files,
        *,
        prefix: str = "",
        log: TaskLog | None = None,
    ) -> None:
        self.task_id = task_id
        self.name = name
        self.attempt = attempt
        #: What was reported, where there is no ledger to report to.
        self.reports: list[Progress] = []
        #: What was logged, where there is no ledger to log to.
        self.lines: list[dict[str, Any]] = []
        self._ledger = ledger
        self._files = files
        self._prefix = prefix
        self._lock = threading.Lock()
        self._waiting: Progress | None = None
        self._sent_at = 0.0
        self._timer: threading.Timer | None = None
        self._cancelled = False
        self._asked_at = 0.0
        self._own_log = None if ledger is None or log is not None else TaskLog(ledger, task_id, attempt)
        self._log = log or self._own_log
        #: Texts that nobody is to see in what is reported.
        self.secrets: tuple[str, ...] = ()
        #: Told each line of the log, at once.
        self.recorder: Callable[[str], None] | None = None

    @classmethod
    def local(cls, folder: str | Path, name: str = "local") -> Context:
        """Return a context that needs no server: for calling a function directly, and in tests.

        Args:
            folder: Where artifacts are written.
            name: The definition's name.
        """
        return cls("local", name, 1, None, Files(str(folder)))

    @property
    def cancelled(self) -> bool:
        """Whether the task has been told to stop. A long loop asks now and then, and returns early."""
        if not self._cancelled and self._ledger is not None:
            now = time.monotonic()
            if now - self._asked_at >= CANCEL_INTERVAL:
                self._asked_at = now
                with suppress(LedgerUnavailableError):  # asked again soon; the task runs on while the server is away
                    self._cancelled = self._ledger.run(self._ledger.calls.asked(self.task_id, self.attempt))
        return self._cancelled

    @property
    def stopping(self) -> bool:
        """Whether the task is known to have been told to stop, without asking again."""
        return self._cancelled

    def progress(self, current: float, total: float | None = None, message: str | None = None) -> None:
        """Report how far the task is. At most ten reports a second are sent, and the last one always.

        Args:
            current: Units done.
            total: Units in all, if known.
            message: What is happening, for people.

        Raises:
            TaskCancelledError: The task has been told to stop.
        """
        report = Progress.of(current, total, message and scrub(message, self.secrets))
        if self._ledger is None:
            self.reports.append(report)
            return
        with self._lock:
            self._waiting = report
            wait = self._sent_at + REPORT_INTERVAL - time.monotonic()
            if wait > 0:
                if self._timer is None:
                    self._timer = threading.Timer(wait, self._send_waiting)
                    self._timer.daemon = True
                    self._timer.start()
            else:
                self._send(report)
        if self._cancelled:
            raise TaskCancelledError("The task was cancelled. Let this error pass, and it ends as REVOKED.")

    def track(self, items: Iterable[T], total: float | None = None, message: str | None = None) -> Iterator[T]:
        """Go through items and report each as done.

        Args:
            items: What to go through.
            total: How many there are; None asks the items themselves.
            message: What is happening, for people.

        Raises:
            TaskCancelledError: The task has been told to stop.
        """
        if total is None:
            total = len(items) if isinstance(items, Sized) else None
        for done, item in enumerate(items, 1):
            if self.cancelled:
                raise TaskCancelledError("The task was cancelled. Let this error pass, and it ends as REVOKED.")
            yield item
            self.progress(done, total, message)

    def log(self, message: str, level: Level = "info", **fields: Any) -> None:
        """Add a line to the task's log, which its watchers see at once. What libraries log goes there by itself.

        Args:
            message: The line.
            level: How serious it is.
            fields: What else belongs to it; values that are no JSON are written as text.
        """
        text = str(message)
        if self.recorder is not None:
            self.recorder(f"{level.upper()} {text}")
        if self._log is None:
            self.lines.append({"message": text, "level": level, **fields})
        else:
            self._log.write(text, level, time.time(), fields=fields)

    def save(self, name: str, data: bytes | str | Path | BinaryIO, content_type: str | None = None) -> str:
        """Keep a file with the task, for download.

        Args:
            name: The file's name, without folders.
            data: Bytes, text, a path to a file, or an open file.
            content_type: Its media type; None guesses from the name.

        Returns:
            The path to download it from.

        Raises:
            UnsafeNameError: The name could leave its folder.
            StorageUnavailableError: The storage cannot be written.
        """
        if isinstance(data, str):
            data = data.encode()
        stored = self._files.save_artifact(self.task_id, name, data, content_type)
        url = f"/tasks/{self.task_id}/artifacts/{quote(name)}"
        if self._ledger is not None:
            if self._log is not None:
                self._log.flush()  # what was logged before comes before
            artifact = Artifact(name=name, size=stored.size, content_type=stored.content_type, url=url)
            text = artifact.model_dump_json()
            self._insist(
                self._ledger.calls.note(
                    self.task_id, self.attempt, "artifact", text, fields={f"{ARTIFACT}{name}": text}
                )
            )
        return self._prefix + url

    def open(self, file: File) -> BinaryIO:
        """Open an uploaded file for reading.

        Raises:
            UnknownFileError: There is none of that id.
        """
        return self._files.open_upload(file.id)

    def path(self, file: File) -> AbstractContextManager[Path]:
        """Return an uploaded file as a path on this machine, for as long as the context lasts.

        Raises:
            UnknownFileError: There is none of that id.
        """
        return self._files.local_path(file.id)

    def close(self) -> None:
        """Send the last report that waits; the worker calls this before it stores the outcome."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            while True:
                if self._waiting is not None:
                    self._send(self._waiting)
                if self._waiting is None:
                    break
                time.sleep(AWAY)  # the outcome has to wait for the server as well
        if self._own_log is not None:
            self._own_log.close()

    def _send_waiting(self) -> None:
        with self._lock:
            self._timer = None
            if self._waiting is not None:
                self._send(self._waiting)

    def _insist(self, call: Call[Any]) -> None:
        """Send what the task's result may rely on, however long the server is away."""
        while self._ledger is not None:
            try:
                self._ledger.run(call)
            except LedgerUnavailableError:
                time.sleep(AWAY)
            else:
                return

    def _send(self, report: Progress) -> None:
        """Send a report. One that the server is away for waits for the next, and gives way to it."""
        self._sent_at = time.monotonic()
        if self._ledger is None:
            return
        text = report.model_dump_json()
        move = self._ledger.calls.move(
            Verb.PROGRESS, self.task_id, attempt=self.attempt, event="progress", data=text, fields={"progress": text}
        )
        try:
            answer = self._ledger.run(move)
        except LedgerUnavailableError:
            return
        self._waiting = None
        # An attempt that is no longer the live one is told to stop as well: its outcome would be refused anyhow.
        self._cancelled = self._cancelled or answer.cancel or not answer.applied

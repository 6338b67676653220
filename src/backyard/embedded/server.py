"""The embedded Redis-compatible server of a data directory: find the running one, or run one."""

from __future__ import annotations

import atexit
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from backyard.core.errors import ServerError
from backyard.embedded.binaries import ServerBinary, find_binary
from backyard.embedded.folder import Address, ServerFolder
from backyard.embedded.inquiry import ask_server
from backyard.embedded.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from backyard.settings import Settings

_PORT_TRIES = 10
_TAKEN = "Address already in use"
_DAMAGED = re.compile(r"reading the append only file ([^\s:/]+)")


def running_server_url(data_dir: Path | str) -> str | None:
    """Find the running server of a data directory, in a few milliseconds.

    Returns:
        Its address, or None when the directory's own server does not run (another server on its old port is not it).
    """
    address = ServerFolder(data_dir).address()
    if address is None:
        return None
    try:
        answer = ask_server(address.port, timeout=0.04)
    except TimeoutError:
        # Busy with a long command, or a busy machine: then its process decides.
        answer = {"run_id": address.run_id} if _runs(address.pid) else None
    return address.url if answer is not None and answer.get("run_id") == address.run_id else None


def server_url(settings: Settings) -> str:
    """Find the Redis server that a process of this yard should use: the one set, else the data directory's own.

    Raises:
        ServerError: Neither exists.
    """
    url = settings.redis_url or running_server_url(settings.data_dir)
    if url is None:
        raise ServerError(
            f"No Redis server: none is set, and none runs in {settings.data_dir.absolute()}. "
            "Run `backyard up` in another terminal, or set BACKYARD_REDIS_URL."
        )
    return url


@contextmanager
def server_for(settings: Settings) -> Iterator[str]:
    """Give the address of this yard's Redis server, and run the embedded one meanwhile if there is no other.

    Raises:
        ServerError: There is none, and none can be started.
    """
    url = settings.redis_url or running_server_url(settings.data_dir)
    if url is not None:
        yield url
        return
    with EmbeddedServer(settings.data_dir) as server:
        yield server.url


class EmbeddedServer:
    """A Redis-compatible server on a loopback port, which dies with the process that started it.

    Args:
        data_dir: The yard's data directory. One server at a time may run in it.
        appendfsync: When a write is on disk: before it is answered (``always``), or within a second.
        binary: The server program; by default the bundled one, or one on PATH.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        appendfsync: Literal["always", "everysec", "no"] = "always",
        binary: ServerBinary | None = None,
    ) -> None:
        self.folder = ServerFolder(data_dir)
        #: Done when the server process has ended, with its exit code (negative: the signal).
        self.exited: Future[int] = Future()
        self._appendfsync = appendfsync
        self._binary = binary
        self._address: Address | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._owner = os.getpid()
        self._spawning = threading.Lock()
        self._stopped = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the server listens, as Redis clients take it; the same after a restart."""
        if self._address is None:
            raise ServerError("The embedded server has not been started.")
        return self._address.url

    @property
    def pid(self) -> int | None:
        """The server's process id, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, timeout: float = 30.0) -> str:
        """Start the server, again after it has died, and wait until it answers.

        Args:
            timeout: Seconds to wait for an answer; loading a large data set is not counted.

        Returns:
            Its address.

        Raises:
            ServerError: It cannot start; the message quotes its log.
        """
        if self.pid is not None:
            return self.url
        self._stopped = False
        try:
            self.folder.create()
            if self._lock is None:
                self._lock = self.folder.lock()
            binary = self._binary or find_binary()
            self.folder.check_version(binary)
            self._address = self._start_on_free_port(binary, timeout)
            self.folder.record_version(binary)
            self.folder.record_address(self._address)
        except OSError as error:
            self.stop()
            raise ServerError(f"The embedded server cannot start in {self.folder.path}: {error}.") from error
        except BaseException:
            self.stop()
            raise
        atexit.register(self.stop)
        return self._address.url

    def stop(self, grace: float = 2.0) -> None:
        """Stop the server and free the data directory. Its data stays; stopping twice does nothing.

        Args:
            grace: Seconds until it is killed.
        """
        if os.getpid() != self._owner:
            return  # a fork of the owner, where atexit runs this as well
        with self._spawning:
            self._stopped = True
            process = self._process
            exited = self.exited
        if process is not None:
            process.terminate()
            try:
                exited.result(grace)
            except TimeoutError:
                process.kill()
                exited.result()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        atexit.unregister(self.stop)

    def kill(self) -> None:
        """End the server process at once. What it has acknowledged is on disk."""
        if self._process is not None:
            self._process.kill()

    def _start_on_free_port(self, binary: ServerBinary, timeout: float) -> Address:
        """Start on the port used last if possible: programs elsewhere may still know it."""
        last = self._address or self.folder.address()
        for attempt in range(_PORT_TRIES):
            port = free_port(last.port if last is not None and attempt == 0 else None)
            offset = self.folder.log.stat().st_size if self.folder.log.exists() else 0
            process = self._spawn(binary, port)
            run_id = self._wait(process, port, timeout)
            if run_id is not None:
                return Address(port, process.pid, run_id)
            lines = self.folder.last_lines(8, offset)
            # Between the choice and the start, someone else may have taken the port.
            if not any(_TAKEN in line for line in lines):
                raise ServerError(self._explain(binary, lines))
        raise ServerError(f"No port for the embedded server stayed free in {_PORT_TRIES} tries. Start it again.")

    def _spawn(self, binary: ServerBinary, port: int) -> subprocess.Popen[bytes]:
        """Start the process from a thread that lives exactly as long as the process.

        Linux sends the parent-death signal when the *thread* that forked ends, so no borrowed thread will do.
        """
        started: Future[subprocess.Popen[bytes]] = Future()
        exited: Future[int] = Future()
        with self._spawning:
            if self._stopped:
                raise ServerError("The embedded server was stopped while it started.")
            arguments = (self._command(binary, port), started, exited)
            threading.Thread(target=self._attend, args=arguments, name="embedded-server", daemon=True).start()
            self._process = started.result()
            self.exited = exited
        return self._process

    def _attend(self, command: list[str], started: Future[subprocess.Popen[bytes]], exited: Future[int]) -> None:
        try:
            with self.folder.log.open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 - our own command
                    command,
                    cwd=self.folder.path,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=() if self._lock is None else (self._lock,),
                    # Ctrl-C in the terminal is for the owner, which stops the server last.
                    start_new_session=True,
                )
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for it
            started.set_exception(error)
            return
        started.set_result(process)
        exited.set_result(process.wait())

    def _command(self, binary: ServerBinary, port: int) -> list[str]:
        options = {
            "port": str(port),
            "bind": "127.0.0.1",
            "dir": ".",  # the working directory: any length, any characters
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "aof-load-truncated": "yes",  # a crash may cut the last write in half; it was not acknowledged
            "save": "",
            "maxmemory-policy": "noeviction",
            # A record with an input of up to so many bytes takes half the memory. By its old name all servers know it.
            "hash-max-ziplist-value": "1024",
        }
        command = [str(binary.path), *(word for name, value in options.items() for word in (f"--{name}", value))]
        return dies_with_parent(command, signal.SIGTERM)

    def _wait(self, process: subprocess.Popen[bytes], port: int, timeout: float) -> str | None:
        """Wait until the process answers on the port; None when it ended instead."""
        deadline = time.monotonic() + timeout
        while process.poll() is None:
            answer = None
            with suppress(TimeoutError):
                answer = ask_server(port, timeout=1.0)
            # Another server on the port may answer while ours is still about to fail.
            if answer is not None and answer.get("process_id") == str(process.pid):
                if answer["state"] == "ready":
                    return answer["run_id"]
                deadline = time.monotonic() + timeout
            if time.monotonic() > deadline:
                lines = "\n  ".join(self.folder.last_lines(8))
                raise ServerError(f"The embedded server did not answer within {timeout:g} s. Its log:\n  {lines}")
            time.sleep(0.005)
        return None

    def _explain(self, binary: ServerBinary, lines: list[str]) -> str:
        log = "\n  ".join(lines)
        message = f"The embedded server ended while it started. The end of {self.folder.log}:\n  {log}"
        damaged = next((match for line in lines if (match := _DAMAGED.search(line))), None)
        if damaged is None:
            return message
        # The server is its own repair program when it is called by that name. Of the whole set it would not
        # recognize the base file, so it gets the one that the log names.
        path = shlex.quote(str(self.folder.path / "appendonlydir" / damaged[1]))
        repair = f'bash -c \'exec -a {binary.name}-check-aof "$0" --fix "$1"\' {shlex.quote(str(binary.path))} {path}'
        return (
            f"{message}\nIts data is damaged. Copy {self.folder.path} first. Then cut off what follows the damage:\n"
            f"  {repair}\nor move that folder away to begin without its tasks."
        )


def dies_with_parent(command: list[str], ending: signal.Signals) -> list[str]:
    """Wrap a command so that it gets a signal when the thread that starts it ends. Linux only: unchanged elsewhere."""
    if sys.platform != "linux":
        return command
    launcher = str(Path(__file__).with_name("launch.py"))
    return [sys.executable, "-I", "-S", launcher, str(int(ending)), str(os.getpid()), *command]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True

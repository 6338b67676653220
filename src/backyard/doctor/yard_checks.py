"""Checks of the yard: its settings, its workers, what lies in it, where its files go."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from backyard.doctor.facts import Facts
from backyard.doctor.finding import Finding, error, fine, warning
from backyard.ledger.keeper_calls import lag_between
from backyard.settings import Settings

#: Parts of a disk that should be free: 1 GB or 5 % is little, 100 MB is nothing.
LITTLE, NOTHING, LITTLE_PART = 1_000_000_000, 100_000_000, 0.05
#: Seconds that the history may be behind.
LAGGING = 10
#: A task that may run so many times as long as a worker gets to stop is likely to be begun anew by a deploy.
MUCH = 20
#: Read from the environment as well, by parts that have no row in the settings.
INTERNAL = frozenset({"READY_FD"})
PREFIX = "BACKYARD_"


def settings(facts: Facts) -> Finding:
    """Whether every BACKYARD_ variable of the environment means something."""
    known = {name.upper() for name in Settings.model_fields}
    given = {name.removeprefix(PREFIX) for name in facts.environment if name.startswith(PREFIX)}
    unknown = sorted(f"{PREFIX}{name}" for name in given - known - INTERNAL)
    if not unknown:
        return fine("no unknown variable")
    close = {name: difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1) for name in unknown}
    hints = [f"{name}: did you mean {PREFIX}{found[0]}?" for name, found in close.items() if found]
    remedy = " ".join([*hints, f"Rename or unset {_listed(unknown)}."])
    return warning(f"nothing reads {_listed(unknown)}", remedy)


def leases(facts: Facts) -> Finding:
    """Whether leases, time limits and lifetimes fit each other."""
    lease, timeout = facts.settings.lease, facts.settings.redis_timeout
    if lease < 3 * timeout:
        return warning(
            f"a lease lasts {lease:g} s and a command may take {timeout:g} s: a few slow ones make a live "
            "worker seem dead",
            f"Set BACKYARD_LEASE to {3 * timeout:g} or more, or lower BACKYARD_REDIS_TIMEOUT.",
        )
    short = [
        name
        for name, one in sorted(facts.definitions.items())
        if one.policy.expires is not None and one.policy.expires < lease
    ]
    if short:
        return warning(
            f"{_listed(short)} expire sooner than a lease runs out: after the loss of a worker they never start",
            f"Give them `expires` of more than {lease:g} s, or lower BACKYARD_LEASE.",
        )
    return fine(f"a lease lasts {lease:g} s")


def time_limits(facts: Facts) -> Finding:
    """Whether a worker that is told to stop lets running tasks finish."""
    grace = facts.settings.stop_grace
    limited = {name: one.policy.timeout for name, one in facts.definitions.items() if one.policy.timeout is not None}
    longer = sorted(name for name, timeout in limited.items() if timeout > MUCH * max(grace, 1.0))
    if longer:
        most = max(limited[name] for name in longer)
        return warning(
            f"{_listed(longer)} may run for {most:g} s, and workers get {grace:g} s to stop: deploys begin them anew",
            f"Set BACKYARD_STOP_GRACE to {most:g}, or use `backyard drain` before a deploy.",
        )
    endless = sorted(set(facts.definitions) - set(limited))
    return fine(f"no time limit on {_listed(endless)}" if endless else f"fit the {grace:g} s of a stop")


def history(facts: Facts) -> Finding:
    """Whether a keeper records the history, and keeps up."""
    if facts.recorded is None:
        return warning(
            "no keeper has recorded the history: lists forget a task when its record's lifetime ends",
            "Start one: `backyard keeper module:attribute`, or `backyard up` for all.",
        )
    behind = lag_between(facts.recorded.position, facts.newest)
    if behind > LAGGING:
        return warning(
            f"the history is {behind:.0f} s behind; {facts.recorded.keeper} recorded last",
            "See that a keeper runs and that its database answers. Nothing is lost meanwhile: the events wait.",
        )
    return fine(f"{behind:.1f} s behind")


def workers(facts: Facts) -> Finding:
    """Whether workers live, and take from every queue."""
    living = facts.living()
    start = "Start one: `backyard worker module:attribute"
    if not living:
        return warning("no worker lives: tasks wait", f"{start}`, or `backyard up` for all.")
    read = {queue for one in living for queue in one.queues}
    waiting = {queue for queue, ready in facts.burden.ready.items() if ready}
    unread = sorted((waiting | set(facts.queues())) - read)
    if unread:
        tasks = sum(facts.burden.ready.get(queue, 0) for queue in unread)
        return warning(
            f"no living worker takes from {_listed(unread)}, where {tasks:,} tasks wait",
            f"{start} --queues {','.join(unread)}`.",
        )
    return fine(f"{len(living)} live and take from every queue")


def silence(facts: Facts) -> Finding:
    """Whether every worker that was there lately still speaks."""
    silent = [f"{one.worker_name} (for {one.age:.0f} s)" for one in facts.workers if not one.alive]
    if not silent:
        return fine("every worker speaks")
    return warning(
        f"no word from {_listed(silent)}: dead, stuck or cut off",
        "Others go on with its tasks. Its log says more; restart it where it still runs.",
    )


def versions(facts: Facts) -> Finding:
    """Whether all workers run this version, with the same definitions."""
    living = facts.living()
    others = sorted({f"{one.worker_name} ({one.version})" for one in living if one.version != facts.version})
    remedy = "Deploy all with the same code, and restart those that are behind."
    if others:
        return warning(f"this is version {facts.version}, and others run on {_listed(others)}", remedy)
    unknown = sorted(set(facts.definitions) - {name for one in living for name in one.registered_tasks})
    if living and unknown:
        return warning(f"no living worker knows {_listed(unknown)}", remedy)
    return fine(f"all run {facts.version}")


def dead_letters(facts: Facts) -> Finding:
    """Whether entries were set aside that nobody has looked at."""
    count = facts.burden.dead
    if not count:
        return fine("none")
    return warning(
        f"{count:,} queue entries were set aside, since no worker could read or run them",
        "The console's page Dead letters (GET /dead-letters) shows each with its reason: put it back into its queue "
        "when that is mended, or delete it.",
    )


def backlog(facts: Facts) -> Finding:
    """Whether delayed tasks are queued when they are due."""
    if not facts.burden.overdue:
        return fine(f"{facts.burden.due:,} scheduled, none late")
    return error(
        f"{facts.burden.overdue:,} tasks were due more than five seconds ago, and nobody queues them",
        "Any live worker does it within a second: start one (`backyard worker module:attribute`), or restart "
        "those that hang.",
    )


def storage(facts: Facts) -> Finding:
    """Whether files can be written, read and deleted."""
    if facts.storage is None:
        return fine("not tried")
    if facts.storage:
        return error(facts.storage, "Mend it, or set BACKYARD_FILES_URL to a folder or bucket that can be written.")
    return fine(f"{facts.settings.files_url or facts.settings.data_dir / 'files'} can be written")


def disks(facts: Facts) -> Finding:
    """Whether the disks with local data have room."""
    little = []
    for folder, (free, total) in facts.disks.items():
        if free < NOTHING:
            return error(f"the disk of {folder} is full: {free / 1e6:,.0f} MB are left", f"Free space for {folder}.")
        if free < min(LITTLE, LITTLE_PART * total):
            little.append(f"{folder} ({free / 1e6:,.0f} MB)")
    if little:
        return warning(f"little room is left on the disk of {_listed(little)}", "Free space before it is full.")
    return fine(", ".join(f"{free / 1e9:,.0f} GB free for {folder}" for folder, (free, _) in facts.disks.items()))


def _listed(names: Iterable[str], most: int = 5) -> str:
    shown = list(names)
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")

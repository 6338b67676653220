"""The role ``worker``: a Celery worker for the yard's queues."""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from celery.signals import worker_before_create_process, worker_ready
from celery.utils.nodenames import default_nodename, host_format
from celery.utils.sysinfo import AUTO_CONCURRENCY

from backyard.cli.target import load_target
from backyard.collector import settle
from backyard.embedded import ready
from backyard.embedded.server import server_url
from backyard.engine.pools import require_time_limits

if TYPE_CHECKING:
    from backyard.settings import Settings


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker runs.

    Attributes:
        pool: Celery's name of the pool.
        queues: Queues to take from; none means all of the yard.
        name: Its name before the @.
        events: Whether it tells Flower what happens.
    """

    pool: str = "prefork"
    queues: tuple[str, ...] = ()
    name: str | None = None
    events: bool = True


def run_worker(target: str, settings: Settings, options: WorkerOptions) -> None:
    """Run until a signal: the first one lets running tasks finish.

    Args:
        target: ``module:attribute``.
        settings: Concurrency, and where the server is.
        options: The rest.

    Raises:
        BackyardError: It cannot start.
    """
    os.environ["BACKYARD_REDIS_URL"] = server_url(settings)
    yard = load_target(target).yard
    known = yard.queues()
    for queue in set(options.queues) - set(known):
        close = difflib.get_close_matches(queue, known, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        click.echo(f"Warning: no definition uses the queue {queue!r}.{hint}", err=True)
    require_time_limits(yard.celery, options.pool, options.queues or known)
    worker_before_create_process.connect(_settle)
    worker_ready.connect(_notify)
    # Not by Celery's command line: it imports all of its commands, a shell's library and Flower, in 0.2 s.
    worker = yard.celery.Worker(**_given(settings, options, known))
    worker.start()
    sys.exit(worker.exitcode)


def _given(settings: Settings, options: WorkerOptions, known: list[str]) -> dict[str, Any]:
    """Return what Celery's worker is told; what is not said here has its place among Celery's settings."""
    name = options.name or f"worker{os.getpid()}"
    return {
        "loglevel": settings.log_level.upper(),
        "hostname": host_format(default_nodename(f"{name}@%h")),
        "pool": options.pool,
        "queues": list(options.queues or known),
        # Unset, by the cores that it may use: a container on a large machine has a few of them.
        "concurrency": settings.concurrency or AUTO_CONCURRENCY,
        "task_events": options.events,
        # Their news is in the ledger already; asking the neighbors costs a second at each start.
        "without_mingle": True,
        "without_gossip": True,
    }


def _settle(**_: Any) -> None:
    settle()


def _notify(**_: Any) -> None:
    settle()
    ready.notify()

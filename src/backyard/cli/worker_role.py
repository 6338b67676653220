"""The role ``worker``: a Celery worker for the yard's queues."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from celery.signals import worker_ready

from backyard.cli.target import load_target
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
    worker_ready.connect(_notify)
    yard.celery.worker_main(_arguments(settings, options, known))


def _arguments(settings: Settings, options: WorkerOptions, known: list[str]) -> list[str]:
    name = options.name or f"worker{os.getpid()}"
    arguments = [
        "worker",
        f"--loglevel={settings.log_level.upper()}",
        f"--hostname={name}@%h",
        f"--pool={options.pool}",
        f"--queues={','.join(options.queues or known)}",
        # Their news is in the ledger already; asking the neighbors costs a second at each start.
        "--without-mingle",
        "--without-gossip",
    ]
    if settings.concurrency is not None:
        arguments.append(f"--concurrency={settings.concurrency}")
    if options.events:
        arguments.append("--task-events")
    return arguments


def _notify(**_: Any) -> None:
    ready.notify()

"""The role ``keeper``: history, schedules and whatever else is due for the whole yard."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import click

from backyard.cli.background import stand_back
from backyard.cli.target import load_target
from backyard.collector import settle
from backyard.core.errors import HistoryUnavailableError
from backyard.embedded import ready
from backyard.embedded.server import server_url
from backyard.history.migrate import is_current, migrate
from backyard.keeper.duties import duties_of
from backyard.keeper.keeper import Keeper
from backyard.logs import set_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from backyard.history.database import History
    from backyard.settings import Settings

logger = logging.getLogger("backyard.keeper")

_SECOND_SIGNAL = 130


def run_keeper(target: str, settings: Settings, *, with_migrate: bool) -> None:
    """Keep a yard until a signal.

    Args:
        target: ``module:attribute``.
        settings: Where the server and the history are.
        with_migrate: Whether to bring the history up to date first.

    Raises:
        BackyardError: It cannot start.
    """
    set_up(settings.log_format, settings.log_level)
    os.environ["BACKYARD_REDIS_URL"] = server_url(settings)
    yard = load_target(target).yard
    prepare = _prepared(yard.history, with_migrate=with_migrate)
    stop = threading.Event()

    def end(*_: Any) -> None:
        if stop.is_set():
            os._exit(_SECOND_SIGNAL)
        stop.set()

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, end)
    keeper = Keeper(yard.ledger, ())
    keeper.take(duties_of(yard, keeper.name, prepare))
    settle()
    # Recording an empty task costs about as much as running it; what has happened can wait on the stream.
    stand_back(settings.background_nice)
    keeper.start()
    ready.notify()
    click.echo(f"{keeper.name} ready.")
    sys.stdout.flush()
    stop.wait()
    keeper.stop()
    yard.history.close()


def _prepared(history: History, *, with_migrate: bool) -> Callable[[], object] | None:
    """Bring the history up to date, or see that it is; returns what is left to do where it is away.

    Schedules and what else is due need no history: a keeper starts without it, and its recording waits.

    Raises:
        HistoryUnavailableError: It is there, and not up to date.
    """
    try:
        if with_migrate:
            migrate(history)
            return None
        current = is_current(history)
    except HistoryUnavailableError as error:
        logger.warning("The keeper starts without the history: %s", error)
        return (lambda: migrate(history)) if with_migrate else None
    if not current:
        raise HistoryUnavailableError(f"The history at {history} is not up to date. Run `backyard migrate` first.")
    return None


def run_migrate(target: str, settings: Settings) -> None:
    """Bring the history of a yard up to date, and say what was done.

    Raises:
        BackyardError: The database is away.
    """
    if settings.redis_url is None:
        os.environ.setdefault("BACKYARD_DATA_DIR", str(settings.data_dir))
    yard = load_target(target).yard
    made = migrate(yard.history)
    done = f"is up to date now: {', '.join(made)}" if made else "was up to date"
    click.echo(f"The history at {yard.history} {done}.")

"""The command ``drain``: let workers finish what they run, and take nothing more."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from backyard.cli.target import load_target
from backyard.core.errors import LedgerUnavailableError
from backyard.core.worker import WorkerState
from backyard.embedded.server import server_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backyard.app import Backyard
    from backyard.core.worker import Worker
    from backyard.settings import Settings

#: Seconds between two looks.
LOOK = 0.25
#: Seconds after which the same news is told again.
NEWS_AFTER = 10.0


def run_drain(target: str, settings: Settings, names: Sequence[str], *, stay: bool, timeout: float | None) -> int:
    """Tell workers to drain, and wait until they have.

    Args:
        target: ``module:attribute``.
        settings: Where the server is.
        names: The workers' names, or what stands before their @; none means all.
        stay: Whether they stay, idle, instead of ending.
        timeout: Seconds to wait; None waits as long as it takes. The workers go on draining afterwards.

    Returns:
        The exit code: 0 when all have drained, 1 when one died or the time was up.

    Raises:
        UnknownWorkerError: There is no such worker.
        LedgerUnavailableError: The server was away from the start.
    """
    os.environ["BACKYARD_REDIS_URL"] = server_url(settings)
    yard = load_target(target).yard
    told = yard.drain(names, stay=stay)
    if not told:
        click.echo("There is no worker.")
        return 0
    try:
        return Watch(yard, told, stay=stay).until(None if timeout is None else time.monotonic() + timeout)
    finally:
        yard.ledger.close()


class Watch:
    """Sees workers drain.

    Args:
        yard: The yard.
        names: The workers that were told to.
        stay: Whether they are to stay.
    """

    def __init__(self, yard: Backyard, names: Sequence[str], *, stay: bool) -> None:
        self.yard = yard
        self.stay = stay
        self.waiting = set(names)
        self.failed = False
        self._said: dict[str, str] = {}
        self._said_at = time.monotonic()

    def until(self, end: float | None) -> int:
        """Wait for all of them, and return the exit code.

        Args:
            end: When to give up, by the monotonic clock.
        """
        while self.waiting:
            try:
                self.look({one.worker_name: one for one in self.yard.workers()})
            except LedgerUnavailableError as error:
                self.say("", f"waiting for the server: {error.message}")
            if self.waiting and end is not None and time.monotonic() >= end:
                click.echo(f"The time is up; still draining: {', '.join(sorted(self.waiting))}.", err=True)
                return 1
            if self.waiting:
                time.sleep(LOOK)
        return 1 if self.failed else 0

    def look(self, seen: Mapping[str, Worker]) -> None:
        """See how far they are."""
        for name in sorted(self.waiting):
            worker = seen.get(name)
            if worker is None:
                self.done(name, "has ended")
            elif not worker.alive:
                self.failed = True
                self.done(name, f"died or was cut off while it drained: silent for {worker.age:.0f} s")
            elif worker.state is WorkerState.RUNNING:
                # It has not heard yet, or the server has lost the word.
                self.yard.ledger.run(self.yard.ledger.calls.drain([name], stay=self.stay))
            elif self.stay and not worker.running:
                self.done(name, "takes nothing and runs nothing")
            else:
                self.say(name, f"draining, {len(worker.running)} running")

    def done(self, name: str, news: str) -> None:
        """Tell the last of a worker."""
        self.waiting.discard(name)
        click.echo(f"{name}: {news}", err=self.failed)

    def say(self, name: str, news: str) -> None:
        """Tell news, and the same only now and then."""
        now = time.monotonic()
        if self._said.get(name) != news or now - self._said_at > NEWS_AFTER:
            click.echo(f"{name}: {news}" if name else news)
            self._said[name], self._said_at = news, now

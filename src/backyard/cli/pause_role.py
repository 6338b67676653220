"""The commands ``pause`` and ``resume``: hold a queue or a definition back for a while."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from backyard.cli.target import load_target
from backyard.embedded.server import server_url

if TYPE_CHECKING:
    from backyard.settings import Settings


def run_pause(kind: str, name: str, target: str, settings: Settings, reason: str) -> None:
    """Pause a queue or a definition, and say what that means.

    Args:
        kind: ``queue`` or ``definition``.
        name: Its name.
        target: ``module:attribute``.
        settings: Where the server is.
        reason: Why, for whoever finds it paused.

    Raises:
        BackyardError: There is no such thing, the server is away, or the target names no yard.
    """
    os.environ["BACKYARD_REDIS_URL"] = server_url(settings)
    yard = load_target(target).yard
    pause = yard.pause_queue_sync if kind == "queue" else yard.pause_definition_sync
    changed = pause(name, reason)
    yard.ledger.close()
    click.echo(
        f"The {kind} {name} {'is' if changed else 'was already'} paused. What runs goes on; nothing more starts until "
        f"'backyard resume {kind} {name}'."
    )


def run_resume(kind: str, name: str, target: str, settings: Settings) -> None:
    """Resume a queue or a definition; arguments and errors as for :func:`run_pause`."""
    os.environ["BACKYARD_REDIS_URL"] = server_url(settings)
    yard = load_target(target).yard
    resume = yard.resume_queue_sync if kind == "queue" else yard.resume_definition_sync
    changed = resume(name)
    yard.ledger.close()
    click.echo(f"The {kind} {name} {'is resumed' if changed else 'was not paused'}.")

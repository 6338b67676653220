"""The command ``why``: why a task is where it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from backyard.cli.target import load_target
from backyard.embedded.server import server_url

if TYPE_CHECKING:
    from backyard.settings import Settings


def run_why(task_id: str, target: str, settings: Settings, *, as_json: bool) -> None:
    """Print one sentence about a task.

    Args:
        task_id: The task.
        target: ``module:attribute``.
        settings: Where the server is.
        as_json: Whether to print JSON, with the evidence.

    Raises:
        BackyardError: There is no such task, the server is away, or the target names no yard.
    """
    os.environ["BACKYARD_REDIS_URL"] = server_url(settings)
    yard = load_target(target).yard
    why = yard.why_sync(task_id)
    yard.ledger.close()
    click.echo(why.model_dump_json(indent=2) if as_json else f"{why.state}: {why.why}")

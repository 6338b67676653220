"""The command ``alive``: the probe of a worker."""

from __future__ import annotations

import time
from pathlib import Path

import click

from backyard.engine.alive import stands_still


def run_alive(path: Path, max_age: float) -> int:
    """Look at the file that a worker writes, and say in one line whether it lives.

    Args:
        path: The file.
        max_age: Seconds a part of the worker may stand still.

    Returns:
        The exit code: 0 if it lives, else 1.
    """
    reason = stands_still(path, max_age, time.time())
    click.echo(reason or "alive", err=bool(reason))
    return 1 if reason else 0

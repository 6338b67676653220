"""All faults at random, for as long as is wanted: one storm after another, each with its own seed."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path

from faults.rows.main import storm
from faults.run import Row, Run, Scenario, perform
from faults.storm import KINDS

#: Faults of one storm, and its tasks.
FAULTS, TASKS = 12, 2_000


def weather(run: Run) -> None:
    """Be one storm of the soak: faults of all kinds, drawn from its seed."""
    drawn = [run.random.choice(list(KINDS)) for _ in range(FAULTS)]
    counts = {kind: drawn.count(kind) for kind in sorted(set(drawn))}
    storm(run, counts, run.size("tasks", TASKS, TASKS), lease=run.random.choice([2.0, 5.0, 10.0]))


def soak(options: argparse.Namespace, folder: Path, show: Callable[[Row], None]) -> list[Row]:
    """Run storms until the time is over.

    Args:
        options: ``soak`` in minutes, the first of ``seeds``, and ``tasks``.
        folder: Where journals and logs go.
        show: Told each row.
    """
    end = time.monotonic() + options.soak * 60
    seeds = random.Random(int(options.seeds.split(",")[0]))  # noqa: S311 - it is to be repeatable
    one = Scenario("soak", "all kinds at random", weather)
    sizes = {"tasks": options.tasks} if options.tasks else {}
    rows: list[Row] = []
    while time.monotonic() < end:
        seed = seeds.randrange(1_000_000)
        rows.append(perform(one, folder / f"soak-{seed}", seed=seed, full=True, sizes=sizes))
        show(rows[-1])
    return rows

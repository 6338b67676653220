"""The program behind `make faults` and `make soak`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import faults.rows  # noqa: F401 - importing them registers them
from faults.run import SCENARIOS, Row, Scenario, perform
from faults.soak import soak
from faults.table import LATEST, SINCE, as_table, document, latest
from project.blocks import with_block
from project.tree import ROOT

BLOCK = "faults"


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="faults", description="Break what can break, and judge what is left.")
    parser.add_argument("--rows", help="Rows to run, with commas: 1,4,17. Without it: all.")
    parser.add_argument("--seed", "--seeds", dest="seeds", default="1,2,3", help="Seeds, with commas.")
    parser.add_argument("--small", action="store_true", help="The size of each commit.")
    parser.add_argument("--tasks", type=int, help="Tasks of the main run.")
    parser.add_argument("--kills", type=int, help="Worker kills of the main run.")
    parser.add_argument("--restarts", type=int, help="Redis kills of the main run.")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="All faults at random for so long.")
    parser.add_argument("--json", type=Path, help=f"Where the result goes. Without it, a run of all rows: {LATEST}")
    parser.add_argument("--folder", type=Path, help="Where journals and logs are kept.")
    return parser.parse_args(words)


def chosen(rows: str | None) -> list[Scenario]:
    """Return the scenarios of the rows named, in the order of the list."""
    wanted = set(rows.split(",")) if rows else None
    ordered = sorted(SCENARIOS, key=lambda one: int(one.number.split(",")[0]))
    if wanted is None:
        return ordered
    return [one for one in ordered if wanted & {*one.number.split(", "), one.name}]


def run_all(options: argparse.Namespace, folder: Path) -> list[Row]:
    """Run the scenarios with each seed, and print each row as it comes; a named file has them as soon."""
    begun = time.monotonic()
    sizes = {name: getattr(options, name) for name in ("tasks", "kills", "restarts") if getattr(options, name)}
    done: list[Row] = []
    for seed in map(int, options.seeds.split(",")):
        for one in chosen(options.rows):
            if one.missing and any(row.number == one.number for row in done):
                continue
            name = f"{one.name}-{seed}"
            own = sizes if one.name == "main" else {}
            row = perform(one, folder / name, seed=seed, full=not options.small, sizes=own)
            done.append(row)
            show(row)
            if options.json is not None:
                keep(options, done, time.monotonic() - begun)
    return done


def show(row: Row) -> None:
    """Print a row."""
    sys.stdout.write(as_table([row.data()]).splitlines()[-1] + f"  ({row.duration:.0f} s)\n")
    for line in (*row.broken, *row.notes):
        sys.stdout.write(f"    {line}\n")
    sys.stdout.flush()


def keep(options: argparse.Namespace, rows: Sequence[Row], seconds: float) -> None:
    """Write the result; a run of all rows also goes into the README."""
    seeds = [int(seed) for seed in options.seeds.split(",")]
    kept = document([row.data() for row in rows], full=not options.small, seeds=seeds, seconds=seconds)
    everything = options.rows is None and options.soak is None
    path = options.json or (LATEST if everything else None)
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1) + "\n")
    if path == LATEST:
        SINCE.unlink(missing_ok=True)
        readme = ROOT / "README.md"
        try:
            readme.write_text(with_block(readme.read_text(), BLOCK, latest()))
        except LookupError as error:  # the run itself is kept
            sys.stderr.write(f"README.md is not renewed: {error}\n")


def main() -> int:
    """Run, print, keep; the exit code says whether everything holds."""
    options = arguments()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        folder = options.folder or Path(temporary)
        rows = soak(options, folder, show) if options.soak else run_all(options, folder)
    seconds = time.monotonic() - begun
    keep(options, rows, seconds)
    sys.stdout.write(f"\n{as_table([row.data() for row in rows])}\n\n{seconds / 60:.1f} minutes\n")
    return int(any(row.broken for row in rows))


if __name__ == "__main__":
    sys.exit(main())

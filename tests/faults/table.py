"""The table of a run, and the file that keeps it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LATEST = RESULTS / "faults.json"
#: Rows that came after the latest run of all; the next one takes its place.
SINCE = RESULTS / "since.json"
HEAD = (
    "row",
    "fault",
    "seed",
    "tasks",
    "killed",
    "lost",
    "stuck",
    "ended twice",
    "started twice",
    "recovery",
    "verdict",
)
#: Numbers that the runs of one fault with several seeds are added up in.
SUMMED = ("tasks", "lost", "stuck", "doubly_finished", "double_starts", "allowed", "counted")


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table.

    Args:
        rows: As :meth:`faults.run.Row.data` returns them.
    """
    lines = [_line(HEAD), _line(["---"] * len(HEAD))]
    return "\n".join([*lines, *(_line(_cells(row)) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Mapping[str, Any]) -> list[str]:
    if row["verdict"].startswith("not yet"):
        return [row["number"], row["title"], *[""] * (len(HEAD) - 3), row["verdict"]]
    recovery = "" if row["recovery"] is None else f"{row['recovery']:.1f} s"
    started = f"{row['double_starts']} of {row['allowed']}" if row["allowed"] else str(row["double_starts"])
    return [
        row["number"], row["title"], str(row["seed"]), f"{row['tasks']:,}", row["kills"], str(row["lost"]),
        str(row["stuck"]), str(row["doubly_finished"]), started, recovery, row["verdict"],
    ]  # fmt: skip


def document(rows: Sequence[Mapping[str, Any]], *, full: bool, seeds: Sequence[int], seconds: float) -> dict[str, Any]:
    """Return what is kept of a run.

    Args:
        rows: Its rows.
        full: Whether it was the full size.
        seeds: What its chances were drawn from.
        seconds: How long it took.
    """
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "full": full,
        "seeds": list(seeds),
        "seconds": round(seconds),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "rows": list(rows),
    }


def merged(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each fault: what its runs with several seeds come to, the worst of each.

    Args:
        rows: As :meth:`faults.run.Row.data` returns them.
    """
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        runs.setdefault(row["number"], []).append(row)
    return [_merged(same) for same in runs.values()]


def _merged(same: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    times = [row["recovery"] for row in same if row["recovery"] is not None]
    sums = {name: sum(row[name] for row in same) for name in SUMMED}
    kills = list(dict.fromkeys(row["kills"] for row in same))
    broken = [row for row in same if row["verdict"] != "holds"]
    return {
        **same[0],
        **sums,
        "seed": ", ".join(str(row["seed"]) for row in same),
        "kills": f"{len(same)} x ({kills[0]})" if len(kills) == 1 < len(same) and kills[0] else "; ".join(kills),
        "recovery": max(times, default=None),
        "verdict": (broken or same)[0]["verdict"],
    }


def summary(kept: Mapping[str, Any]) -> str:
    """Return the latest run for the README: one sentence, and the table."""
    size = "full size" if kept["full"] else "reduced size"
    seeds = ", ".join(map(str, kept["seeds"]))
    minutes = kept["seconds"] / 60
    sentence = (
        f"The run of {kept['date']}: {size}, seed{'s' * (len(kept['seeds']) > 1)} {seeds}, "
        f"{minutes:.0f} minutes on {kept['cores']} cores, Python {kept['python']}."
    )
    return f"{sentence}\n\n{as_table(merged(kept['rows']))}"


def latest() -> str:
    """Return the latest run of all that was kept, and the rows that came since, for the README."""
    whole = json.loads(LATEST.read_text())
    if not SINCE.exists():
        return summary(whole)
    since = json.loads(SINCE.read_text())
    numbers = {row["number"] for row in since["rows"]}
    whole["rows"] = [row for row in whole["rows"] if row["number"] not in numbers]
    return f"{summary(whole)}\n\n{summary(since)}"

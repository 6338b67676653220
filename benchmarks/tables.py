"""The tables and charts that the documents show, made from the figures of the last whole run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.charts import Bar, chart
from benchmarks.contenders import BARE, OURS
from benchmarks.figures import Figures
from benchmarks.goals import GOALS, verdict

RESULTS: Final = Path(__file__).parent / "results" / "bench.json"

Run = Mapping[str, Any]


def last_run() -> Run:
    """Read the figures of the last whole run."""
    run: Run = json.loads(RESULTS.read_text())
    return run


def machine_text(run: Run) -> str:
    """Say where, when and with what the figures were made."""
    machine = run["machine"]
    rounds = f"{run['rounds']} rounds" if run["rounds"] > 1 else "one round"
    size = "" if run["size"] == 1 else f" at {run['size']:g} of the usual size"
    made = (
        f"The run of {run['date']}: `{run['command']}`, {rounds}{size}, {run['minutes']:.0f} minutes on "
        f"{machine['cores']} cores ({machine['processor']}), {machine['system']}, Python {machine['python']}, "
        f"{run['server']}."
    )
    lines = [made, "", "| measured | versions |", "| --- | --- |"]
    for name, versions in run["versions"].items():
        lines.append(f"| {name} | {', '.join(f'{part} {version}' for part, version in sorted(versions.items()))} |")
    return "\n".join(lines)


def goals_table(run: Run) -> str:
    """Return all goals, and how far they are."""
    figures = Figures(run["rows"])
    lines = ["| | measured | must | aim | |", "| --- | --- | --- | --- | --- |"]
    for goal in GOALS:
        found = goal.value(figures)
        shown = "" if found is None else goal.shown(found)
        lines.append(
            f"| {goal.about} | {shown} | {goal.bound(goal.must)} | {goal.bound(goal.aim)} | {verdict(goal, found)} |"
        )
    return "\n".join(lines)


#: Figure, heading, digits behind the point.
Columns = Sequence[tuple[str, str, int]]
_SUBMITS: Final[Columns] = (
    ("per_second", "submits/s", 0), ("p50_ms", "p50, ms", 1), ("p99_ms", "p99, ms", 1), ("errors", "errors", 0),
    ("api_us", "processor time of the API, us a request", 0), ("server_us", "of Redis", 0),
)  # fmt: skip
_TASKS: Final[Columns] = (
    ("tasks_per_second", "tasks/s", 0), ("worker_us", "processor time of the workers, us a task", 0),
    ("companions_us", "of keeper and Flower", 0), ("server_us", "of Redis", 0), ("worker_pss_mb", "memory, MB", 0),
)  # fmt: skip
_LENGTHS: Final[Columns] = (
    ("seconds", "seconds", 2), ("ideal_seconds", "ideal", 2), ("times_ideal", "times the ideal", 2),
    ("worker_us", "processor time of the workers, us a task", 0),
)  # fmt: skip
_WAITS: Final[Columns] = (("p50_ms", "p50, ms", 2), ("p99_ms", "p99, ms", 2))


def rows_table(run: Run, rows: Sequence[tuple[str, str]], columns: Columns) -> str:
    """Return the medians of rows, the best first.

    Args:
        run: The figures.
        rows: Names of rows, and what is written before each contender.
        columns: What is shown.
    """
    figures = Figures(run["rows"])
    lines = [f"| | {' | '.join(heading for _, heading, _ in columns)} |", f"| ---{' | ---' * len(columns)} |"]
    for row, before in rows:
        found = [(name, [figures.median(row, name, key) for key, _, _ in columns]) for name in figures.contenders(row)]
        # By its first figure: a rate, or seconds.
        found.sort(key=lambda one: one[1][0] or 0.0, reverse=columns[0][0].endswith("per_second"))
        for name, values in found:
            shown = [
                "" if value is None else f"{value:,.{digits}f}"
                for value, (_, _, digits) in zip(values, columns, strict=True)
            ]
            lines.append(f"| {before}{name} | {' | '.join(shown)} |")
    return "\n".join([*lines, *_without_figure(run, [row for row, _ in rows])])


def _without_figure(run: Run, rows: Sequence[str]) -> list[str]:
    """Return lines that say which rounds are not counted, and why."""
    lines: list[str] = []
    for row in rows:
        for name, rounds in run["rows"].get(row, {}).items():
            errors = [one["error"].partition("\n")[0] for one in rounds if "error" in one]
            if errors:
                lines.append(f"- {name}, {len(errors)} of {len(rounds)} rounds without a figure: {errors[0]}")
    return ["", *lines] if lines else []


#: Blocks of docs/benchmarks.md.
TABLES: Final[Mapping[str, Callable[[Run], str]]] = {
    "machine": machine_text,
    "goals": goals_table,
    "submits": lambda run: rows_table(run, [("submit", "")], _SUBMITS),
    "more-submits": lambda run: rows_table(
        run, [("submit_128", "128 connections: "), ("submit_512", "512 connections: ")], _SUBMITS
    ),
    "looks": lambda run: rows_table(run, [("look", "")], [("per_second", "reads/s", 0), *_SUBMITS[1:]]),
    "tasks": lambda run: rows_table(run, [("worker", "")], _TASKS),
    "lengths": lambda run: rows_table(
        run,
        [("one_ms", "1 ms each: "), ("mixed", "1 ms to 2 s, mixed: "), ("coroutines", "1,000 coroutines of 1 s: ")],
        _LENGTHS,
    ),
    "waits": lambda run: rows_table(run, [("wait", "submit to result: "), ("watch", "event to watchers: ")], _WAITS),
}


def bars(run: Run, row: str, name: str) -> list[Bar]:
    """Return the medians of a figure as bars."""
    figures = Figures(run["rows"])
    found = [Bar(one, figures.median(row, one, name) or 0.0, _kind(one)) for one in figures.contenders(row)]
    return [bar for bar in found if bar.value > 0]


def _kind(contender: str) -> str:
    return "ours" if contender.startswith(OURS.name) else "bound" if contender == BARE.name else "other"


#: Files of docs/benchmarks/.
CHARTS: Final[Mapping[str, Callable[[Run], str]]] = {
    "submits.svg": lambda run: chart(
        "Submits a second over HTTP, 32 connections, one process", bars(run, "submit", "per_second")
    ),
    "tasks.svg": lambda run: chart(
        "Empty tasks a second, two processes, results stored", bars(run, "worker", "tasks_per_second")
    ),
    "cost.svg": lambda run: chart(
        "Processor time of the workers for an empty task, in microseconds", bars(run, "worker", "worker_us"), most=False
    ),
}

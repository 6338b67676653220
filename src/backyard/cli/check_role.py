"""The command ``check``: one walk of the self-check over a yard."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from backyard.cli.target import load_target
from backyard.embedded.server import server_url
from backyard.engine.check import KINDS, Report, Walk

if TYPE_CHECKING:
    from backyard.settings import Settings

#: Exit codes: everything fitted; something did not, repaired or not.
CLEAN, FOUND = 0, 1


def run_check(target: str, settings: Settings, *, repair: bool, as_json: bool) -> int:
    """Compare all of a yard's records, queues and leases, and put right what does not fit.

    Args:
        target: ``module:attribute``.
        settings: Where the server is.
        repair: Whether to put right what is found.
        as_json: Whether to print JSON.

    Returns:
        The exit code: 0 where everything fitted, else 1.

    Raises:
        BackyardError: The server is away, or the target names no yard.
    """
    os.environ["BACKYARD_REDIS_URL"] = server_url(settings)
    yard = load_target(target).yard
    report = Walk(yard.ledger.run, yard.ledger.calls, yard.settings.lease, repair=repair).all()
    yard.ledger.close()
    click.echo(json.dumps(as_data(report), indent=2) if as_json else as_text(yard.name, report, repair=repair))
    return CLEAN if report.clean else FOUND


def as_data(report: Report) -> dict[str, object]:
    """Return a report as JSON values.

    Args:
        report: What a walk has seen.
    """
    return {
        "clean": report.clean,
        "looked": dict(report.looked),
        "found": {
            kind: {
                "found": number,
                "repaired": report.repaired[kind],
                "meaning": KINDS.get(kind, ""),
                "examples": report.examples[kind],
            }
            for kind, number in sorted(report.found.items())
        },
    }


def as_text(yard: str, report: Report, *, repair: bool) -> str:
    """Return a report for people.

    Args:
        yard: The yard's name.
        report: What a walk has seen.
        repair: Whether it was to put right what it found.
    """
    looked = ", ".join(f"{number:,} {area}" for area, number in report.looked.items() if number)
    lines = [f"Looked at yard {yard}: {looked or 'it is empty'}."]
    for kind, number in sorted(report.found.items()):
        left = number - report.repaired[kind]
        done = "found" if not repair else "repaired" if not left else f"found, {left} left"
        meaning = KINDS.get(kind, "").partition(":")[0] if left else KINDS.get(kind, "")
        lines.append(f"  {kind:<12} {number:>8,} {done}: {meaning} ({', '.join(report.examples[kind])})")
    found, left = report.found.total(), report.found.total() - report.repaired.total()
    if not found:
        lines.append("Everything fits.")
    elif not repair:
        lines.append(f"{found:,} found. Run it without --dry-run to repair them.")
    else:
        lines.append(f"{found - left:,} repaired, {left:,} left.")
    return "\n".join(lines)

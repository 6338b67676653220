"""The command ``doctor``: what is wrong with a deployment, and what to do about it."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from backyard.cli.target import load_target
from backyard.doctor import Check, Finding, Severity, diagnose, thorough_facts
from backyard.embedded.server import running_server_url

if TYPE_CHECKING:
    from backyard.settings import Settings

SIGNS = {Severity.OK: "ok", Severity.WARNING: "WARN", Severity.ERROR: "ERROR"}


def run_doctor(target: str, settings: Settings, *, as_json: bool) -> int:
    """Look at everything, and print a line for each check.

    Args:
        target: ``module:attribute``.
        settings: Where the server is; one that is away is a finding.
        as_json: Whether to print JSON.

    Returns:
        The exit code: 0 where all is well, 1 with warnings, 2 with errors.

    Raises:
        BackyardError: The target names no yard.
    """
    url = settings.redis_url or running_server_url(settings.data_dir)
    if url is not None:
        os.environ["BACKYARD_REDIS_URL"] = url
    yard = load_target(target).yard
    findings = diagnose(thorough_facts(yard))
    yard.ledger.close()
    worst = max(one.severity for _, one in findings)
    click.echo(json.dumps(as_data(findings), indent=2) if as_json else as_text(findings))
    return int(worst)


def as_data(findings: Sequence[tuple[Check, Finding]]) -> dict[str, object]:
    """Return what was found as JSON values.

    Args:
        findings: Each check with its finding.
    """
    return {
        "worst": max(one.severity for _, one in findings).word,
        "checks": [
            {"check": check.name, "severity": one.severity.word, "finding": one.text, "remedy": one.remedy or None}
            for check, one in findings
        ],
    }


def as_text(findings: Sequence[tuple[Check, Finding]]) -> str:
    """Return what was found for people: a line for each check, and the remedy below where one is needed.

    Args:
        findings: Each check with its finding.
    """
    lines = []
    for check, one in findings:
        lines.append(f"{SIGNS[one.severity]:<5}  {check.name:<13} {one.text}")
        if one.remedy:
            lines += textwrap.wrap(one.remedy, 100, initial_indent=" " * 21, subsequent_indent=" " * 21)
    counts = {severity: sum(one.severity is severity for _, one in findings) for severity in Severity}
    lines.append("")
    lines.append(f"{counts[Severity.ERROR]} errors, {counts[Severity.WARNING]} warnings, {counts[Severity.OK]} fine.")
    return "\n".join(lines)

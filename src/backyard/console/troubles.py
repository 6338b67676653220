"""What is wrong now, as banners say it: the doctor's quick findings, and workers that are stuck."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backyard.console.workers import path_of, rows_of
from backyard.core.errors import LedgerUnavailableError
from backyard.doctor import Check, Finding, Severity, diagnose, quick_facts
from backyard.doctor.facts import Facts

if TYPE_CHECKING:
    from backyard.app import Backyard

#: What stops tasks, or hides what became of them, is shown as an error, though the doctor only warns of it.
_SERIOUS: Final = {"workers", "silence", "history"}
#: Where to look further, by the name of the check.
_PLACES: Final = {"workers": "/workers", "silence": "/workers", "backlog": "/tasks?q=state%3Ascheduled"}
#: Tasks of a worker that are looked at.
_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong.

    Args:
        text: What is so.
        remedy: What to do.
        path: Where to look further.
        serious: Whether tasks stand still, may be lost, or cannot be seen.
    """

    text: str
    remedy: str
    path: str
    serious: bool


async def look(yard: Backyard) -> tuple[Facts, list[Trouble]]:
    """Return what is known of the deployment, and what is wrong with it, the worst first."""
    facts = await quick_facts(yard)
    troubles = from_findings(diagnose(facts, quick=True))
    if not facts.away:
        with contextlib.suppress(LedgerUnavailableError):  # it went away since: the next look says so
            troubles += await _stuck(yard, facts)
    return facts, sorted(troubles, key=lambda one: not one.serious)


def from_findings(findings: Iterable[tuple[Check, Finding]]) -> list[Trouble]:
    """Return what the doctor found wrong.

    Args:
        findings: All that it found.
    """
    return [
        Trouble(
            text=one.text[:1].upper() + one.text[1:],
            remedy=one.remedy,
            path=_PLACES.get(check.name, "/settings"),
            serious=one.severity is Severity.ERROR or check.name in _SERIOUS,
        )
        for check, one in findings
        if one.severity is not Severity.OK
    ]


async def _stuck(yard: Backyard, facts: Facts) -> Sequence[Trouble]:
    rows = await rows_of(yard, facts.living(), await yard.queue_states(), _LOOKED_AT)
    return [
        Trouble(
            text=f"{worker.worker_name} is stuck. {word.why.rstrip('.')}",
            remedy="Its page shows what it runs. Cancel that, or restart the worker: what it held goes on elsewhere.",
            path=path_of(worker.worker_name),
            serious=True,
        )
        for worker, word, _ in rows
        if word.text == "Stuck"
    ]

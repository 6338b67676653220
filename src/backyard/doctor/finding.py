"""What a check of the doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad a finding is. The worst one is the exit code of ``backyard doctor``."""

    OK = 0
    WARNING = 1
    ERROR = 2

    @property
    def word(self) -> str:
        """The severity as people read it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found.

    Args:
        severity: How bad it is.
        text: What is so.
        remedy: What to do about it, with the command or setting; empty where nothing is to be done.
    """

    severity: Severity
    text: str
    remedy: str = ""


def fine(text: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(Severity.OK, text)


def warning(text: str, remedy: str) -> Finding:
    """Say that something should be looked at."""
    return Finding(Severity.WARNING, text, remedy)


def error(text: str, remedy: str) -> Finding:
    """Say that something does not work, or that tasks may be lost."""
    return Finding(Severity.ERROR, text, remedy)

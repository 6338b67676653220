"""Figures of many rounds: percentiles, medians, and what a file of them holds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

#: Row, contender, rounds.
Found = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]


def percentile(seconds: Sequence[float], share: float) -> float:
    """Return a percentile of times, in milliseconds."""
    rows = sorted(seconds) or [0.0]
    return round(rows[min(len(rows) - 1, int(len(rows) * share))] * 1_000, 3)


class Figures:
    """The figures of one run.

    Args:
        found: Row, contender, rounds.
    """

    def __init__(self, found: Found) -> None:
        self.found = found

    def median(self, row: str, contender: str, name: str) -> float | None:
        """Return the median of a figure over all rounds; None when it was not measured."""
        rounds = self.found.get(row, {}).get(contender, ())
        values = [float(one[name]) for one in rounds if one.get(name) is not None]
        return statistics.median(values) if values else None

    def worst(self, row: str, contender: str, name: str) -> float | None:
        """Return the largest of a figure over all rounds; None when it was not measured."""
        rounds = self.found.get(row, {}).get(contender, ())
        return max((float(one[name]) for one in rounds if one.get(name) is not None), default=None)

    def contenders(self, row: str) -> list[str]:
        """Return who was measured."""
        return list(self.found.get(row, {}))

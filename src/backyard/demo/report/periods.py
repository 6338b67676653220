"""Dividing a stretch of time into the columns of a chart: months, or years if there are too many months."""

from dataclasses import dataclass
from datetime import date
from typing import Self

from backyard.demo.report.table import Sales

MOST_MONTHS = 24
MONTHS_A_YEAR = 12


@dataclass(frozen=True, slots=True)
class Periods:
    """Equal stretches of time, one after the other.

    Args:
        starts: First day of each.
        months: Length of each, in months: 1 or 12.
    """

    starts: list[date]
    months: int

    @classmethod
    def of(cls, sales: Sales) -> Self:
        """Divide the time from the first sale to the last."""
        first, last = sales.first_day, sales.last_day
        length = (last.year - first.year) * MONTHS_A_YEAR + last.month - first.month + 1
        if length <= MOST_MONTHS:
            months = [first.month - 1 + step for step in range(length)]
            return cls([date(first.year + month // 12, month % 12 + 1, 1) for month in months], 1)
        return cls([date(year, 1, 1) for year in range(first.year, last.year + 1)], MONTHS_A_YEAR)

    def place(self, day: date) -> int:
        """Return the number of the period that holds a day."""
        months = (day.year - self.starts[0].year) * MONTHS_A_YEAR + day.month - self.starts[0].month
        return months // self.months

    def names(self) -> list[str]:
        """Return what to write below each."""
        if self.months == MONTHS_A_YEAR:
            return [str(start.year) for start in self.starts]
        # The year is written where it begins.
        return [
            f"{start:%b}\n{start.year}" if place == 0 or start.month == 1 else f"{start:%b}"
            for place, start in enumerate(self.starts)
        ]

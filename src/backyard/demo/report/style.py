"""Colors, fonts and number formats that the charts and the pages share."""

from decimal import Decimal
from pathlib import Path

import matplotlib as mpl

#: Told apart by people with any color vision: Okabe and Ito, "Color Universal Design", 2008; muted a little for print.
SERIES = ("#1f6f8b", "#e09f3e", "#5c9a72", "#b5533c", "#7d6b9e", "#9aa5ab")
INK = "#22303a"
MUTED = "#6b7a85"
RULE = "#d5dce0"
BAND = "#f4f6f7"
ACCENT = SERIES[0]

#: Series shown on their own; what is left goes to "Other".
MOST_SERIES = len(SERIES)


def font_file(bold: bool) -> Path:  # noqa: FBT001 - one of two faces
    """Return the path of DejaVu Sans, which matplotlib brings along and which knows most alphabets."""
    return Path(mpl.get_data_path()) / "fonts" / "ttf" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")


def amount(value: Decimal) -> str:
    """Write an amount of money: 1,234.50."""
    return f"{value:,.2f}"


def largest(sums: dict[str, Decimal], most: int) -> list[tuple[str, Decimal]]:
    """Return the largest entries, the last of them "Other" if there are more than ``most``."""
    rows = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    if len(rows) <= most:
        return rows
    rest = rows[most - 1 :]
    return [*rows[: most - 1], (f"Other ({len(rest)})", sum((value for _, value in rest), Decimal(0)))]

"""The charts, drawn with matplotlib's objects alone: nothing here is shared between threads."""

import io
from collections.abc import Sequence
from decimal import Decimal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from backyard.demo.report.periods import Periods
from backyard.demo.report.style import ACCENT, INK, MOST_SERIES, MUTED, RULE, SERIES, largest
from backyard.demo.report.table import Sales

POINTS_PER_INCH = 72
RESOLUTION = 220
MOST_LABELS = 16
LEGEND_COLUMNS = 6
LONGEST_NAME = 24


def revenue_over_time(sales: Sales, width: float, height: float) -> bytes:
    """Draw revenue by period as stacked bars, one color a region.

    Args:
        sales: The rows.
        width: Width in points.
        height: Height in points.

    Returns:
        A PNG image.
    """
    periods = Periods.of(sales)
    names = [name for name, _ in largest(sales.by("region"), MOST_SERIES)]
    heights = [[0.0] * len(periods.starts) for _ in names]
    for row in sales.rows:
        series = names.index(row.region) if row.region in names else len(names) - 1
        heights[series][periods.place(row.day)] += float(row.revenue)
    figure, axes = _figure(width, height)
    floor = [0.0] * len(periods.starts)
    for name, values, color in zip(names, heights, SERIES, strict=False):
        axes.bar(range(len(values)), values, bottom=floor, width=0.72, color=color, label=_short(name))
        floor = [low + value for low, value in zip(floor, values, strict=True)]
    _label_periods(axes, periods.names())
    axes.yaxis.set_major_formatter(FuncFormatter(_compact))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    figure.legend(
        loc="outside upper left",
        ncols=LEGEND_COLUMNS if max(map(len, names)) <= LONGEST_NAME / 2 else 2,
        frameon=False,
        fontsize=7.5,
        labelcolor=INK,
        handlelength=0.9,
        handleheight=0.9,
        columnspacing=1.4,
    )
    return _png(figure)


def ranking(rows: Sequence[tuple[str, Decimal]], width: float, height: float) -> bytes:
    """Draw one horizontal bar an entry, the first on top, its amount behind it.

    Args:
        rows: Name and amount of each entry.
        width: Width in points.
        height: Height in points.

    Returns:
        A PNG image.
    """
    figure, axes = _figure(width, height)
    values = [float(value) for _, value in rows]
    bars = axes.barh(range(len(rows)), values, height=0.64, color=ACCENT)
    axes.bar_label(bars, labels=[_compact(value, 0) for value in values], padding=4, fontsize=7.5, color=INK)
    axes.set_yticks(range(len(rows)), [_short(name) for name, _ in rows], fontsize=7.5, color=INK)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width / POINTS_PER_INCH, height / POINTS_PER_INCH), dpi=RESOLUTION, layout="constrained")
    axes = figure.subplots()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=7.5, labelcolor=MUTED)
    return figure, axes


def _label_periods(axes: Axes, names: list[str]) -> None:
    every = -(-len(names) // MOST_LABELS)
    places = range(0, len(names), every)
    axes.set_xticks(places, [names[place] for place in places])
    axes.set_xlim(-0.6, len(names) - 0.4)


def _compact(value: float, _place: int) -> str:
    for size, letter in ((1e12, "tn"), (1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:,.3g}{letter}" if value < 1_000 * size else f"{value / size:,.0f}{letter}"
    return f"{value:,.0f}"


def _short(name: str) -> str:
    # A dollar sign would open mathematics, and a leading underscore would hide a legend's entry.
    shown = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1].rstrip() + "…"
    return shown.replace("$", r"\$").removeprefix("_")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()

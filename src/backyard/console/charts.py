"""Charts, drawn at the server: shapes that stretch, with words beside them that do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backyard.console.wording import NOTHING, duration, number

#: The drawing's own size; it is stretched to the room that there is.
WIDTH, HEIGHT = 1_000, 200
#: Part of a bar's place that stays empty between it and the next.
_GAP = 0.18
#: Parts of a decimal power that an axis may end at: their halves read well too.
_ENDS: Final = (1, 2, 4, 6, 8, 10)
#: The same for durations: seconds of a unit, and where an axis may end in it.
_LONG_ENDS: Final = ((60, (2, 4, 6, 10, 20, 30, 60)), (3_600, (2, 4, 8, 12, 24)))
_DAY = 86_400
#: Points of a small curve fill this much of its height.
SPARK_WIDTH, SPARK_HEIGHT = 120, 24


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time, one a point; None where there is none.

    Args:
        label: What they are.
        kind: How they look: a class of the style sheet.
        values: The values.
    """

    label: str
    kind: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Hint:
    """What is said where a pointer rests.

    Args:
        x: Where its place begins.
        text: What is said.
    """

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Shape:
    """Something drawn.

    Args:
        kind: How it looks: a class of the style sheet.
        path: An SVG path.
    """

    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart that is ready to be shown.

    Args:
        name: What tells it from others on its page.
        title: What it shows.
        summary: The same in a sentence, for those who do not see it.
        legend: Label and look of each series.
        shapes: What is drawn.
        hints: What is said of each point.
        step: The width of a point.
        heights: Words beside the axis, from top to bottom.
        times: Words under it, from left to right.
        rows: The points as a table: a time, and the value of each series in words.
        empty: Whether there is nothing to see.
    """

    name: str
    title: str
    summary: str
    legend: Sequence[tuple[str, str]]
    shapes: Sequence[Shape]
    hints: Sequence[Hint]
    step: float
    heights: Sequence[str]
    times: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    empty: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """What charts of one page have in common: the times of their points.

    Args:
        starts: When each point begins.
        step: Seconds of a point.
        seconds: Seconds from the left edge to now.
    """

    starts: Sequence[datetime]
    step: int
    seconds: float

    @property
    def width(self) -> float:
        """The width of a point in the drawing."""
        return WIDTH / max(1, len(self.starts))

    def times(self) -> list[str]:
        """Return what stands under the axis: how long ago that is, at even places."""
        parts = next((one for one in (4, 3) if self._is_round(self.seconds / one)), 2)
        return [*(f"{_rough(self.seconds * part / parts)} ago" for part in range(parts, 0, -1)), "now"]

    @staticmethod
    def _is_round(seconds: float) -> bool:
        return seconds % next((unit for unit in (_DAY, 3_600, 60) if seconds >= unit), 1) == 0

    def label(self, at: datetime) -> str:
        """Return when a point was."""
        end = at + timedelta(seconds=self.step)
        if self.step >= _DAY:
            return f"{at:%Y-%m-%d}" if self.step == _DAY else f"{at:%Y-%m-%d} to {end:%m-%d}"
        form = "%H:%M:%S" if self.step < 60 else "%H:%M"  # noqa: PLR2004 - a minute
        day = f"{at:%m-%d} " if self.seconds > _DAY else ""
        return f"{day}{at.strftime(form)} to {end.strftime(form)} UTC"


def bars(name: str, title: str, frame: Frame, series: Sequence[Series]) -> Chart:
    """Return a chart of bars: counts, one on top of the other.

    Args:
        name: What tells it from others on its page.
        title: What it shows.
        frame: The times of its points.
        series: The counts, the lowest first.
    """
    totals = [sum(value or 0 for value in point) for point in zip(*(one.values for one in series), strict=True)]
    end = count_end(max(totals, default=0))
    below = [0.0] * len(totals)
    shapes = []
    for one in series:
        parts = []
        for at, value in enumerate(one.values):
            if value:
                top = below[at] + value
                left, right = (at + _GAP / 2) * frame.width, (at + 1 - _GAP / 2) * frame.width
                parts.append(f"M{left:.1f} {_y(below[at], end)}V{_y(top, end)}H{right:.1f}V{_y(below[at], end)}z")
                below[at] = top
        shapes.append(Shape(f"bar {one.kind}", "".join(parts)))
    sums = [(one.label, sum(value or 0 for value in one.values)) for one in series]
    said = ", ".join(f"{number(total)} {label.lower()}" for label, total in sums)
    return _chart(name, title, f"{title}: {said}.", frame, series, shapes, end, _compact, number)


def lines(
    name: str, title: str, frame: Frame, series: Sequence[Series], *, durations: bool = False, area: bool = False
) -> Chart:
    """Return a chart of lines.

    Args:
        name: What tells it from others on its page.
        title: What it shows.
        frame: The times of its points.
        series: The values.
        durations: Whether they are seconds; else they are counts.
        area: Whether what is under the first line is filled.
    """
    most = max((value for one in series for value in one.values if value is not None), default=0.0)
    end = (duration_end if durations else count_end)(most)
    runs = [_runs(one.values, frame.width, end) for one in series]
    shapes = [Shape(f"line {one.kind}", _line(found)) for one, found in zip(series, runs, strict=True)]
    if area and series:
        shapes.insert(0, Shape(f"area {series[0].kind}", _area(runs[0])))
    shown = duration if durations else number
    latest = [(one.label, next((value for value in reversed(one.values) if value is not None), None)) for one in series]
    said = ", ".join(f"{label} {shown(value)}" for label, value in latest)
    summary = f"{title}: at last {said}; at most {shown(most)}."
    return _chart(name, title, summary, frame, series, shapes, end, duration if durations else _compact, shown)


def _chart(  # noqa: PLR0913, PLR0917 - what both kinds have in common
    name: str,
    title: str,
    summary: str,
    frame: Frame,
    series: Sequence[Series],
    shapes: Sequence[Shape],
    end: float,
    axis: Callable[[float], str],
    shown: Callable[[float | None], str],
) -> Chart:
    rows, hints = [], []
    for at, start in enumerate(frame.starts):
        values = [one.values[at] for one in series]
        if not any(values):
            continue
        label, words = frame.label(start), [shown(value) for value in values]
        rows.append((label, words))
        named = ", ".join(f"{one.label} {word}" for one, word in zip(series, words, strict=True) if word != NOTHING)
        hints.append(Hint(round(at * frame.width, 1), f"{label}: {named}"))
    return Chart(
        name, title, summary, [(one.label, one.kind) for one in series], shapes, hints, round(frame.width, 2),
        [axis(end), axis(end / 2), "0"], frame.times(), rows[::-1], not rows,
    )  # fmt: skip


def _runs(values: Sequence[float | None], width: float, end: float) -> list[list[tuple[float, float]]]:
    """Return the places of values, in the runs between those that are missing."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(((at + 0.5) * width, _y(value, end)))
    return [run for run in runs if run]


def _line(runs: Sequence[Sequence[tuple[float, float]]]) -> str:
    # A single value is a line of no length, which round ends make a dot.
    return "".join("M" + "L".join(f"{x:.1f} {y}" for x, y in (run if len(run) > 1 else [*run, *run])) for run in runs)


def _area(runs: Sequence[Sequence[tuple[float, float]]]) -> str:
    return "".join(
        f"M{run[0][0]:.1f} {HEIGHT}L" + "L".join(f"{x:.1f} {y}" for x, y in run) + f"V{HEIGHT}z"
        for run in runs
        if len(run) > 1
    )


def _y(value: float, end: float) -> float:
    return round(HEIGHT * (1 - value / end), 1)


def count_end(most: float) -> float:
    """Return where an axis of counts ends: at least 2, and its half is whole."""
    return max(2.0, _nice(most))


def duration_end(most: float) -> float:
    """Return where an axis of seconds ends.

    Args:
        most: The longest of them.
    """
    for unit, ends in _LONG_ENDS:
        if unit < most <= unit * ends[-1]:
            return float(next(one for one in ends if most <= unit * one) * unit)
    if most > _DAY:
        return _nice(most / _DAY) * _DAY
    return min(_nice(most), 60.0) if most else 1.0


def _nice(most: float) -> float:
    if most <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(most))
    return next((one * power for one in _ENDS if most <= one * power * (1 + 1e-9)), 10 * power)


def _compact(value: float) -> str:
    """Return a count as short as an axis needs it: ``1.5k``."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _rough(seconds: float) -> str:
    for unit, name in ((_DAY, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class Spark:
    """A small curve without words.

    Args:
        line: The path of its line.
        area: The path of what is under it.
        summary: What it shows, in words.
    """

    line: str
    area: str
    summary: str


def spark(values: Sequence[float | None], what: str) -> Spark:
    """Return a small curve of counts.

    Args:
        values: The counts, the oldest first; None where nobody looked.
        what: What they are: ``Depth in the last hour``, say.
    """
    known = [value for value in values if value is not None]
    most, scale = max(known, default=0.0), SPARK_HEIGHT / HEIGHT
    runs = [
        [(x, round(1 + y * (scale - 2 / HEIGHT), 1)) for x, y in run]
        for run in _runs(values, SPARK_WIDTH / max(1, len(values)), max(most, 1.0))
    ]
    area = _area(runs).replace(f" {HEIGHT}L", f" {SPARK_HEIGHT}L").replace(f"V{HEIGHT}z", f"V{SPARK_HEIGHT}z")
    said = f"{what}: at most {number(most)}, at last {number(known[-1])}" if known else f"{what}: not known yet"
    return Spark(_line(runs), area, said)

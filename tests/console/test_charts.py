"""Charts, without a browser: where shapes lie, where axes end, what is said of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from backyard.console.assets import Assets
from backyard.console.charts import HEIGHT, WIDTH, Chart, Frame, Series, bars, count_end, duration_end, lines, spark
from backyard.console.templating import Templates

START = datetime(2027, 1, 31, 12, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def frame(points: int, step: int = 60) -> Frame:
    return Frame([START + timedelta(seconds=at * step) for at in range(points)], step, points * step)


def corners(path: str) -> list[list[float]]:
    """Return the numbers of each piece of a path."""
    return [[float(one) for one in re.findall(r"-?[\d.]+", piece)] for piece in path.split("M") if piece]


def drawn(chart: Chart) -> str:
    """Return a chart as a page shows it."""
    text = '{% import "charts/macros.html" as charts with context %}{{ charts.chart(chart) }}'
    environment = Templates(Assets())._environment
    return environment.from_string(text).render(chart=chart, page=None)


@pytest.mark.parametrize(
    ("most", "end"),
    [(0, 2), (1, 2), (2, 2), (3, 4), (5, 6), (7, 8), (9, 10), (10, 10), (11, 20), (61, 80), (999, 1_000),
     (1_001, 2_000)],
)  # fmt: skip
def test_an_axis_of_counts_ends_where_its_half_is_whole(most: float, end: float) -> None:
    assert count_end(most) == end
    assert count_end(most) / 2 == int(count_end(most) / 2)


@pytest.mark.parametrize(
    ("most", "end"),
    [
        (0, 1), (0.0007, 0.0008), (0.03, 0.04), (1.5, 2), (41, 60), (59, 60), (60, 60), (61, 120), (700, 1_200),
        (3_600, 3_600), (3_700, 7_200), (50_000, 86_400), (86_400, 86_400), (90_000, 172_800),
    ],
)  # fmt: skip
def test_an_axis_of_durations_ends_at_a_time_that_people_say(most: float, end: float) -> None:
    assert duration_end(most) == pytest.approx(end)


def test_bars_stand_on_each_other() -> None:
    series = [Series("Succeeded", "succeeded", [3, 0, 0, 1]), Series("Failed", "failed", [1, 2, 0, 0])]
    chart = bars("t", "Tasks", frame(4), series)
    below, above = (corners(shape.path) for shape in chart.shapes)

    assert chart.heights == ["4", "2", "0"]
    width = WIDTH / 4
    # Left, bottom, top, right, bottom.
    assert below[0] == [pytest.approx(0.09 * width), HEIGHT, HEIGHT / 4, pytest.approx(0.91 * width), HEIGHT]
    assert above[0][1:3] == [HEIGHT / 4, 0]
    assert above[1][1:3] == [HEIGHT, HEIGHT / 2]
    assert (len(below), len(above)) == (2, 2)
    assert chart.summary == "Tasks: 4 succeeded, 3 failed."


def test_a_chart_is_a_table_as_well() -> None:
    chart = bars("t", "Tasks", frame(3), [Series("Succeeded", "succeeded", [1, 0, 2_500])])

    assert chart.rows == [("12:02 to 12:03 UTC", ["2,500"]), ("12:00 to 12:01 UTC", ["1"])]
    assert chart.heights == ["4k", "2k", "0"]
    assert [hint.text for hint in chart.hints] == [
        "12:00 to 12:01 UTC: Succeeded 1", "12:02 to 12:03 UTC: Succeeded 2,500",
    ]  # fmt: skip
    assert not chart.empty
    assert bars("t", "Tasks", frame(3), [Series("Succeeded", "succeeded", [0, 0, 0])]).empty


def test_lines_have_gaps_where_nothing_is_known() -> None:
    chart = lines("w", "Wait", frame(5), [Series("p50", "p50", [0.5, 1.0, None, 0.25, None])], durations=True)
    (shape,) = chart.shapes

    assert chart.heights == ["1.0 s", "500 ms", "0"]
    assert corners(shape.path) == [[100, 100, 300, 0], [700, 150, 700, 150]], "a point alone is a dot"
    assert chart.summary == "Wait: at last p50 250 ms; at most 1.0 s."
    assert [row[1] for row in chart.rows] == [["250 ms"], ["1.0 s"], ["500 ms"]]


def test_an_area_lies_under_the_first_line() -> None:
    series = [Series("Waiting", "ready", [2, 4]), Series("Parked", "parked", [0, 0])]
    chart = lines("d", "Depth", frame(2), series, area=True)

    assert [shape.kind for shape in chart.shapes] == ["area ready", "line ready", "line parked"]
    assert corners(chart.shapes[0].path) == [[250, HEIGHT, 250, 100, 750, 0, HEIGHT]]


@pytest.mark.parametrize(
    ("step", "points", "label", "times"),
    [
        (10, 90, "12:00:00 to 12:00:10 UTC", "15 min ago, 10 min ago, 5 min ago, now"),
        (60, 60, "12:00 to 12:01 UTC", "1 h ago, 45 min ago, 30 min ago, 15 min ago, now"),
        (3_600, 168, "01-31 12:00 to 13:00 UTC", "7 d ago, 3.5 d ago, now"),
        (86_400, 30, "2027-01-31", "30 d ago, 20 d ago, 10 d ago, now"),
        (172_800, 45, "2027-01-31 to 02-02", "90 d ago, 60 d ago, 30 d ago, now"),
    ],
)
def test_times_are_said_as_the_range_needs_it(step: int, points: int, label: str, times: str) -> None:
    given = frame(points, step)
    assert given.label(START) == label
    assert ", ".join(given.times()) == times


def test_a_small_curve_fits_its_frame() -> None:
    curve = spark([None, 0, 10, 5], "Waiting")
    assert corners(curve.line) == [[45, 23, 75, 1, 105, 12]]
    assert corners(curve.area)[0][1] == 24
    assert curve.summary == "Waiting: at most 10, at last 5"
    assert spark([None, None], "Waiting").summary == "Waiting: not known yet"
    assert corners(spark([0, 0], "Waiting").line) == [[30, 23, 90, 23]]


def test_what_is_drawn_can_be_read_by_everybody() -> None:
    series = [Series("<Succeeded>", "succeeded", [1, 2]), Series("Failed", "failed", [0, 1])]
    html = drawn(bars("through", "Tasks & more", frame(2), series))
    root = ET.fromstring(re.sub(r"<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', html))  # noqa: S314

    (picture,) = [one for one in root.iter(f"{SVG}svg") if one.get("role") == "img"]
    named = {one.get("id"): one.text for one in picture.iter() if one.get("id")}
    assert [named[name] for name in (picture.get("aria-labelledby") or "").split()] == [
        "Tasks & more", "Tasks & more: 3 <succeeded>, 1 failed.",
    ]  # fmt: skip
    assert [cell.text for cell in root.iter("th") if cell.get("scope") == "col"] == ["Time", "<Succeeded>", "Failed"]
    assert [cell.text for cell in root.iter("td")] == ["2", "1", "1", "0"]
    assert root.find("details/summary") is not None

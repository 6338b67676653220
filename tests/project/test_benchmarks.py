"""Goals, tables and charts, made from figures that are known."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from benchmarks.charts import Bar, chart
from benchmarks.contenders import HANDWIRED, LIBRARIES, OURS, PEERS
from benchmarks.figures import Figures, percentile
from benchmarks.goals import GOALS, goals_text, verdict
from benchmarks.tables import CHARTS, TABLES

SVG = "{http://www.w3.org/2000/svg}"


def rounds(name: str, *values: float) -> list[dict[str, Any]]:
    return [{name: value} for value in values]


RUN: dict[str, Any] = {
    "date": "2026-01-02", "command": "make bench", "rounds": 3, "minutes": 25.4, "size": 1, "server": "valkey 9.1.2",
    "machine": {"cores": 2, "processor": "a processor", "system": "Linux 6.1", "python": "3.11.7"},
    "versions": {"Backyard": {"backyard": "0.1"}, "saq": {"saq": "1", "redis": "2"}},
    "rows": {
        "submit": {
            "Backyard": rounds("per_second", 100, 700, 6_000), "hand-wired": rounds("per_second", 90, 100, 110),
            "saq": rounds("per_second", 400), "arq": rounds("per_second", 500), "broken": [{"error": "it ended"}],
            "bare endpoint": rounds("per_second", 1_000),
        },
        "submit_512": {"Backyard": rounds("errors", 0, 0, 1)},
        "worker": {
            "Backyard": rounds("tasks_per_second", 4_500), "saq": rounds("tasks_per_second", 2_000),
            "Backyard without a keeper": rounds("tasks_per_second", 5_000),
            "huey": rounds("tasks_per_second", 9_000),
        },
    },
}  # fmt: skip


def found(about: str) -> float | None:
    goal = next(one for one in GOALS if one.about.startswith(about))
    return goal.value(Figures(RUN["rows"]))


def test_goals_are_held_against_medians_and_the_best_of_others() -> None:
    assert found("submits/s at 32 connections") == 7
    assert found("the same: times the best library") == pytest.approx(700 / 500)
    assert found("the same: share of a bare") == 0.7
    assert found("throughput lost with history") == pytest.approx(10)
    # huey is faster, and does not acknowledge.
    assert found("the same: times the best library that") == 2.25
    assert found("submit at 512 connections: errors") == 1, "one error in any round counts"
    assert found("tasks of 1 ms") is None


def test_verdicts_say_how_far_a_goal_is() -> None:
    more = next(one for one in GOALS if (one.must, one.aim) == (5, 7))
    assert [verdict(more, value) for value in (4.9, 5, 7, None)] == ["MISSED", "holds", "aim reached", "not measured"]
    less = next(one for one in GOALS if (one.must, one.aim) == (4, 2.5))
    assert [verdict(less, value) for value in (4.1, 4, 2.5)] == ["MISSED", "holds", "aim reached"]
    wish = next(one for one in GOALS if one.must is None)
    assert [verdict(wish, value) for value in (0.9, 1)] == ["aim missed", "aim reached"]
    text = goals_text(RUN["rows"])
    assert "MISSED" in text
    assert "not measured" not in text


def test_acknowledging_is_said_of_each_library() -> None:
    assert {one.name for one in LIBRARIES if not one.acknowledges} == {"huey", "rq"}
    assert all(one.waiting and one.stored and one.tasks for one in (HANDWIRED, *PEERS))
    assert OURS.worker[:2] == ("backyard", "worker")
    assert len(OURS.worker) == 3, "default settings"


def test_tables_show_medians_best_first() -> None:
    *lines, empty, note = TABLES["submits"](RUN).splitlines()
    assert (empty, note) == ("", "- broken, 1 of 1 rounds without a figure: it ended")
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "bare endpoint", "Backyard", "arq", "saq", "hand-wired", "broken",
    ]  # fmt: skip
    assert lines[3].startswith("| Backyard | 700 |")
    assert len({line.count("|") for line in lines}) == 1
    about = TABLES["machine"](RUN)
    assert "| saq | redis 2, saq 1 |" in about
    assert "3 rounds, 25 minutes on 2 cores" in about
    assert "one round at 0.5 of the usual size" in TABLES["machine"]({**RUN, "rounds": 1, "size": 0.5})
    goals = TABLES["goals"](RUN).splitlines()
    assert len(goals) == len(GOALS) + 2
    assert goals[2].endswith("| 7.00 | at least 5 | at least 7 | aim reached |")


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_charts_are_pictures_that_can_be_read_aloud(name: str) -> None:
    picture = ET.fromstring(CHARTS[name](RUN))  # noqa: S314 - made here
    assert picture.tag == f"{SVG}svg"
    assert picture.findtext(f"{SVG}title")


def test_bars_are_as_long_as_their_numbers_and_names_are_escaped() -> None:
    picture = ET.fromstring(  # noqa: S314 - made here
        chart("A & B", [Bar("<one>", 50), Bar("two", 100, "ours"), Bar("three", 25)])
    )
    page, *bars = picture.findall(f"{SVG}rect")
    assert page.get("class") == "page"
    assert [bar.get("class") for bar in bars] == ["ours", "other", "other"]
    widths = [float(bar.get("width") or 0) for bar in bars]
    assert widths == [widths[0], widths[0] / 2, widths[0] / 4]
    assert picture.findtext(f"{SVG}desc") == "two 100; <one> 50; three 25"
    less = ET.fromstring(chart("less", [Bar("one", 50), Bar("two", 100)], most=False))  # noqa: S314 - made here
    assert less.findtext(f"{SVG}desc") == "one 50; two 100"


def test_percentiles_are_milliseconds() -> None:
    assert percentile([0.001 * number for number in range(100, 0, -1)], 0.99) == 100
    assert percentile([0.002], 0.5) == 2

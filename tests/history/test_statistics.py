from __future__ import annotations

import pytest

from backyard.history.database import History
from backyard.history.histogram import bucket_of, middle_of, percentile
from backyard.history.recorder import Recorder
from backyard.history.statistics import definitions_of, errors_of, resolution_for, series_of, total_and_series
from support.news import Teller

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
#: A day begins here.
START = 20_833 * DAY


@pytest.fixture
def day(history: History) -> History:
    """A history of 24 tasks, one at the beginning of each hour: every third of them failed."""
    recorder = Recorder(history, lambda _: {})
    recorder.position()
    recorder.begin("0-0")
    for hour in range(24):
        teller = Teller(START + hour * HOUR)
        name = "mail" if hour % 2 else "report"
        recorder.record(teller.whole(f"t{hour}", name, "FAILURE" if hour % 3 == 0 else "SUCCESS"))
    return history


@pytest.mark.parametrize("milliseconds", [1, 2, 7, 99, 1_000, 12_345, 86_400_000])
def test_a_bucket_stands_for_its_durations(milliseconds: int) -> None:
    assert middle_of(bucket_of(milliseconds)) == pytest.approx(milliseconds, rel=0.06)


def test_percentiles_are_those_of_the_durations() -> None:
    histogram: dict[int, int] = {}
    for duration in range(1, 1_001):
        histogram[bucket_of(duration)] = histogram.get(bucket_of(duration), 0) + 1
    for share in (0.5, 0.95, 0.99):
        assert percentile(histogram, share) == pytest.approx(share * 1_000, rel=0.08)
    assert percentile({}, 0.5) is None
    assert percentile({0: 5}, 0.99) == 0
    # Of two, the first is the half, and the second all.
    two = {bucket_of(10): 1, bucket_of(1_000): 1}
    assert percentile(two, 0.5) == pytest.approx(10, rel=0.06)
    assert percentile(two, 1.0) == pytest.approx(1_000, rel=0.06)


def test_times_are_answered_by_minutes_by_hours_and_by_days() -> None:
    ranges = (900, 2 * 3_600, 2 * 3_600 + 1, 8 * 86_400, 30 * 86_400)
    assert [resolution_for(seconds) for seconds in ranges] == [60, 60, 3_600, 3_600, 86_400]
    ranges = (2 * 3_600, 6 * 3_600, 6 * 3_600 + 1, 8 * 86_400, 30 * 86_400)
    assert [resolution_for(seconds, fine=True) for seconds in ranges] == [60, 60, 3_600, 3_600, 86_400]


@pytest.mark.parametrize(
    ("since", "until", "step", "submitted"),
    [
        (START, START + HOUR, 60, 1),
        (START, START + 2 * HOUR, 60, 2),
        (START, START + 6 * HOUR, 3_600, 6),
        (START, START + DAY, 3_600, 24),
        (START + 6 * HOUR, START + DAY, 3_600, 18),
        (START - 29 * DAY, START + DAY, 86_400, 24),
        (START + DAY, START + 2 * DAY, 3_600, 0),
    ],
)
def test_a_chart_has_each_task_once(day: History, since: int, until: int, step: int, submitted: int) -> None:
    found, points = series_of(day, since, until)
    assert found == step
    assert points[0]["at"].timestamp() * 1000 == since
    assert len(points) == (until - since) // (step * 1000)
    assert sum(point["submitted"] for point in points) == submitted
    total, by_name = definitions_of(day, since, until)
    assert total["submitted"] == sum(one["submitted"] for one in by_name.values()) == submitted
    assert total["succeeded"] + total["failed"] == submitted


def test_six_hours_of_the_yard_or_of_one_definition_are_drawn_by_minutes(day: History) -> None:
    since, until = START + HOUR // 2, START + 13 * HOUR // 2
    total, step, points = total_and_series(day, since, until)
    assert (step, len(points)) == (120, 180)
    assert total["submitted"] == sum(point["submitted"] for point in points) == 6
    step, points = series_of(day, since, until, ["mail"])
    assert step == 120
    assert definitions_of(day, since, until, ["mail"])[0]["submitted"] == sum(point["submitted"] for point in points)


def test_a_point_stands_where_its_task_does(day: History) -> None:
    _, points = series_of(day, START, START + DAY, ["mail"])
    assert [point["submitted"] for point in points] == [0, 1] * 12
    assert [point["failed"] for point in points[:6]] == [0, 0, 0, 1, 0, 0]


def test_numbers_of_definitions(day: History) -> None:
    total, by_name = definitions_of(day, START, START + DAY)
    assert list(by_name) == ["mail", "report"]
    assert (total["failed"], total["failure_share"]) == (8, round(8 / 24, 4))
    assert total["ended_per_second"] == round(24 / 86_400, 4)
    assert total["wait"]["p99"] == pytest.approx(0.01, rel=0.06)
    assert total["run"]["p50"] == pytest.approx(0.1, rel=0.06)
    assert definitions_of(day, START, START + DAY, ["none"])[1] == {}


def test_errors_come_with_their_first_and_last(day: History) -> None:
    (group,) = errors_of(day)
    assert (group["count"], group["sample_task_id"]) == (8, "t21")
    assert round(group["first_seen"].timestamp() * 1000) == START + 110
    assert round(group["last_seen"].timestamp() * 1000) == START + 21 * HOUR + 110
    assert errors_of(day, since=START + 22 * HOUR) == []
    assert errors_of(day, fingerprint="none") == []

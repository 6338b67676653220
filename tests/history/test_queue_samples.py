"""What waited in each queue over time."""

from __future__ import annotations

from sqlalchemy import func, select

from backyard.core.queue import Queue
from backyard.history.database import History
from backyard.history.queue_samples import EVERY, KEPT, depths_lately, drop_samples, queue_series, record_queues
from backyard.history.tables import queue_samples

#: A whole day, so that all periods begin there.
BASE = 20_000 * 86_400_000
HOUR, DAY = 3_600_000, 86_400_000


def queue(depth: int, name: str = "mail", oldest: float | None = None, **more: int) -> Queue:
    given = {"running": 0, "parked": 0, **more}
    return Queue(name=name, depth=depth, lanes={"normal": depth}, oldest=oldest, paused=None, limit=None, **given)


def points(history: History, since: int, until: int, what: str = "depth") -> dict[int, float]:
    """Return what is known of a time: milliseconds after the base, and the value."""
    _, series = queue_series(history, "mail", since, until)
    return {int(point["at"].timestamp() * 1000) - BASE: point[what] for point in series if point[what] is not None}


def test_samples_come_back_with_gaps_where_nobody_looked(history: History) -> None:
    record_queues(history, BASE + 1_000, [queue(3, oldest=4.25, running=1, parked=2), queue(9, "other")])
    record_queues(history, BASE + 31_500, [queue(0)])

    step, series = queue_series(history, "mail", BASE, BASE + 60_000)

    assert step == EVERY
    assert [point["depth"] for point in series] == [3, None, None, 0, None, None]
    assert [series[0][name] for name in ("running", "parked", "oldest")] == [1, 2, 4.25]
    assert series[3]["oldest"] == 0.0
    assert queue_series(history, "nobody", BASE, BASE + 60_000)[1][0]["depth"] is None


def test_of_several_samples_in_a_period_the_most_counts(history: History) -> None:
    for at, depth, oldest in ((0, 5, 1.0), (2_000, 8, 0.5), (4_000, 2, 3.0)):
        record_queues(history, BASE + at, [queue(depth, oldest=oldest)])

    assert points(history, BASE, BASE + 60_000) == {0: 8}
    assert points(history, BASE, BASE + 60_000, "oldest") == {0: 3.0}


def test_longer_times_are_answered_by_longer_periods(history: History) -> None:
    for minute in range(0, 180, 5):
        record_queues(history, BASE + minute * 60_000, [queue(minute)])
    until = BASE + 3 * HOUR

    assert points(history, until - 900_000, until) == {165 * 60_000: 165, 170 * 60_000: 170, 175 * 60_000: 175}
    six_hours = points(history, until - 6 * HOUR, until)
    assert (len(six_hours), max(six_hours.values())) == (36, 175)
    assert list(points(history, until - DAY, until).values())[:3] == [5, 15, 25]
    week = points(history, until - 7 * DAY, until)
    assert week == {0: 55, HOUR: 115, 2 * HOUR: 175}
    step, series = queue_series(history, "mail", until - 30 * DAY, until)
    assert (step, len(series)) == (14_400, 181)
    assert max(point["depth"] or 0 for point in series) == 175


def test_the_last_hour_of_all_queues_is_a_curve_each(history: History) -> None:
    until = BASE + 2 * HOUR
    record_queues(history, until - 30_000, [queue(4), queue(1, "other")])
    record_queues(history, until - 59 * 60_000, [queue(7)])
    record_queues(history, until - 61 * 60_000, [queue(99)])

    found = depths_lately(history, until - 1)

    assert set(found) == {"mail", "other"}
    assert (len(found["mail"]), found["mail"][1], found["mail"][-1]) == (60, 7, 4)
    assert [value for value in found["mail"] if value is not None] == [7, 4]


def test_what_was_kept_long_enough_goes(history: History) -> None:
    record_queues(history, BASE, [queue(1)])

    def left() -> list[int]:
        with history.reading() as connection:
            return sorted(row for (row,) in connection.execute(select(queue_samples.c.resolution)))

    assert left() == sorted(KEPT)
    for resolution, kept in KEPT.items():
        assert drop_samples(history, BASE + kept * 1000) == 0
        assert drop_samples(history, BASE + kept * 1000 + 1) == 1
        assert resolution not in left()
    with history.reading() as connection:
        assert connection.execute(select(func.count()).select_from(queue_samples)).scalar_one() == 0


def test_nothing_to_record_is_no_transaction(history: History) -> None:
    record_queues(history, BASE, [])
    assert points(history, BASE, BASE + 60_000) == {}

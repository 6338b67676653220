from __future__ import annotations

import pytest

from backyard.history.causes import causes_in, causes_named, quarantined_in, trend_of
from backyard.history.database import History
from backyard.history.recorder import Recorder
from backyard.history.retention import drop_sums, drop_trail
from backyard.history.sizes import sizes_of
from support.news import Teller

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
#: A day begins here.
START = 20_833 * DAY


def failure(fingerprint: str, kind: str = "error") -> dict[str, str]:
    return {"kind": kind, "type": "ValueError", "message": f"cause {fingerprint}", "fingerprint": fingerprint}


def fail(history: History, at: int, fingerprint: str, name: str = "mail", kind: str = "error") -> str:
    """Record a task that fails at a time, of a cause; returns its id."""
    recorder, teller = Recorder(history, lambda _: {}), Teller(at)
    if recorder.position() is None:
        recorder.begin("0-0")
    task_id = f"{fingerprint}-{at}"
    told = [teller.born(task_id, name), teller.started(task_id)]
    recorder.record([*told, teller.ended(task_id, "FAILURE", failure=failure(fingerprint, kind))])
    return task_id


@pytest.fixture
def failed(history: History) -> History:
    """A day in which one cause fades, one rises, and one comes once, last."""
    for hour, fingerprint, name in (
        (1, "fades", "mail"), (2, "fades", "mail"), (3, "fades", "mail"), (14, "fades", "mail"),
        (4, "rises", "report"), (20, "rises", "report"), (21, "rises", "report"),
        (23, "once", "report"),
    ):  # fmt: skip
        fail(history, START + hour * HOUR, fingerprint, name)
    return history


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("last", ["once", "rises", "fades"]),
        ("count", ["fades", "rises", "once"]),
        ("rising", ["once", "rises", "fades"]),
    ],
)
def test_causes_come_in_the_order_asked_for(failed: History, order: str, found: list[str]) -> None:
    rows = causes_in(failed, START, START + DAY, order=order)  # type: ignore[arg-type]  # one of them
    assert [row["fingerprint"] for row in rows] == found
    assert causes_in(failed, START, START + DAY, order=order, limit=1) == rows[:1]  # type: ignore[arg-type]  # as above


def test_a_cause_says_how_many_came_when(failed: History) -> None:
    (row, *_) = causes_in(failed, START, START + DAY, order="count")
    assert (row["recent"], row["count"], row["message"]) == (4, 4, "cause fades")
    assert [hour for hour, count in enumerate(row["points"]) if count] == [1, 2, 3, 14]
    later = causes_in(failed, START + 12 * HOUR, START + DAY, order="count")
    assert [(one["fingerprint"], one["recent"], one["count"]) for one in later] == [
        ("rises", 2, 3), ("once", 1, 1), ("fades", 1, 4),
    ]  # fmt: skip
    assert causes_in(failed, START + DAY, START + 2 * DAY) == []


def test_causes_of_a_definition(failed: History) -> None:
    for order in ("last", "count", "rising"):
        rows = causes_in(failed, START, START + DAY, order=order, name="mail")
        assert [row["fingerprint"] for row in rows] == ["fades"]
    assert causes_named(failed) == ["mail", "report"]


def test_a_trend_has_a_point_for_each_period(history: History) -> None:
    for second in (1, 2, 70):
        fail(history, START + second * 1_000, "f00")
    step, points = trend_of(history, "f00", START, START + HOUR)
    assert (step, len(points), [point["count"] for point in points[:3]]) == (60, 60, [2, 1, 0])
    step, points = trend_of(history, "f00", START - 29 * DAY, START + DAY)
    assert (step, len(points), points[-1]["count"], sum(point["count"] for point in points)) == (86_400, 30, 3, 3)
    assert not any(point["count"] for point in trend_of(history, "other", START, START + HOUR)[1])


def test_fine_counts_go_and_coarse_ones_go_with_the_cause(history: History) -> None:
    fail(history, START, "f00")
    drop_sums(history, START + 100 * DAY)
    assert trend_of(history, "f00", START, START + HOUR)[1][0]["count"] == 0
    assert trend_of(history, "f00", START - 29 * DAY, START + DAY)[1][-1]["count"] == 1
    drop_trail(history, 0, START + 3 * DAY)
    assert trend_of(history, "f00", START - 29 * DAY, START + DAY)[1][-1]["count"] == 0
    assert causes_in(history, START, START + DAY) == []


def test_quarantined_tasks_are_found_among_the_failed_ones(history: History) -> None:
    fail(history, START, "f00")
    first = fail(history, START + HOUR, "quarantined:mail", kind="quarantined")
    second = fail(history, START + 2 * HOUR, "quarantined:report", "report", kind="quarantined")
    assert [one.task_id for one in quarantined_in(history, 10)] == [second, first]
    assert [one.task_id for one in quarantined_in(history, 1)] == [second]


def test_the_history_knows_how_large_it_is(failed: History) -> None:
    found = sizes_of(failed)
    assert (found.tasks, found.causes, found.webhooks, found.waiting, found.oldest) == (8, 3, 0, 0, None)
    assert found.size
    assert found.size > 10_000

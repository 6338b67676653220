from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backyard.console.task_timeline import DRAWN, attempts_seen, drawn
from backyard.core.models import TaskView

BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def view(**changes: Any) -> TaskView:
    known = {"task_id": "t", "name": "report", "state": "SUCCESS", "progress": None, "queue": "default"}
    return TaskView(**{**known, "priority": "normal", "attempt": 0, "date_created": BEGIN, **changes})


def row(number: int, ready: float, started: float, ended: float | None, outcome: str | None) -> dict[str, Any]:
    end = None if ended is None else at(ended)
    return {
        "attempt": number, "worker": "w@h", "ready": at(ready), "started": at(started), "ended": end,
        "outcome": outcome, "failure": None,
    }  # fmt: skip


def told(task: TaskView, rows: list[dict[str, Any]], now: float) -> list[tuple[int, str, list[str]]]:
    """Say what was seen: ``waited 1-3`` for a span from the first second to the third, ``...`` where it goes on."""

    def span(one: Any) -> str:
        ends = [(moment - BEGIN).total_seconds() for moment in (one.start, one.end)]
        return f"{one.kind} {ends[0]:g}-{ends[1]:g}{'...' if one.open else ''}"

    return [(one.number, one.outcome, [span(part) for part in one.spans]) for one in attempts_seen(task, rows, at(now))]


def test_attempts_wait_are_queued_and_run() -> None:
    rows = [row(1, 0, 1, 3, "RETRY"), row(2, 6, 7, 10, "SUCCESS")]

    assert told(view(attempt=2, date_done=at(10)), rows, 60) == [
        (1, "RETRY", ["queued 0-1", "ran 1-3"]),
        (2, "SUCCESS", ["waited 3-6", "queued 6-7", "ran 7-10"]),
    ]


def test_the_record_is_ahead_of_the_history() -> None:
    running = view(state="PROGRESS", attempt=2, date_started=at(5))
    over = view(state="FAILURE", attempt=1, date_started=at(1), date_done=at(4))

    assert told(running, [row(1, 0, 1, 3, "RETRY")], 9)[1] == (2, "", ["queued 3-5", "ran 5-9..."])
    assert told(over, [row(1, 0, 1, None, None)], 9) == [(1, "FAILURE", ["queued 0-1", "ran 1-4"])]
    assert told(over, [], 9) == [(1, "FAILURE", ["queued 0-1", "ran 1-4"])]


@pytest.mark.parametrize(
    ("state", "due", "spans"),
    [
        ("PENDING", None, ["queued 0-9..."]),
        ("PENDING", 4, ["waited 0-4", "queued 4-9..."]),
        ("SCHEDULED", 20, ["waited 0-9..."]),
    ],
)
def test_what_has_not_begun_waits_until_now(state: str, due: float | None, spans: list[str]) -> None:
    task = view(state=state, date_due=None if due is None else at(due))

    assert told(task, [], 9) == [(0, "", spans)]


def test_a_retry_waits_for_its_next_attempt() -> None:
    rows = [row(1, 0, 1, 3, "RETRY")]

    assert told(view(state="RETRY", attempt=1, date_due=at(30)), rows, 9)[1] == (0, "", ["waited 3-9..."])


def test_a_task_that_was_cancelled_while_it_waited_says_so() -> None:
    never = view(state="REVOKED", date_done=at(5))
    between = view(state="REVOKED", attempt=1, date_done=at(8))

    assert told(never, [], 60) == [(0, "REVOKED", ["queued 0-5"])]
    assert told(between, [row(1, 0, 1, 3, "RETRY")], 60)[1] == (0, "REVOKED", ["queued 3-8"])


def test_spans_are_to_scale_and_never_too_small_to_be_seen() -> None:
    rows = [row(1, 0, 0.001, 50, "RETRY"), row(2, 75, 75, 100, "SUCCESS")]

    timeline = drawn(attempts_seen(view(attempt=2, date_done=at(100)), rows, at(200)))

    assert timeline is not None
    bars = [[(bar.span.kind, bar.x, bar.width) for bar in bars] for _, bars in timeline.attempts]
    assert bars[0][0] == ("queued", 0.0, 0.5)
    assert bars[0][1] == ("ran", 0.001, 49.999)
    assert bars[1] == [("waited", 50.0, 25.0), ("ran", 75.0, 25.0)]
    assert timeline.ticks == [(0.0, 0), (20.0, 20), (40.0, 40), (60.0, 60), (80.0, 80), (100.0, 100)]


def test_no_bar_leaves_the_drawing() -> None:
    timeline = drawn(attempts_seen(view(attempt=1, date_done=at(100)), [row(1, 0, 100, 100, "SUCCESS")], at(200)))

    assert timeline is not None
    assert all(bar.x + bar.width <= 100 for _, bars in timeline.attempts for bar in bars)


def test_of_many_attempts_the_last_are_drawn() -> None:
    rows = [row(number, number, number, number + 1, "RETRY") for number in range(1, 51)]

    timeline = drawn(attempts_seen(view(attempt=50, date_done=at(51)), rows, at(60)))

    assert timeline is not None
    assert len(timeline.attempts) == DRAWN
    assert timeline.earlier == 50 - DRAWN


def test_a_task_of_no_time_at_all_is_drawn() -> None:
    timeline = drawn(attempts_seen(view(attempt=1, date_done=BEGIN), [row(1, 0, 0, 0, "SUCCESS")], BEGIN))

    assert timeline is not None
    assert [bar.width for _, bars in timeline.attempts for bar in bars] == [0.5]
    assert drawn([]) is None

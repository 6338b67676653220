"""What a person may write, and what is said about what cannot work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backyard.core.errors import InvalidInputError
from backyard.core.schedule import ScheduleState, parse_spec, span, view_of
from backyard.core.schedule_checks import check_times, preview

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({}, "cron", "none is given"),
        ({"cron": "@daily", "every": 5}, "every", "there are cron and every"),
        ({"cron": "0 7 * *"}, "cron", "4 fields"),
        ({"cron": "0 0 30 2 *"}, "cron", "days that its months have"),
        ({"cron": "0 0 31 2 mon"}, None, ""),
        ({"cron": "@daily", "tz": "Europe/Berlni"}, "tz", "Did you mean 'Europe/Berlin'"),
        ({"every": 0}, "every", "greater than or equal to 1"),
        ({"every": 1.5}, "every", "integer"),
        ({"at": "2026-11-25T12:00:01"}, "at", "no time zone"),
        ({"at": "2026-02-30T12:00:00Z"}, "at", "day value is outside expected range"),
        ({"at": "2020-01-01T00:00:00Z"}, "at", "is over"),
        ({"at": "9999-01-01T00:00:00Z"}, "at", "from 1970 to 9000"),
        ({"every": 60, "end": "2026-11-25T11:00:00Z"}, "end", "is over"),
        ({"every": 60, "start": "2027-01-02T00:00:00Z", "end": "2027-01-01T00:00:00Z"}, "end", "before it starts"),
        ({"cron": "0 7 * * *", "end": "2026-11-25T13:00:00Z"}, "end", "never ticks between"),
        ({"every": 60, "jitter": 60}, "jitter", "60 s between two ticks"),
        ({"cron": "0 7,8 * * *", "jitter": 4_000}, "jitter", "3600 s between two ticks"),
        ({"cron": "0 7,8 * * *", "jitter": 3_599}, None, ""),
        ({"every": 60, "overlap": "both"}, "overlap", "'skip'"),
        ({"every": 60, "catch_up_window": 0}, "catch_up_window", "greater than or equal to 1"),
        ({"every": 60, "color": "red"}, "color", "no such field"),
        ({"every": 60, "input": [1]}, "input", "dictionary"),
        ({"every": 60, "queue": "a b"}, "queue", "pattern"),
        ({"cron": "x" * 10_000_000}, "cron", "can have 200"),
        ({"cron": "@daily", "tz": "x" * 100_000}, "tz", "no time zone"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_field_and_a_remedy(
    fields: dict[str, Any], field: str | None, said: str
) -> None:
    if field is None:
        check_times(parse_spec({"name": "f", **fields}), NOW)
        return
    with pytest.raises(InvalidInputError) as caught:
        check_times(parse_spec({"name": "f", **fields}), NOW)
    (row,) = caught.value.errors
    assert row["location"] == [field]
    assert said in row["message"]
    assert len(caught.value.message) < 600


def test_times_are_kept_in_utc_to_the_second() -> None:
    spec = parse_spec({"name": "f", "at": "2026-12-24T18:00:00.75+01:00"})
    assert spec.at == datetime(2026, 12, 24, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cron": "0 7 * * mon-fri", "tz": "Europe/Berlin"}, "At 07:00 on Monday through Friday (Europe/Berlin)"),
        ({"every": 5_400}, "Every 1 h 30 min"),
        ({"at": "2026-12-24T18:00:00+01:00", "tz": "Europe/Berlin"}, "Once, at 2026-12-24T18:00:00+01:00"),
    ],
)  # fmt: skip
def test_times_are_said_in_words(fields: dict[str, Any], words: str) -> None:
    assert parse_spec({"name": "f", **fields}).words() == words


def test_spans_are_said_in_words() -> None:
    assert [span(one) for one in (1, 60, 86_400, 90_061)] == ["1 s", "1 min", "1 d", "1 d 1 h 1 min 1 s"]


def test_a_preview_shows_ticks_on_both_clocks_and_their_jitter() -> None:
    spec = parse_spec({"name": "f", "cron": "30 2 * * *", "tz": "Europe/Berlin", "jitter": 600})
    shown = preview("s", spec, datetime(2026, 10, 24, 0, 30, tzinfo=UTC), NOW, 3)
    assert [tick.local.isoformat() for tick in shown.ticks] == [
        "2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00",
    ]  # fmt: skip
    assert all(tick.at == tick.local.astimezone(UTC) for tick in shown.ticks)
    assert all(timedelta() <= tick.runs_at - tick.at < timedelta(seconds=600) for tick in shown.ticks)
    with pytest.raises(InvalidInputError, match="1 to 1000"):
        preview("s", spec, NOW, NOW, 0)


def test_a_view_says_whether_a_schedule_is_over() -> None:
    spec = parse_spec({"name": "f", "at": "2026-12-24T18:00:00Z", "input": {"a": 1}})
    state = ScheduleState(created=NOW, updated=NOW, next=spec.at)
    assert view_of("s", spec, state, {"a": 2}).status == "active"
    assert view_of("s", spec, state, {"a": 2}).input == {"a": 2}
    assert view_of("s", spec, state.model_copy(update={"next": None}), {}).status == "finished"

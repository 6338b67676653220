"""The filter of tasks as a line of text: what it reads, what it writes, what it says of what it cannot read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backyard.core.states import State
from backyard.core.task_filter import TaskFilter
from backyard.core.task_query import KEYS, STATES, parse, query_text

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)


def read(text: str) -> TaskFilter:
    query = parse(text, NOW)
    assert query.problems == (), query.problems
    return query.filter


def problem(text: str) -> tuple[str, str]:
    (found,) = parse(text, NOW).problems
    return found.message, found.better


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", {}),
        ("   ", {}),
        ("state:failure", {"state": ["FAILURE"]}),
        ("State:FAILURE,retry", {"state": ["FAILURE", "RETRY"]}),
        ("state:failure state:retry", {"state": ["FAILURE", "RETRY"]}),
        ("state:running", {"state": ["STARTED", "PROGRESS"]}),
        ("state:running,started", {"state": ["STARTED", "PROGRESS"]}),
        ("name:report", {"name": ["report"]}),
        ("name:mail.send,report queue:mail", {"name": ["mail.send", "report"], "queue": ["mail"]}),
        ('name:"two words",other', {"name": ["two words", "other"]}),
        (r'name:"with \"quotes\" and, comma"', {"name": ['with "quotes" and, comma']}),
        ('tag:vip tag:"a, b"', {"tag": ["vip", "a, b"]}),
        ("worker:w1@host schedule:nightly", {"worker": "w1@host", "schedule": "nightly"}),
        ("task_id:a,b", {"task_id": ["a", "b"]}),
        ("invoice 17", {"text": "invoice 17"}),
        ('"state:failure" name:x', {"text": '"state:failure"', "name": ["x"]}),
        ('before name:x "two words" after', {"text": 'before "two words" after', "name": ["x"]}),
        ("at 12:30 http://example.com/x", {"text": "at 12:30 http://example.com/x"}),
    ],
)
def test_a_query_is_read(text: str, parts: dict[str, Any]) -> None:
    assert read(text) == TaskFilter(**parts)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("30min", NOW - timedelta(minutes=30)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("2d", NOW - timedelta(days=2)),
        ("1w", NOW - timedelta(days=7)),
        ("now", NOW),
        ("today", datetime(2026, 3, 4, tzinfo=UTC)),
        ("yesterday", datetime(2026, 3, 3, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00+01:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
        ('"2026-01-31 12:00"', datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("key", ["since", "until"])
def test_a_time_is_read(key: str, text: str, moment: datetime) -> None:
    assert read(f"{key}:{text}") == TaskFilter(**{key: moment})


def test_relative_times_count_in_utc_days_whatever_the_zone_of_now() -> None:
    now = datetime(2026, 3, 4, 1, tzinfo=timezone(timedelta(hours=3)))
    assert parse("since:today", now).filter.since == datetime(2026, 3, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "says", "better"),
    [
        ("stat:failure", "Did you mean 'state:'?", "state:failure"),
        ("status:failure,retry", "Did you mean 'state:'?", "state:failure,retry"),
        ("id:7", "Did you mean 'task_id:'?", "task_id:7"),
        ("zzz:7", 'a text with a colon is written in quotes: "zzz:7"', '"zzz:7"'),
        ("state:failed", "Did you mean 'failure'?", ""),
        ("state:xyz", "There are scheduled, pending", ""),
        ("state:", "'state:' needs a value. One state or several: state:failure,retry.", ""),
        ("name:,", "'name:' needs a value", ""),
        ("-state:failure", "Take the '-' away", ""),
        ("tag:a,b", "write tag:a tag:b", "tag:a tag:b"),
        ("worker:a,b", "takes one value", ""),
        ("worker:a worker:b", "takes one value", ""),
        ("since:1h since:2h", "takes one value", ""),
        ("since:soon", "'soon' is no time. Write since:30min", ""),
        ("until:2026-13-01", "is no time. Write until:30min", ""),
        ("since:999999w", "is no time", ""),
        (f"worker:{'x' * 300}", "'worker' cannot be used so", ""),
    ],
)
def test_what_cannot_be_read_says_what_to_write(text: str, says: str, better: str) -> None:
    message, mended = problem(text)
    assert says in message
    assert mended == better or (not better and mended.startswith(text.partition(":")[0]))


def test_a_wrong_state_is_mended_in_its_place() -> None:
    query = parse("name:x state:failur,retry word", NOW)
    (found,) = query.problems
    assert query.mended(found) == "name:x state:failure,retry word"
    assert parse(query.mended(found), NOW).problems == ()


def test_parts_are_taken_away_and_replaced() -> None:
    query = parse('name:x state:failure "two words" state:retry', NOW)
    assert str(query) == 'name:x state:failure "two words" state:retry'
    assert query.without(query.terms[2]) == "name:x state:failure state:retry"
    assert query.replaced("state", "state:running") == 'name:x "two words" state:running'
    assert query.replaced("state") == 'name:x "two words"'


def test_every_part_of_a_filter_can_be_written() -> None:
    assert set(KEYS) | {"text"} == set(TaskFilter.model_fields)
    assert {state for states in STATES.values() for state in states} == set(State)


VALUES = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=20)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given apart
WORDS = st.lists(st.from_regex(r"[a-z0-9.]{1,8}", fullmatch=True) | st.just('"two words"'), min_size=1, max_size=4)
FILTERS = st.builds(
    TaskFilter,
    state=st.lists(st.sampled_from(State), unique=True).map(tuple),
    name=st.lists(VALUES, unique=True, max_size=3).map(tuple),
    queue=st.lists(VALUES, unique=True, max_size=3).map(tuple),
    tag=st.lists(VALUES, unique=True, max_size=3).map(tuple),
    task_id=st.lists(VALUES, unique=True, max_size=3).map(tuple),
    since=st.none() | MOMENTS,
    until=st.none() | MOMENTS,
    text=st.none() | WORDS.map(" ".join),
    **{key: st.none() | VALUES for key in ("worker", "schedule", "operation", "fingerprint", "rerun_of")},
    **{key: st.none() | VALUES for key in ("parent_id", "root_id", "group_id")},
)


@given(FILTERS)
def test_what_is_written_is_read_as_it_was(wanted: TaskFilter) -> None:
    assert read(query_text(wanted)) == wanted


@given(st.text(max_size=60))
def test_whatever_is_typed_is_read_or_refused_and_asks_the_same_again(text: str) -> None:
    query = parse(text, NOW)
    if not query.problems:
        again = parse(query_text(query.filter), NOW)
        assert again.problems == ()
        assert again.filter.model_dump(exclude={"text"}) == query.filter.model_dump(exclude={"text"})
    for one in query.terms:
        parse(query.without(one), NOW)

"""Cron lines on the wall clocks of real time zones: the hours that are skipped, and those that come twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from backyard.core.schedule_times import (
    Clock,
    Cron,
    CronError,
    Interval,
    Once,
    Timetable,
    jitter_of,
    parse_cron,
    zone,
    zone_names,
)

ZONES = (
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Apia",
    "Africa/Casablanca", "UTC",
)  # fmt: skip


def local_ticks(line: str, name: str, after: str, count: int) -> list[str]:
    """Return ticks as the zone's clock shows them, with its offset; ``after`` is of that clock, too."""
    tz = ZoneInfo(name)
    begin = datetime.fromisoformat(after).replace(tzinfo=tz)
    found = islice(Timetable(Cron(line, tz), None, None).ticks(begin), count)
    return [tick.astimezone(tz).strftime("%m-%d %H:%M:%S %z") for tick in found]


@pytest.mark.parametrize("line", ["30 2 * * *", "0 30 2 * * *"])
def test_what_falls_into_the_skipped_hour_runs_once_at_the_jump(line: str) -> None:
    assert local_ticks(line, "Europe/Berlin", "2026-03-28T00:00", 3) == [
        "03-28 02:30:00 +0100", "03-29 03:00:00 +0200", "03-30 02:30:00 +0200",
    ]  # fmt: skip
    assert local_ticks(line, "America/New_York", "2026-03-07T00:00", 3) == [
        "03-07 02:30:00 -0500", "03-08 03:00:00 -0400", "03-09 02:30:00 -0400",
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["30 2 * * *", "0 30 2 * * *"])
def test_what_falls_into_the_repeated_hour_runs_once_in_the_first(line: str) -> None:
    assert local_ticks(line, "Europe/Berlin", "2026-10-24T12:00", 2) == ["10-25 02:30:00 +0200", "10-26 02:30:00 +0100"]
    assert local_ticks(line.replace("2", "1"), "America/New_York", "2026-10-31T12:00", 2) == [
        "11-01 01:30:00 -0400", "11-02 01:30:00 -0500",
    ]  # fmt: skip


def test_several_runs_within_the_skipped_hour_become_one() -> None:
    assert local_ticks("*/20 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == [
        "03-29 03:00:00 +0200", "03-30 02:00:00 +0200",
    ]  # fmt: skip
    assert local_ticks("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == [
        "03-29 03:00:00 +0200", "03-30 02:00:00 +0200",
    ]  # fmt: skip


def test_several_runs_within_the_repeated_hour_are_not_repeated() -> None:
    assert local_ticks("*/30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 3) == [
        "10-25 02:00:00 +0200", "10-25 02:30:00 +0200", "10-26 02:00:00 +0100",
    ]  # fmt: skip


def test_a_line_for_every_hour_follows_the_time_that_passes() -> None:
    assert local_ticks("30 * * * *", "Europe/Berlin", "2026-03-29T01:00", 2) == [
        "03-29 01:30:00 +0100", "03-29 03:30:00 +0200",
    ]  # fmt: skip
    assert local_ticks("30 * * * *", "Europe/Berlin", "2026-10-25T02:00", 3) == [
        "10-25 02:30:00 +0200", "10-25 02:30:00 +0100", "10-25 03:30:00 +0100",
    ]  # fmt: skip


def test_changes_of_half_an_hour() -> None:
    assert local_ticks("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", 2) == [
        "10-04 02:30:00 +1100", "10-05 02:15:00 +1100",
    ]  # fmt: skip
    assert local_ticks("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00", 2) == [
        "04-05 01:45:00 +1100", "04-06 01:45:00 +1030",
    ]  # fmt: skip
    assert local_ticks("45 * * * *", "Australia/Lord_Howe", "2026-04-05T01:00", 3) == [
        "04-05 01:45:00 +1100", "04-05 01:45:00 +1030", "04-05 02:45:00 +1030",
    ]  # fmt: skip


def test_days_that_begin_late_and_a_day_that_never_was() -> None:
    assert local_ticks("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00", 2) == [
        "11-04 01:00:00 -0200", "11-05 00:00:00 -0200",
    ]  # fmt: skip
    assert local_ticks("30 23 * * *", "America/Sao_Paulo", "2018-02-17T12:00", 2) == [
        "02-17 23:30:00 -0200", "02-18 23:30:00 -0300",
    ]  # fmt: skip
    assert local_ticks("0 7 * * *", "Pacific/Apia", "2011-12-29T06:00", 3) == [
        "12-29 07:00:00 -1000", "12-31 00:00:00 +1400", "12-31 07:00:00 +1400",
    ]  # fmt: skip


def test_zones_with_odd_minutes() -> None:
    tz = ZoneInfo("Asia/Kathmandu")
    assert Cron("0 7 * * *", tz).after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 1, 1, 1, 15, tzinfo=UTC)


LINES = st.sampled_from([
    "0 7 * * mon-fri", "*/15 2 * * *", "30 * * * *", "0 */2 * * *", "59 23 L * *", "0 0 29 2 *", "20 30 1 * * *",
    "*/20 * * * * *", "0 12 * * 5L", "0 0 1 1 *", "15,45 0-3 * * 0,6", "0 9 1-7 * mon#1", "0 * 1 * *",
])  # fmt: skip
MOMENTS = st.datetimes(datetime(2008, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants them bare


@given(LINES, st.sampled_from(ZONES), MOMENTS)
def test_ticks_rise_strictly_and_match_what_the_clock_shows(line: str, name: str, after: datetime) -> None:
    tz = ZoneInfo(name)
    clock = Clock(tz)
    before = after
    for tick in islice(Timetable(Cron(line, tz), None, None).ticks(after), 30):
        assert tick > before
        shows = clock.shows(tick)
        jumped = clock.offset(tick) > clock.offset(tick - timedelta(seconds=1))
        matches = next(CronSim(line, shows - timedelta(seconds=1))) == shows
        assert matches or jumped, f"{shows} is no match of {line}"
        before = tick


def every_match(line: str, tz: ZoneInfo, begin: datetime, days: int) -> list[datetime]:
    """Return the ticks as a slow and plain reading of the rule has them: each minute that passes is looked at."""
    sim = CronSim(line, datetime(2000, 1, 1))  # noqa: DTZ001 - the wall clock has no zone
    hourly = set(sim.hours) == set(range(24))
    found: list[datetime] = []
    seen: set[datetime] = set()
    last: datetime | None = None
    for minute in range(days * 1_440):
        moment = begin + timedelta(minutes=minute)
        wall = moment.astimezone(tz).replace(tzinfo=None, fold=0)
        skipped = []
        if last is not None and wall - last > timedelta(minutes=1):
            skipped = [last + timedelta(minutes=one) for one in range(1, (wall - last) // timedelta(minutes=1))]
        walls = [wall] if hourly else [one for one in (*skipped, wall) if one not in seen]
        fitting = [one for one in walls if one.minute in sim.minutes and one.hour in sim.hours]
        if any(one.month in sim.months and sim.match_day(one.date()) for one in fitting):
            found.append(moment)
        seen.update((*skipped, wall))
        last = wall
    return found


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("line", ["*/20 0-3 * * *", "30 * * * *", "10 2 * * *", "0 */2 * * sun", "45 1,2,23 * * *"])
def test_ticks_are_those_of_a_plain_reading(line: str, name: str) -> None:
    tz = ZoneInfo(name)
    year = 2011 if name == "Pacific/Apia" else 2018 if name == "America/Sao_Paulo" else 2026
    changes = []
    moment = datetime(year, 1, 1, tzinfo=UTC)
    while (change := Clock(tz).first_change(moment, datetime(year + 1, 1, 2, tzinfo=UTC))) is not None:
        changes.append(change)
        moment = change
    for change in changes or [datetime(year, 6, 1, tzinfo=UTC)]:
        begin = (change - timedelta(days=1)).replace(hour=0, minute=0, second=0)
        expected = every_match(line, tz, begin, 4)
        table = Timetable(Cron(line, tz), None, begin + timedelta(days=4) - timedelta(seconds=1))
        # Of what the walk met in its first minutes, it cannot know what the clock showed before.
        since = begin + timedelta(hours=4)
        assert [tick for tick in table.ticks(begin) if tick > since] == [tick for tick in expected if tick > since]


def test_the_seconds_come_first() -> None:
    assert local_ticks("30 0 7 * * *", "UTC", "2026-01-01T00:00", 1) == ["01-01 07:00:30 +0000"]
    assert local_ticks("@daily", "UTC", "2026-01-01T00:00", 1) == ["01-02 00:00:00 +0000"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "0 fields"), ("0 7 * *", "4 fields"), ("0 0 0 7 * * *", "7 fields"), ("61 * * * *", "the minute"),
        ("x * * * *", "the minute"), ("0 24 * * *", "the hour"), ("0 0 30 2 *", "the day of month"),
        ("0 0 31 4,6,9,11 *", "days that its months have"), ("0 0 0 * *", "the day of month"),
        ("0 0 * 13 *", "the month"),
        ("0 0 * * sat-mon", "sat,sun"), ("0 0 * * 8", "the day of week"),
        ("@never", "@daily"), ("*/0 * * * *", "the minute"),
        ("0 " * 300, "200"), ("٣ * * * *", "the minute"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_work_is_explained(line: str, said: str) -> None:
    with pytest.raises(CronError, match=said):
        parse_cron(line)


@given(st.text(st.sampled_from("0123456789*/-,#LWmonjaf @\t²"), max_size=30))
def test_any_text_is_read_or_explained(text: str) -> None:
    try:
        parse_cron(text)
    except CronError:
        return
    Cron(text, ZoneInfo("Europe/Berlin")).after(datetime(2026, 1, 1, tzinfo=UTC))


def test_a_line_that_never_fits_has_no_tick() -> None:
    rare = Cron("0 0 * 2 sun#5", ZoneInfo("UTC"))  # a 29th of February that is a Sunday
    assert rare.after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2032, 2, 29, tzinfo=UTC)
    assert Cron("0 0 1 1 *", ZoneInfo("UTC")).after(datetime(9998, 6, 1, tzinfo=UTC)) is not None
    assert Cron("0 0 1 1 *", ZoneInfo("UTC")).after(datetime(9999, 6, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("europe/berlin", "Europe/Berlin"), ("Berlin", "Europe/Berlin"), ("Europa/Berlin", "Europe/Berlin"),
        ("New York", "America/New_York"), ("../../etc/passwd", "IANA name"),
        ("", "IANA name"), ("Europe", "Did you mean"),
    ],
)  # fmt: skip
def test_an_unknown_zone_is_explained(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        zone(name)


def test_all_zones_can_be_used() -> None:
    assert {zone(name).key for name in zone_names()} == zone_names()


@given(st.integers(1, 100_000), MOMENTS, MOMENTS)
def test_intervals_count_from_their_anchor(every: int, anchor: datetime, moment: datetime) -> None:
    tick = Interval(timedelta(seconds=every), anchor).after(moment)
    assert tick is not None
    assert tick > moment or tick == anchor > moment
    assert (tick - anchor) % timedelta(seconds=every) == timedelta()
    assert tick == anchor or tick - timedelta(seconds=every) <= moment


@given(LINES, st.sampled_from(ZONES), MOMENTS, MOMENTS, MOMENTS)
def test_no_tick_is_outside_of_start_and_end(
    line: str, name: str, after: datetime, start: datetime, end: datetime
) -> None:
    for ticks in (Cron(line, ZoneInfo(name)), Interval(timedelta(hours=5), start), Once(start)):
        for tick in islice(Timetable(ticks, start, end).ticks(after), 5):
            assert max(start, after) <= tick <= end
            assert tick > after


def test_start_and_end_count_themselves() -> None:
    start, end = datetime(2026, 1, 1, 7, tzinfo=UTC), datetime(2026, 1, 3, 7, tzinfo=UTC)
    table = Timetable(Cron("0 7 * * *", ZoneInfo("UTC")), start, end)
    assert [tick.day for tick in table.ticks(datetime(2025, 1, 1, tzinfo=UTC))] == [1, 2, 3]


@given(st.text(min_size=1), MOMENTS, st.integers(0, 3_600))
def test_jitter_is_the_same_for_all_and_within_its_bound(schedule_id: str, tick: datetime, seconds: int) -> None:
    drawn = jitter_of(schedule_id, tick, seconds)
    assert drawn == jitter_of(schedule_id, tick, seconds)
    assert timedelta() <= drawn < timedelta(seconds=seconds) or drawn == timedelta()


def test_jitter_is_drawn_anew_for_each_tick_and_schedule() -> None:
    day = datetime(2026, 1, 1, tzinfo=UTC)
    drawn = {jitter_of(name, day + timedelta(days=number), 600) for name in "ab" for number in range(50)}
    assert len(drawn) > 90

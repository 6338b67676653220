"""When a schedule ticks: cron lines, intervals and single times, on the clocks of their time zones.

A cron line is matched on the wall clock, by cronsim, which knows calendars and no zones here; what the wall clock means
is said below, since cronsim's own rule leaves lines with seconds and those like ``*/30 2 * * *`` without a run on the
day on which the clocks go forward, and does not know changes of half an hour.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

#: Short words for what is often wanted, as cron itself knows them.
ALIASES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
LONGEST_CRON = 200
#: Ticks later than this are not looked for; zones and calendars end there.
LAST = datetime(9000, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_EVERY_HOUR = set(range(24))


class CronError(ValueError):
    """A cron line that cannot work; its text says why, and what to write."""


def parse_cron(line: str) -> CronSim:
    """Read a cron line: five fields, or six with the seconds first, or a word such as ``@daily``.

    Args:
        line: The line.

    Raises:
        CronError: It cannot work.
    """
    if len(line) > LONGEST_CRON:
        raise CronError(f"it has {len(line)} characters; a cron line can have {LONGEST_CRON}")
    text = ALIASES.get(line.strip().lower(), line)
    if text.startswith("@"):
        raise CronError(f"'{line}' is no word of cron's. They are: {', '.join(ALIASES)}")
    parts = text.split()
    if len(parts) not in (5, 6):
        raise CronError(
            f"it has {len(parts)} fields. Write minute, hour, day of month, month and day of week, as in "
            "'0 7 * * mon-fri', with the second before them if it matters"
        )
    try:
        return CronSim(text, datetime(2000, 1, 1))  # noqa: DTZ001 - the wall clock has no zone
    except CronSimError as error:
        raise CronError(_remedy(str(error))) from None


def _remedy(said: str) -> str:
    """Say what a field may hold, where cronsim says which one is bad."""
    name = said.removeprefix("Bad ").replace("-", " ")
    allowed = {
        "second": "0 to 59", "minute": "0 to 59", "hour": "0 to 23",
        "day of month": "1 to 31, L for the last day or LW for the last weekday, and days that its months have",
        "month": "1 to 12 or jan to dec",
        "day of week": "0 to 7 (0 and 7 are Sunday) or sun to sat, a range going forward (sat,sun and not sat-sun), "
        "mon#1 for the first Monday, or 5L for the last Friday",
    }.get(name, "what cron knows")  # fmt: skip
    return f"the {name} cannot work; it can be {allowed}, with '*', ',', '-' and '/'"


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all time zones."""
    return frozenset(available_timezones())


def zone(name: str) -> ZoneInfo:
    """Return a time zone.

    Args:
        name: Its IANA name, such as ``Europe/Berlin``.

    Raises:
        ValueError: There is none of that name; the message names the closest.
    """
    if name in zone_names():
        return ZoneInfo(name)
    wanted = name.strip().lower().replace(" ", "_")
    known = {one.lower(): one for one in sorted(zone_names())}
    known.update({one.rpartition("/")[2].lower(): one for one in sorted(zone_names()) if "/" in one})
    close = difflib.get_close_matches(wanted, known, n=1)
    hint = f"Did you mean '{known[close[0]]}'?" if close else "Use an IANA name, such as 'Europe/Berlin' or 'UTC'."
    raise ValueError(f"there is no time zone '{name[:64]}'. {hint}")


class Clock:
    """The wall clock of a time zone: what it shows at a moment, and when it is changed.

    Args:
        tz: The zone.
    """

    def __init__(self, tz: ZoneInfo) -> None:
        self.tz = tz

    def shows(self, moment: datetime) -> datetime:
        """Return what the clock shows at a moment, without a zone."""
        return moment.astimezone(self.tz).replace(tzinfo=None, fold=0)

    def offset(self, moment: datetime) -> timedelta:
        """Return how far the clock is ahead of UTC at a moment."""
        return moment.astimezone(self.tz).utcoffset() or timedelta()

    def first_change(self, after: datetime, until: datetime) -> datetime | None:
        """Return the first moment in a span from which the clock is ahead by another amount; None where there is none.

        Two changes within one day that make up for each other would be missed; no zone has such.

        Args:
            after: The span's beginning, which is not in it.
            until: Its end, which is.
        """
        was = self.offset(after)
        low, high = after, min(after + _DAY, until)
        while self.offset(high) == was:
            if high >= until:
                return None
            low, high = high, min(high + _DAY, until)
        # Changes are made on whole seconds.
        low, high = (
            low.replace(microsecond=0),
            high.replace(microsecond=0) + (_SECOND if high.microsecond else timedelta()),
        )
        while high - low > _SECOND:
            middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
            low, high = (middle, high) if self.offset(middle) == was else (low, middle)
        return high

    def moment(self, wall: datetime) -> datetime:
        """Return when the clock shows a time: the first of two moments, or, of none, the one at which it jumps over it.

        Args:
            wall: The time, without a zone.
        """
        early = wall.replace(tzinfo=self.tz, fold=0).astimezone(UTC)
        if self.shows(early) == wall:
            return early
        late = wall.replace(tzinfo=self.tz, fold=1).astimezone(UTC)
        first, last = min(early, late), max(early, late)
        return self.first_change(first - _SECOND, last) or last


class Cron:
    """When a cron line ticks in a zone.

    A line that names hours follows the wall clock: what falls into an hour that the clock jumps over runs once, at the
    jump, and what falls into an hour that it shows twice runs once, in the first. A line that runs in every hour of the
    day follows the time that passes, and so runs in each of the two.

    Args:
        line: The cron line.
        tz: The zone.
    """

    def __init__(self, line: str, tz: ZoneInfo) -> None:
        self._calendar = parse_cron(line)
        self._clock = Clock(tz)
        self._hourly = set(self._calendar.hours) == _EVERY_HOUR

    def after(self, moment: datetime) -> datetime | None:
        """Return the first tick after a moment, in UTC; None where there is none within 50 years."""
        return self._by_time(moment) if self._hourly else self._by_wall(moment)

    def words(self) -> str:
        """Say the line in words."""
        return self._calendar.explain()

    def _match(self, wall: datetime) -> datetime | None:
        """Return the first match after a time of the wall clock."""
        self._calendar.dt = wall.replace(microsecond=0)
        try:
            return next(self._calendar)
        except (StopIteration, OverflowError):
            return None

    def _by_wall(self, moment: datetime) -> datetime | None:
        wall: datetime | None = self._clock.shows(moment)
        while wall is not None:
            wall = self._match(wall)
            if wall is not None and (tick := self._clock.moment(wall)) > moment:
                return tick
        return None

    def _by_time(self, moment: datetime) -> datetime | None:
        begin = moment
        while True:
            offset = self._clock.offset(begin)
            wall = self._match(self._clock.shows(begin))
            if wall is None:
                return None
            tick = (wall - offset).replace(tzinfo=UTC)
            change = self._clock.first_change(begin, tick)
            if change is None:
                return tick
            # The clock is changed before: what it shows from there on counts, that moment included.
            changed = self._match(self._clock.shows(change) - _SECOND)
            if changed == self._clock.shows(change):
                return change
            begin = change


class Interval:
    """Ticks at equal distances.

    Args:
        every: The distance.
        anchor: One of the ticks.
    """

    def __init__(self, every: timedelta, anchor: datetime) -> None:
        self._every = every
        self._anchor = anchor

    def after(self, moment: datetime) -> datetime | None:
        """Return the first tick after a moment."""
        if moment < self._anchor:
            return self._anchor
        return self._anchor + ((moment - self._anchor) // self._every + 1) * self._every


class Once:
    """A single tick.

    Args:
        at: When.
    """

    def __init__(self, at: datetime) -> None:
        self._at = at

    def after(self, moment: datetime) -> datetime | None:
        """Return the tick, if it is after a moment."""
        return self._at if self._at > moment else None


class Timetable:
    """When a schedule ticks, from its start to its end.

    Args:
        ticks: A cron line's, an interval's or a single time's.
        start: No tick is before; None is without a bound.
        end: No tick is after; None is without a bound.
    """

    def __init__(self, ticks: Cron | Interval | Once, start: datetime | None, end: datetime | None) -> None:
        self._ticks = ticks
        self._start = start
        self._end = min(end, LAST) if end is not None else LAST

    def after(self, moment: datetime) -> datetime | None:
        """Return the first tick after a moment, in UTC; None where there is no more."""
        if self._start is not None:
            moment = max(moment, self._start - timedelta(microseconds=1))
        tick = self._ticks.after(moment.astimezone(UTC)) if moment < self._end else None
        return tick if tick is not None and tick <= self._end else None

    def ticks(self, moment: datetime) -> Iterator[datetime]:
        """Yield all ticks after a moment."""
        tick = self.after(moment)
        while tick is not None:
            yield tick
            tick = self.after(tick)

    def shortest_gap(self, moment: datetime, count: int = 100) -> timedelta | None:
        """Return the shortest time between two of the next ticks; None where there is one or none.

        Args:
            moment: After which to look.
            count: Ticks to look at.
        """
        some = list(islice(self.ticks(moment), count))
        return min((later - earlier for earlier, later in pairwise(some)), default=None)


def jitter_of(schedule_id: str, tick: datetime, seconds: int) -> timedelta:
    """Return how much later than its tick a run begins: the same for whoever asks, so that keepers agree.

    Args:
        schedule_id: The schedule.
        tick: The tick.
        seconds: The most it can be.
    """
    if not seconds:
        return timedelta()
    digest = hashlib.sha256(f"{schedule_id} {tick.timestamp():.0f}".encode()).digest()
    return timedelta(milliseconds=int.from_bytes(digest[:8], "big") % (seconds * 1000))

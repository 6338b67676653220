"""A year in five time zones, with two keepers that stop, die and race: each tick is fired once, or counted.

The clock is an argument, and goes from tick to tick. What is to come out is worked out here, from the calendar and from
tables of the changes of the clocks, without the project's own rules.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from backyard import Backyard, Settings
from backyard.core.schedule import parse_spec
from backyard.keeper.schedules import ScheduleDuty
from backyard.ledger.call import Call
from backyard.schedules.plans import new_schedule

BEGIN, END = datetime(2018, 1, 1, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC)
#: When clocks went forward in 2018: at the jump runs what the clock jumped over.
JUMPS = {
    "Europe/Berlin": "2018-03-25T01:00Z", "America/New_York": "2018-03-11T07:00Z",
    "Australia/Lord_Howe": "2018-10-06T15:30Z", "America/Sao_Paulo": "2018-11-04T03:00Z", "Asia/Kathmandu": None,
}  # fmt: skip
#: An hour and a minute that each of them jumps over once, and days on which clocks are changed somewhere.
SKIPPED = {
    "Europe/Berlin": (2, 30), "America/New_York": (2, 15), "Australia/Lord_Howe": (2, 10),
    "America/Sao_Paulo": (0, 30), "Asia/Kathmandu": (2, 30),
}  # fmt: skip
REPEATED = {
    "Europe/Berlin": (2, 20), "America/New_York": (1, 40), "Australia/Lord_Howe": (1, 45),
    "America/Sao_Paulo": (23, 5), "Asia/Kathmandu": (1, 45),
}  # fmt: skip
DAYS = (1, 7, 25, 28)


class KilledError(BaseException):
    """Ends a keeper where it stands."""


def by_the_wall(name: str, hours: Sequence[int], minute: int) -> list[datetime]:
    """Return the moments at which a zone's clock shows one of the hours first, or jumps over it."""
    tz, jump = ZoneInfo(name), JUMPS[name]
    found = set()
    for day in range(-1, 367):
        for hour in hours:
            wall = datetime(2018, 1, 1) + timedelta(days=day, hours=hour, minutes=minute)  # noqa: DTZ001 - the wall clock has no zone
            moment = wall.replace(tzinfo=tz).astimezone(UTC)
            if moment.astimezone(tz).replace(tzinfo=None) != wall:
                assert jump is not None
                moment = datetime.fromisoformat(jump)
            found.add(moment)
    return sorted(moment for moment in found if BEGIN < moment < END)


def by_the_time(name: str, minute: int) -> list[datetime]:
    """Return all moments on some days at which a zone's clock shows a minute, those that come twice included."""
    tz = ZoneInfo(name)
    quarters = (BEGIN + timedelta(minutes=15 * number) for number in range(1, 365 * 96))
    shown = ((moment, moment.astimezone(tz)) for moment in quarters)
    return [moment for moment, local in shown if local.minute == minute and local.day in DAYS]


@dataclass
class Case:
    """A schedule, and what is to become of its ticks."""

    fields: dict[str, Any]
    ticks: list[datetime]
    fired: list[datetime] = field(default_factory=list)
    missed: int = 0
    skipped: int = 0


Span = tuple[datetime, datetime]


def within(ticks: Sequence[datetime], span: Span) -> list[datetime]:
    return [tick for tick in ticks if span[0] <= tick < span[1]]


def foretell(case: Case, outages: list[Span], busy: list[Span]) -> None:
    """Work out what is to become of a schedule's ticks."""
    catch_up, overlap = case.fields["catch_up"], case.fields["overlap"]
    window = timedelta(seconds=case.fields.get("catch_up_window", 3_600))
    gone = set()
    for span in outages:
        late = within(case.ticks, span)
        on_time = [tick for tick in late if span[1] - tick <= timedelta(seconds=30)]
        caught = [tick for tick in late if span[1] - tick <= window]
        kept = {"none": on_time, "latest": on_time or caught[-1:], "all": caught}[catch_up]
        case.missed += len(late) - len(kept)
        runs = {"skip": kept[:1], "cancel_previous": kept[-1:]}.get(overlap, kept)
        case.skipped += len(kept) - len(runs)
        gone |= {*late} - {*runs}
    for span in busy if overlap == "skip" else []:
        dropped = within(case.ticks, span)[1:]
        case.skipped += len(dropped)
        gone |= {*dropped}
    case.fired = [tick for tick in case.ticks if tick not in gone]


def all_cases() -> dict[str, Case]:
    """Return the schedules of the year."""
    made: dict[str, Case] = {}
    policies = [("all", 10 * 86_400), ("latest", 3_600), ("none", 3_600), ("latest", 86_400), ("all", 7_200)]
    for (name, (hour, minute)), (catch_up, window) in zip(SKIPPED.items(), policies, strict=True):
        short = name.rpartition("/")[2]
        common = {"tz": name, "catch_up": catch_up, "catch_up_window": window, "overlap": "allow"}
        made[f"skipped-{short}"] = Case({**common, "cron": f"{minute} {hour} * * *"}, by_the_wall(name, [hour], minute))
        twice, past = REPEATED[name]
        made[f"repeated-{short}"] = Case(
            {**common, "cron": f"0 {past} {twice} * * *"}, by_the_wall(name, [twice], past)
        )
    for name, minute in (("Europe/Berlin", 30), ("Australia/Lord_Howe", 45)):
        line = f"{minute} * {','.join(map(str, DAYS))} * *"
        fields = {"tz": name, "catch_up": "all", "catch_up_window": 7_200, "overlap": "allow", "cron": line}
        made[f"hourly-{name.rpartition('/')[2]}"] = Case(fields, by_the_time(name, minute))
    for name, overlap in zip(JUMPS, ("skip", "queue", "cancel_previous"), strict=False):
        fields = {"cron": "7 6,18 * * *", "tz": name, "catch_up": "all", "catch_up_window": 10 * 86_400}
        made[overlap] = Case({**fields, "overlap": overlap}, by_the_wall(name, (6, 18), 7))
    return made


def report() -> None:
    """Do what the schedules of this test are for."""


class Year:
    """The year, its keepers, and what befalls them.

    Args:
        environment: Names the yard and its server.
        seed: Makes the outages, and says who steps, races and dies.
    """

    def __init__(self, environment: dict[str, str], seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - the same for each run
        self.now = BEGIN
        self.yards = [self._yard(environment) for _ in range(2)]
        self.keepers = [ScheduleDuty(yard, self.clock) for yard in self.yards]
        # No tick is on an odd second, so that it is clear which ticks an outage hits.
        lengths = [timedelta(seconds=one) for one in (21, 613, 5_413, 15_017, 90_011, 259_211)]
        self.outages = [self._span(month, length) for month, length in zip(range(1, 12, 2), lengths, strict=True)]
        self.busy = [self._span(month, timedelta(hours=80, seconds=7)) for month in range(2, 13, 2)]
        self.killed = 0

    def _span(self, month: int, length: timedelta) -> Span:
        begin = datetime(2018, month, 2, tzinfo=UTC) + timedelta(seconds=self.random.randrange(20 * 86_400))
        begin = begin.replace(second=31)
        return begin, begin + length

    def _yard(self, environment: dict[str, str]) -> Backyard:
        yard = Backyard(
            environment["TEST_YARD"], settings=Settings(redis_url=environment["BACKYARD_REDIS_URL"], redis_timeout=30)
        )
        yard.task(report)
        return yard

    def clock(self) -> float:
        return self.now.timestamp()

    def make(self, schedule_id: str, fields: dict[str, Any]) -> None:
        kept = new_schedule(schedule_id, parse_spec({"name": "report", **fields}), BEGIN)
        ledger = self.yards[0].ledger
        save = ledger.calls.save_schedule(schedule_id, "", kept.spec, kept.state, kept.state.next)
        assert ledger.run(save) == "saved"

    def step(self, pool: ThreadPoolExecutor) -> None:
        """Let one keeper step, or the other, or both at once, or let one die over it and the other go on."""
        what = self.random.choice(("first", "second", "both", "both", "dies"))
        if what == "both":
            list(pool.map(ScheduleDuty.step, self.keepers))
        elif what == "dies":
            victim, other = self.random.sample((0, 1), 2)
            self._kill(victim)
            self.keepers[other].step()
        else:
            self.keepers[what == "second"].step()

    def _kill(self, number: int) -> None:
        """Let a keeper die at one of its calls, before it is sent or when it was done, and start it anew."""
        yard = self.yards[number]
        run, left, done = yard.ledger.run, self.random.randrange(4), self.random.random() < 0.5

        def dying(call: Call[Any]) -> Any:
            nonlocal left
            left -= 1
            if left < 0 and not done:
                raise KilledError
            answer = run(call)
            if left < 0:
                raise KilledError
            return answer

        yard.ledger.run = dying  # type: ignore[method-assign]  # the process dies there
        try:
            self.keepers[number].step()
        except KilledError:
            self.killed += 1
        finally:
            yard.ledger.run = run  # type: ignore[method-assign]
            self.keepers[number] = ScheduleDuty(yard, self.clock)

    def go_through(self) -> None:
        """Live through the year, from look to look; with no work done where the workers are busy."""
        ledger = self.yards[0].ledger
        zset = f"{ledger.keys.prefix}schedules"
        edges = sorted(end for _, end in self.busy)
        with ThreadPoolExecutor(2) as pool:
            while self.now < END:
                self.step(pool)
                if not self._is_busy():
                    self._finish_work()
                rows: Any = ledger.client.zrange(zset, 0, 1, withscores=True)
                # What waits for the end of its task looks each second; nothing happens there while workers are busy.
                first = rows[1] if self._is_busy() and rows[0][0] == b"queue" else rows[0]
                upcoming = max(datetime.fromtimestamp(first[1] / 1000, UTC), self.now + timedelta(seconds=1))
                if edges and edges[0] <= upcoming:
                    upcoming = edges.pop(0)
                over = [end for begin, end in self.outages if begin <= upcoming < end]
                self.now = over[0] if over else upcoming

    def _is_busy(self) -> bool:
        return any(begin <= self.now < end for begin, end in self.busy)

    def _finish_work(self) -> None:
        ledger = self.yards[0].ledger
        pipe = ledger.client.pipeline()
        for name in ("skip", "queue", "cancel_previous"):
            pipe.hget(f"{ledger.keys.prefix}schedule:{name}", "last_task")
        latest = [task_id.decode() for task_id in pipe.execute() if task_id]
        ledger.cancel(latest)

    def close(self) -> None:
        for yard in self.yards:
            yard.ledger.close()


@pytest.fixture
def year(environment: dict[str, str]) -> Iterator[Year]:
    """A year of a new yard."""
    year = Year(environment, seed=1)
    yield year
    with suppress(Exception):
        year.close()


def test_a_year_of_ticks(year: Year) -> None:
    expected = all_cases()
    for schedule_id, case in expected.items():
        year.make(schedule_id, case.fields)
        foretell(case, year.outages, year.busy)
    year.go_through()
    assert year.killed > 50
    ledger = year.yards[0].ledger
    members: Any = ledger.client.zrange(f"{ledger.keys.prefix}tasks", 0, -1)
    made: dict[str, list[str]] = {schedule_id: [] for schedule_id in expected}
    for member in members:
        schedule_id, _, tick = member.decode().rpartition(".")
        made[schedule_id].append(tick)
    assert sum(map(len, made.values())) == len(set(members)) > 7_000
    for view in year.yards[0].schedules_sync():
        case = expected[view.schedule_id]
        assert sorted(made[view.schedule_id]) == [f"{tick:%Y%m%dT%H%M%SZ}" for tick in case.fired], view.schedule_id
        counted = (view.fired, view.missed, view.skipped, view.waiting)
        assert counted == (len(case.fired), case.missed, case.skipped, 0), view.schedule_id
        assert sum(counted) == len(case.ticks)
    assert any(case.missed for case in expected.values())
    assert expected["skip"].skipped > 10 or expected["cancel_previous"].skipped > 5

"""A yard with schedules, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from backyard import Backyard, Settings
from backyard.core.schedule import ScheduleView, parse_spec
from backyard.keeper.schedules import ScheduleDuty
from backyard.ledger.record import Record
from backyard.schedules.plans import new_schedule

DAY = datetime(2026, 5, 4, tzinfo=UTC)


def report(day: date = date(2026, 1, 1), pages: int = 1) -> int:
    """Do what the schedules of these tests are for."""
    return pages + day.day


class Site:
    """A yard with a clock that the test moves, and any number of keepers."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.now = DAY
        self._environment = environment
        self.yard = self.new_yard()

    def new_yard(self, **settings: Any) -> Backyard:
        """Return the yard as another process sees it."""
        yard = Backyard(
            self._environment["TEST_YARD"],
            settings=Settings(redis_url=self._environment["BACKYARD_REDIS_URL"], **settings),
        )
        yard.task(report)
        return yard

    def keeper(self, yard: Backyard | None = None) -> ScheduleDuty:
        return ScheduleDuty(yard or self.yard, self.clock)

    def clock(self) -> float:
        return self.now.timestamp()

    def make(self, schedule_id: str = "s", **fields: Any) -> None:
        """Make a schedule at the time of the test."""
        kept = new_schedule(schedule_id, parse_spec({"name": "report", **fields}), self.now)
        calls = self.yard.ledger.calls
        save = calls.save_schedule(schedule_id, "", kept.spec, kept.state, kept.state.next)
        assert self.yard.ledger.run(save) == "saved"

    def view(self, schedule_id: str = "s") -> ScheduleView:
        return self.yard.schedule_view_sync(schedule_id)

    def tasks(self) -> list[Record]:
        """Return the tasks, in the order of their submission."""
        ledger = self.yard.ledger
        ids = [key.decode() for key in ledger.client.zrange(f"{ledger.keys.prefix}tasks", 0, -1)]  # type: ignore[union-attr]  # redis-py's annotations leave open what is awaited
        return ledger.run(ledger.calls.records(ids))

    def ids(self) -> set[str]:
        return {record.task_id for record in self.tasks()}

    def after(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@contextmanager
def ticking(environment: dict[str, str]) -> Iterator[Site]:
    """Give a new yard."""
    site = Site(environment)
    try:
        yield site
    finally:
        site.yard.ledger.close()

"""The duty that fires schedules: what it does at each tick, and whoever dies over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import Field

from backyard import Backyard, Settings
from backyard.core.errors import LedgerUnavailableError
from backyard.core.schedule import ScheduleSpec, parse_spec
from backyard.keeper.schedules import LONGEST_REST, ScheduleDuty
from backyard.ledger.call import Call
from backyard.schedules.plans import new_schedule
from backyard.submit import Options
from support.ticking import DAY, Site, ticking


class KilledError(BaseException):
    """Ends a keeper where it stands."""


@pytest.fixture
def site(environment: dict[str, str]) -> Iterator[Site]:
    """A new yard."""
    with ticking(environment) as site:
        yield site


def test_a_tick_is_submitted_at_its_time_with_its_id_and_what_it_is_to_have(site: Site) -> None:
    site.make(cron="0 7 * * *", tz="Europe/Berlin", input={"pages": 3}, tags=["daily"], priority="high", queue="slow")
    keeper = site.keeper()
    assert keeper.step() == LONGEST_REST
    site.now = datetime(2026, 5, 4, 4, 59, 59, 750_000, tzinfo=UTC)
    assert keeper.step() == pytest.approx(0.25)
    assert site.tasks() == []
    site.now = datetime(2026, 5, 4, 5, tzinfo=UTC)
    keeper.step()
    (record,) = site.tasks()
    view = record.view()
    assert (view.task_id, view.schedule_id, view.name) == ("s.20260504T050000Z", "s", "report")
    assert view.input == {"day": "2026-01-01", "pages": 3}
    assert (view.tags, view.priority, view.queue) == (["daily"], "high", "slow")
    shown = site.view()
    assert (shown.fired, shown.last_task_id, shown.last_tick) == (1, view.task_id, site.now)
    assert shown.next_tick == datetime(2026, 5, 5, 5, tzinfo=UTC)
    keeper.step()
    assert len(site.tasks()) == 1


def test_it_rests_until_the_next_tick_and_never_long(site: Site) -> None:
    site.make(every=60)
    keeper = site.keeper()
    assert keeper.step() == LONGEST_REST
    site.after(59.5)
    assert keeper.step() == pytest.approx(0.5)


def test_ticks_wait_for_the_end_of_the_task_before_one_at_a_time(site: Site) -> None:
    site.make(every=60, overlap="queue")
    keeper = site.keeper()
    for _ in range(3):
        site.after(60)
        keeper.step()
    assert (len(site.tasks()), site.view().waiting) == (1, 2)
    for number in (2, 3):
        site.yard.cancel_sync(list(site.ids()))
        site.after(1)
        keeper.step()
        site.after(1)
        keeper.step()
        assert (len(site.tasks()), site.view().waiting) == (number, 3 - number)
    assert (site.view().fired, site.view().skipped) == (3, 0)


def test_ticks_are_dropped_while_the_task_before_is_not_final(site: Site) -> None:
    site.make(every=60, overlap="skip")
    keeper = site.keeper()
    for _ in range(3):
        site.after(60)
        keeper.step()
    assert (site.view().fired, site.view().skipped) == (1, 2)


def test_the_task_before_is_cancelled(site: Site) -> None:
    site.make(every=60, overlap="cancel_previous")
    keeper = site.keeper()
    for _ in range(3):
        site.after(60)
        keeper.step()
    assert [record.state for record in site.tasks()] == ["REVOKED", "REVOKED", "PENDING"]


def test_a_pause_drops_ticks_and_a_resume_goes_on(site: Site) -> None:
    # A resume asks the server for the time.
    site.now = datetime.fromtimestamp(int(site.yard.ledger.run(site.yard.ledger.calls.clock())), UTC)
    site.make(every=60)
    keeper = site.keeper()
    assert site.yard.pause_schedule_sync("s", "stocktaking").status == "paused"
    site.after(120)
    keeper.step()
    shown = site.view()
    assert (shown.fired, shown.skipped, shown.missed) == (0, 2, 0)
    assert shown.paused is not None
    assert shown.paused.reason == "stocktaking"
    site.yard.resume_schedule_sync("s")
    site.after(60)
    keeper.step()
    assert site.view().fired == 1


def test_a_keeper_without_the_definition_leaves_the_tick_to_others_for_a_while(site: Site) -> None:
    old = site.new_yard()
    del old.definitions["report"]
    site.make(every=60)
    site.after(60)
    site.keeper(old).step()
    assert site.tasks() == []
    assert "no definition" in site.view().problem
    site.after(5)
    site.keeper().step()
    assert (site.view().fired, site.view().problem) == (1, "")


def test_ticks_that_nobody_can_submit_are_missed_and_the_reason_is_shown(site: Site) -> None:
    site.make(every=60, input={"pages": "many"})
    keeper = site.keeper()
    site.after(60)
    keeper.step()
    assert site.view().missed == 0
    site.after(25)
    keeper.step()
    shown = site.view()
    assert (shown.fired, shown.missed, shown.last_missed) == (0, 1, DAY + timedelta(seconds=60))
    assert "pages" in shown.problem


def test_a_full_queue_puts_a_tick_off(site: Site) -> None:
    site.make(every=3_600)
    small = site.new_yard(max_queued=1)
    other = site.new_yard()
    other.submit_sync(other.definition("report"), b"{}", Options())
    site.after(3_600)
    site.keeper(small).step()
    assert "as many tasks as it may" in site.view().problem
    site.yard.cancel_sync(list(site.ids()))
    site.after(5)
    site.keeper(small).step()
    assert (site.view().fired, site.view().problem) == (1, "")


def test_defaults_are_those_of_the_tick(site: Site) -> None:
    yard = site.new_yard()

    def today() -> date:
        return site.now.date()

    @yard.task
    def dated(day: date = Field(default_factory=today)) -> None: ...

    spec = parse_spec({"name": "dated", "every": 86_400})
    kept = new_schedule("dated", spec, site.now)
    yard.ledger.run(yard.ledger.calls.save_schedule("dated", "", spec, kept.state, kept.state.next))
    for _ in range(2):
        site.after(86_400)
        site.keeper(yard).step()
        yard.cancel_sync(list(site.ids()))
    assert [record.json("input") for record in site.tasks()] == [{"day": "2026-05-05"}, {"day": "2026-05-06"}]


def test_one_schedule_that_cannot_be_looked_at_holds_no_other_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.make("a", every=60)
    site.make("b", every=60)
    site.after(60)
    whole = ScheduleSpec.timetable

    def broken(self: ScheduleSpec, anchor: datetime) -> Any:
        if self.note == "broken":
            raise ZeroDivisionError
        return whole(self, anchor)

    site.yard.update_schedule_sync("a", note="broken")
    monkeypatch.setattr(ScheduleSpec, "timetable", broken)
    site.keeper().step()
    assert site.ids() == {"b.20260504T000100Z"}
    monkeypatch.undo()
    site.keeper().step()
    assert site.ids() == {"a.20260504T000100Z", "b.20260504T000100Z"}


# -- whoever dies ---------------------------------------------------------------------------------------------------


def dying(keeper_yard: Backyard, at: int, *, done: bool) -> Callable[[Call[Any]], Any]:
    """Return a way to the ledger on which the process dies at a call: before it is sent, or when it was done."""
    count = 0
    run = keeper_yard.ledger.run

    def send(call: Call[Any]) -> Any:
        nonlocal count
        count += 1
        if count == at and not done:
            raise KilledError
        answer = run(call)
        if count == at:
            raise KilledError
        return answer

    return send


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel_previous", "allow"])
@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_keeper_that_dies_at_any_call_loses_and_doubles_nothing(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    overlap: str,
    at: int,
    done: bool,  # noqa: FBT001 - a parameter
) -> None:
    for name in ("a", "b"):
        site.make(name, every=60, overlap=overlap)
    second = site.keeper()
    site.after(60)
    second.step()
    site.after(60)
    victim = site.new_yard()
    with monkeypatch.context() as patch:
        patch.setattr(victim.ledger, "run", dying(victim, at, done=done))
        keeper = site.keeper(victim)
        try:
            keeper.step()
        except KilledError:
            died = True
        else:
            died = False
    assert died or at > 4
    second.step()
    second.step()
    fired = {"skip": 1, "queue": 1, "cancel_previous": 2, "allow": 2}[overlap]
    for name in ("a", "b"):
        shown = site.view(name)
        assert shown.fired == fired
        assert shown.skipped == (1 if overlap == "skip" else 0)
        assert shown.waiting == (1 if overlap == "queue" else 0)
        assert shown.missed == 0
        ids = {f"{name}.20260504T000{minute}00Z" for minute in (1, 2)[:fired]}
        assert {task_id for task_id in site.ids() if task_id.startswith(name)} == ids
        assert shown.last_task_id == max(ids)
        states = [record.state for record in site.tasks() if record.task_id.startswith(name)]
        assert states == {"cancel_previous": ["REVOKED", "PENDING"]}.get(overlap, ["PENDING"] * fired)
    victim.ledger.close()


def test_a_keeper_that_stood_still_for_long_fires_nothing_of_what_it_had_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.make(every=60)
    site.after(60)
    frozen = site.new_yard()
    run = frozen.ledger.run
    others = iter((lambda: site.yard.pause_schedule_sync("s"), lambda: site.yard.delete_schedule_sync("s")))

    def thawed(call: Call[Any]) -> Any:
        if call.script is not None and call.script.name == "fire":
            next(others)()
        return run(call)

    monkeypatch.setattr(frozen.ledger, "run", thawed)
    for _ in range(2):
        site.keeper(frozen).step()
    assert site.tasks() == []
    frozen.ledger.close()


def test_a_server_that_is_away_is_waited_for(site: Site) -> None:
    site.make(every=60)
    away = Backyard("x", settings=Settings(redis_url="redis://127.0.0.1:1/0", redis_timeout=0.2))
    with pytest.raises(LedgerUnavailableError):
        ScheduleDuty(away).step()


def test_only_the_servers_clock_decides(site: Site) -> None:
    keeper = ScheduleDuty(site.yard)
    seconds = site.yard.ledger.run(site.yard.ledger.calls.clock())
    site.now = datetime.fromtimestamp(int(seconds) - 60, UTC)
    site.make(every=3_600, start=site.now)
    keeper.step()
    # One second before now is over by the server's clock alone.
    assert site.view().next_tick == site.now + timedelta(hours=1)

"""What programs declare with ``@yard.schedule``: made, changed and removed by the keeper, and left alone by people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from backyard import Backyard, Settings
from backyard.core.errors import DefinitionError
from backyard.core.schedule import parse_spec
from backyard.keeper.schedules import ScheduleDuty
from support.ticking import DAY, Site, report, ticking


@pytest.fixture
def site(environment: dict[str, str]) -> Iterator[Site]:
    """A new yard."""
    with ticking(environment) as site:
        yield site


def declaring(site: Site, **schedules: dict[str, Any]) -> Backyard:
    """Return a yard whose program declares schedules."""
    yard = site.new_yard()
    task = yard.task(report)
    for schedule_id, options in schedules.items():
        yard.schedule(options.pop("cron", None), schedule_id=schedule_id, **options)(task)
    return yard


def test_declared_schedules_are_made_changed_and_removed(site: Site) -> None:
    site.make("person", every=60)
    first = declaring(site, a={"cron": "0 7 * * *"}, b={"every": 3_600})
    site.keeper(first).step()
    assert [(one.schedule_id, one.source) for one in site.yard.schedules_sync()] == [
        ("a", "code"), ("b", "code"), ("person", "api"),
    ]  # fmt: skip
    assert site.view("a").next_tick == datetime(2026, 5, 4, 7, tzinfo=UTC)
    site.yard.pause_schedule_sync("a", "for now")
    site.now = datetime(2026, 5, 4, 7, tzinfo=UTC)
    site.keeper(first).step()
    assert site.view("a").skipped == 1
    second = declaring(site, a={"cron": "0 9 * * *", "input": {"pages": 2}})
    site.keeper(second).step()
    assert [one.schedule_id for one in site.yard.schedules_sync()] == ["a", "person"]
    shown = site.view("a")
    assert (shown.cron, shown.input, shown.status, shown.skipped) == ("0 9 * * *", {"pages": 2}, "paused", 1)
    assert shown.date_created == DAY


def test_declared_schedules_that_are_as_they_were_are_not_touched(site: Site) -> None:
    yard = declaring(site, a={"cron": "0 7 * * *", "tags": ("x",), "start": DAY})
    site.keeper(yard).step()
    before = yard.ledger.run(yard.ledger.calls.schedule("a"))
    report = declaring(site, a={"cron": "0 7 * * *", "tags": ("x",), "start": DAY}).sync_schedules_sync(site.now)
    assert (report.made, report.changed, report.removed, report.taken) == ([], [], [], [])
    assert yard.ledger.run(yard.ledger.calls.schedule("a")) == before


def test_a_declared_schedule_does_not_take_the_place_of_a_persons(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.make("a", every=60)
    site.keeper(declaring(site, a={"every": 120})).step()
    assert (site.view("a").source, site.view("a").every) == ("api", 60)
    assert "declare this one under another id" in caplog.text


def test_a_single_time_that_is_over_stays_declared(site: Site) -> None:
    site.keeper(declaring(site, a={"at": DAY - timedelta(days=1)})).step()
    assert (site.view("a").status, site.view("a").fired) == ("finished", 0)


def test_keepers_of_one_program_agree(site: Site) -> None:
    yards = [declaring(site, a={"every": 60}) for _ in range(2)]
    keepers = [site.keeper(yard) for yard in yards]
    for _ in range(3):
        for keeper in keepers:
            keeper.step()
        site.after(60)
        site.yard.cancel_sync(list(site.ids()))
    assert site.view("a").fired == 2


def test_ids_follow_the_definitions_name(new_yard: Backyard) -> None:
    task = new_yard.task(report)
    assert new_yard.schedule("@daily")(task) is task
    new_yard.schedule("0 7 * * mon-fri", tz="Europe/Berlin", input={"day": DAY.date()})(task)
    new_yard.schedule(every=timedelta(minutes=5), schedule_id="often")(task)
    assert list(new_yard.declared_schedules) == ["report", "report-2", "often"]
    assert new_yard.declared_schedules["report-2"].input == {"day": "2026-05-04"}
    assert new_yard.declared_schedules["often"].every == 300


@pytest.mark.parametrize(
    ("cron", "options", "said"),
    [
        ("0 7 * *", {}, "4 fields"), ("0 0 30 2 *", {}, "months have"), ("@daily", {"tz": "Berlin"}, "Europe/Berlin"),
        (None, {}, "none is given"), ("@daily", {"every": 5}, "there are cron and every"),
        (None, {"every": 0.5}, "integer"),
        ("@daily", {"input": {"page": 1}}, "page"), ("@daily", {"input": {"pages": "many"}}, "valid integer"),
        ("@daily", {"overlap": "never"}, "'skip'"), ("@daily", {"colour": 1}, "colour"),
        ("@daily", {"schedule_id": "a b"}, "up to 100 letters"), ("@daily", {"schedule_id": "taken"}, "another id"),
        (None, {"at": DAY.replace(tzinfo=None)}, "no time zone"),
        ("@daily", {"end": DAY, "start": DAY + timedelta(1)}, "end"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_at_the_declaration(
    new_yard: Backyard, cron: str | None, options: dict[str, Any], said: str
) -> None:
    task = new_yard.task(report)
    new_yard.schedule("@daily", schedule_id="taken")(task)
    with pytest.raises(DefinitionError, match=said):
        new_yard.schedule(cron, **options)(task)
    assert list(new_yard.declared_schedules) == ["taken"]


def test_a_plain_function_has_no_schedule(new_yard: Backyard) -> None:
    with pytest.raises(DefinitionError, match=r"above @yard\.task"):
        new_yard.schedule("@daily")(report)  # type: ignore[arg-type]  # on purpose


def test_secrets_of_an_input_are_sealed_in_the_ledger_and_open_at_the_tick(environment: dict[str, str]) -> None:
    key = Settings(redis_url=environment["BACKYARD_REDIS_URL"], secret_keys="k" * 40)
    yard = Backyard(environment["TEST_YARD"], settings=key)

    @yard.task
    def pay(token: SecretStr, amount: int = 1) -> None: ...

    yard.schedule(every=60, input={"token": SecretStr("declared-secret")})(pay)
    seconds = iter((DAY.timestamp(), DAY.timestamp() + 60))
    keeper = ScheduleDuty(yard, lambda: next(seconds))
    keeper.step()
    made = yard.create_schedule_sync(parse_spec({"name": "pay", "every": 60, "input": {"token": "a-persons-secret"}}))
    assert made.input == {"token": "**********"}
    changed = yard.update_schedule_sync(made.schedule_id, input={"token": "**********", "amount": 2})
    assert changed.input == {"token": "**********", "amount": 2}
    client: Any = yard.ledger.client
    kept = b"".join(value for key in client.keys("*schedule:*") for value in client.hgetall(key).values())
    assert b"sealed:1:" in kept
    assert b"-secret" not in kept
    keeper.step()
    run = yard.run_schedule_now_sync(made.schedule_id)
    opened = {str(yard.ledger.record(one).text("input")) for one in ("pay.20260504T000100Z", run.task_id)}
    tokens = {pay.definition.parse(text).token.get_secret_value() for text in opened}  # type: ignore[attr-defined]
    assert tokens == {"declared-secret", "a-persons-secret"}
    yard.ledger.close()

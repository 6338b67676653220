"""The pages of schedules: made by a form, foretold in words, changed, held back, run, deleted."""

from __future__ import annotations

import html
import html.parser
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from backyard import Backyard, Settings
from backyard.console.schedule_form import DEFAULTS, changes, errors_of, foresee, meant, shown, typed, zones
from backyard.core.errors import InvalidInputError
from backyard.core.schedule import ScheduleView, parse_spec, view_of
from backyard.schedules.plans import new_schedule
from support.web import until

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAILY = {"name": "add", "cron": "0 7 * * mon-fri", "tz": "Europe/Berlin", "input": {"a": 1}}


def at(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    """Return a time of the year 2026."""
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def view_with(**fields: Any) -> ScheduleView:
    """Return a schedule as people see it."""
    kept = new_schedule("s", parse_spec({"name": "add", **fields}), NOW)
    return view_of("s", kept.spec, kept.state, kept.spec.input)


def wrong(values: dict[str, str]) -> dict[str, list[str]]:
    with pytest.raises(InvalidInputError) as caught:
        meant(values)
    return errors_of(caught.value)


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"when": "every", "every": "90", "every_unit": "minutes"}, {"every": 5400}),
        ({"when": "at", "at": "2026-07-01T09:30", "tz": "Europe/Berlin"}, {"at": at(7, 1, 7, 30)}),
        ({"when": "at", "at": "2026-03-29T02:30", "tz": "Europe/Berlin"}, {"at": at(3, 29, 1)}),
        ({"when": "at", "at": "2026-07-01T09:30Z", "tz": "Asia/Tokyo"}, {"at": at(7, 1, 9, 30)}),
        ({"cron": " @daily ", "tags": " vip, mail,,"}, {"cron": "@daily", "tags": ["vip", "mail"]}),
        ({"queue": " slow ", "expires": "60"}, {"queue": "slow", "expires": "60", "priority": None}),
        ({"jitter": "", "end": "2027-01-01T00:00"}, {"end": datetime(2027, 1, 1, tzinfo=UTC), "queue": None}),
        ({"when": "never"}, {"cron": DEFAULTS["cron"]}),
    ],
)  # fmt: skip
def test_what_is_typed_is_read(given: dict[str, str], fields: dict[str, Any]) -> None:
    read = meant(typed({"name": "add", **given}))

    assert {name: read[name] for name in fields} == fields
    assert sum(read.get(kind) is not None for kind in ("cron", "every", "at")) == 1
    parse_spec(read)


def test_all_that_cannot_be_read_is_said_at_once() -> None:
    found = wrong(typed({"when": "every", "every": "0.5", "start": "tomorrow"}))

    assert set(found) == {"name", "every", "start"}
    assert set(wrong(typed({"name": "add", "when": "at"}))) == {"at"}
    assert set(wrong(typed({"name": "add", "cron": " "}))) == {"cron"}


@pytest.mark.parametrize(
    "fields",
    [
        {"cron": "0 7 * * *", "tz": "Asia/Tokyo", "tags": ["a", "b"], "note": "x", "jitter": 5, "priority": "low"},
        {"every": 7200, "start": "2026-05-01T10:00:05Z", "queue": "slow", "expires": 9, "overlap": "queue"},
        {"every": 61, "catch_up": "all", "catch_up_window": 7},
        {"at": "2026-10-25T00:30:00Z", "tz": "Europe/Berlin"},
    ],
)
def test_a_form_that_nobody_touched_changes_nothing(fields: dict[str, Any]) -> None:
    view = view_with(**fields)

    assert changes(view, shown(view)) == {}
    assert parse_spec({**meant(shown(view)), "input": view.input}) == parse_spec({"name": "add", **fields})


def test_only_what_was_changed_is_sent() -> None:
    view = view_with(cron="0 7 * * *", queue="slow", tags=["a"])
    values = {**shown(view), "when": "every", "every": "2", "every_unit": "days", "queue": "", "tags": "a"}

    assert changes(view, values) == {"every": 172_800, "queue": None}


def test_what_would_tick_is_foretold_and_what_cannot_is_explained() -> None:
    found, unclear = foresee(typed({"cron": "30 6 * * mon", "tz": "Europe/Berlin"}), None, NOW)
    assert found is not None
    assert (found.description, unclear) == ("At 06:30 on Monday (Europe/Berlin)", {})
    assert [tick.at.isoformat() for tick in found.ticks[:2]] == [
        "2026-03-02T05:30:00+00:00",
        "2026-03-09T05:30:00+00:00",
    ]
    # On the last Sunday of March the clocks go forward.
    assert found.ticks[4].at.isoformat() == "2026-03-30T04:30:00+00:00"

    for given, field in (
        ({"cron": "0 7 * *"}, "cron"), ({"tz": "Europe/Berlni"}, "tz"), ({"jitter": "99999999"}, "jitter"),
        ({"when": "at", "at": "2020-01-01T00:00"}, "at"), ({"end": "2020-01-01T00:00"}, "end"),
    ):  # fmt: skip
        nothing, said = foresee(typed(given), None, NOW)
        assert nothing is None
        assert list(said) == [field]


def test_the_zones_on_offer_are_those_of_places() -> None:
    assert zones(["UTC", "Europe/Berlin", "Etc/GMT+5", "EST", "posix/Europe/Rome"]) == ["Europe/Berlin", "UTC"]


# -- over HTTP --------------------------------------------------------------------------------------------------------


@pytest.fixture
def schedule_id(client: httpx2.Client) -> Iterator[str]:
    """A schedule that the test may do anything to."""
    chosen = f"s{uuid.uuid4().hex[:10]}"
    answer = client.post("/schedules", json={**DAILY, "schedule_id": chosen})
    assert answer.status_code == 201, answer.text
    yield chosen
    client.delete(f"/schedules/{chosen}")


@pytest.fixture
def declared(stack_environment: dict[str, str]) -> Iterator[str]:
    """A schedule that a program declares."""
    url, name = stack_environment["BACKYARD_REDIS_URL"], stack_environment["TEST_YARD"]
    ledger = Backyard(name, settings=Settings(redis_url=url)).ledger
    chosen = f"c{uuid.uuid4().hex[:10]}"
    kept = new_schedule(chosen, parse_spec(DAILY), datetime.now(UTC), source="code")
    assert ledger.run(ledger.calls.save_schedule(chosen, "", kept.spec, kept.state, kept.state.next)) == "saved"
    yield chosen
    version = ledger.run(ledger.calls.schedule(chosen))
    ledger.run(ledger.calls.drop_schedule(chosen, version.version if version else ""))
    ledger.close()


def form_of(client: httpx2.Client, path: str) -> dict[str, str]:
    """Return what a page's form would send if nobody touched it, as a browser reads it without scripts."""
    return {"drawn": "add", **_fields(client.get(path).text)}


def _fields(text: str) -> dict[str, str]:
    reader = FormReader()
    reader.feed(text.partition('id="schedule-form"')[2])
    return reader.values


class FormReader(html.parser.HTMLParser):
    """Reads the controls of a form."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._select = ""
        self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "input" and name and (given.get("type") not in {"radio", "checkbox", "file"} or "checked" in given):
            self.values[name] = given.get("value") or ""
        elif tag == "select":
            self._select, self.values[name] = name, ""
        elif tag == "option" and self._select and "selected" in given:
            self.values[self._select] = given.get("value") or ""
        elif tag == "textarea":
            self._area, self.values[name] = name, ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area] += data.removeprefix("\n")


def test_a_schedule_is_made_by_a_form_without_scripts(client: httpx2.Client) -> None:
    chosen = f"f{uuid.uuid4().hex[:10]}"
    form = form_of(client, "/console/schedules/new?name=add&cron=0+9+*+*+*") | {"schedule_id": chosen, "tags": "x, y"}

    answer = client.post("/console/schedules/new", data=form)

    assert (answer.status_code, answer.headers["location"]) == (303, f"/console/schedules/{chosen}"), answer.text
    made = client.get(f"/schedules/{chosen}").json()
    assert (made["name"], made["cron"], made["tags"], made["input"]) == (
        "add",
        "0 9 * * *",
        ["x", "y"],
        {"a": 1, "b": 2},
    )
    assert "is made" in client.get(answer.headers["location"]).text
    again = client.post("/console/schedules/new", data=form)
    assert again.status_code == 409
    assert 'id="schedule_id-wrong"' in again.text


def test_a_link_fills_the_form_in(client: httpx2.Client) -> None:
    form = form_of(client, "/console/schedules/new?name=add&input=%7B%22a%22%3A+42%7D&when=every&every=3&note=hello")

    assert (form["name"], form["when"], form["every"], form["note"]) == ("add", "every", "3", "hello")
    assert "42" in form.values()
    assert "Input" not in client.get("/console/schedules/new").text


def test_what_cannot_work_is_said_at_its_field_and_what_was_typed_stays(client: httpx2.Client) -> None:
    form = form_of(client, "/console/schedules/new?name=add")
    bad = form | {
        "cron": "0 7 * *", "tz": "Europe/Berlni", "note": "keep <me>", "queue": "slow", "input~mode": "json",
        "input~text": '{"a": "one"}',
    }  # fmt: skip

    answer = client.post("/console/schedules/new", data=bad)

    assert answer.status_code == 422
    assert 'id="cron-wrong"' in answer.text
    assert "Did you mean &#39;Europe/Berlin&#39;?" in answer.text
    kept = _fields(answer.text)
    assert (kept["cron"], kept["tz"], kept["note"], kept["queue"]) == ("0 7 * *", "Europe/Berlni", "keep <me>", "slow")
    assert kept["input~text"] == '{"a": "one"}'

    answer = client.post("/console/schedules/new", data=bad | {"cron": "0 7 * * *", "tz": "UTC"})
    assert answer.status_code == 422
    assert "valid integer" in answer.text
    assert 'id="cron-wrong"' not in answer.text
    unknown = client.post("/console/schedules/new", data=form | {"name": "nobody", "drawn": "nobody"})
    assert unknown.status_code == 404
    assert "There is no definition" in html.unescape(unknown.text)


def test_another_definition_asks_for_its_own_input(client: httpx2.Client) -> None:
    form = form_of(client, "/console/schedules/new?name=add") | {"name": "wait_for", "note": "kept"}

    answer = client.post("/console/schedules/new", data=form)

    assert answer.status_code == 200
    kept = _fields(answer.text)
    assert (kept["drawn"], kept["note"]) == ("wait_for", "kept")
    assert any(name.endswith("gate") for name in kept)


def test_a_preview_says_it_in_words_and_makes_nothing(client: httpx2.Client) -> None:
    before = len(client.get("/schedules").json())
    form = form_of(client, "/console/schedules/new?name=add") | {"cron": "15 3 * * sun", "note": "typed"}

    whole = client.post("/console/schedules/preview", data=form)
    assert whole.status_code == 200
    assert "At 03:15 on Sunday (UTC)" in whole.text
    assert _fields(whole.text)["note"] == "typed"

    region = {"HX-Request": "true", "HX-Target": "preview"}
    part = client.post("/console/schedules/preview", data=form | {"cron": "15 3 * *"}, headers=region)
    assert part.status_code == 200
    assert "It does not tick like that" in part.text
    assert len(client.get("/schedules").json()) == before


def test_an_edit_changes_what_was_typed_anew(client: httpx2.Client, schedule_id: str) -> None:
    path = f"/console/schedules/{schedule_id}/edit"
    form = form_of(client, path)
    assert client.post(path, data=form).status_code == 303
    before = client.get(f"/schedules/{schedule_id}").json()
    assert before["date_updated"] == before["date_created"] or before["note"] == ""

    answer = client.post(path, data=form | {"note": "For the office", "tz": "Asia/Tokyo"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/console/schedules/{schedule_id}"), answer.text
    after = client.get(f"/schedules/{schedule_id}").json()
    assert (after["note"], after["tz"], after["input"], after["cron"]) == (
        "For the office",
        "Asia/Tokyo",
        {"a": 1},
        DAILY["cron"],
    )
    (line,) = until(lambda: audit_of(client, schedule_id, "update"), "the trail has it")
    assert line["details"] == {"fields": ["note", "tz"]}

    refused = client.post(path, data=form | {"jitter": "86400"})
    assert refused.status_code == 422
    assert 'id="jitter-wrong"' in refused.text


def audit_of(client: httpx2.Client, subject: str, verb: str) -> list[dict[str, Any]]:
    """Return the audit trail's lines of a verb."""
    found = client.get("/audit", params={"subject": subject})
    lines = found.json() if found.status_code == 200 else []
    return [one for one in lines if (one["subject"], one["verb"]) == (subject, verb)]


def test_what_a_program_declares_can_only_be_held_back_and_run(client: httpx2.Client, declared: str) -> None:
    text = client.get(f"/console/schedules/{declared}").text
    assert "A program declares this schedule" in text
    assert f"/schedules/{declared}/edit" not in text
    assert f"/schedules/{declared}/delete" not in text

    path = f"/console/schedules/{declared}/edit"
    refused = client.post(path, data=form_of(client, path) | {"note": "x"})
    assert refused.status_code == 409
    assert "declared by a program" in refused.text
    kept = client.post(f"/console/schedules/{declared}/delete", data={"typed": declared})
    assert kept.headers["location"] == f"/console/schedules/{declared}"
    assert client.get(f"/schedules/{declared}").status_code == 200
    assert client.post(f"/console/schedules/{declared}/pause").status_code == 303
    assert client.get(f"/schedules/{declared}").json()["status"] == "paused"


def test_a_schedule_is_not_deleted_before_its_id_is_typed(client: httpx2.Client, schedule_id: str) -> None:
    answer = client.post(f"/console/schedules/{schedule_id}/delete", data={"typed": "s"})
    assert answer.headers["location"] == f"/console/schedules/{schedule_id}/delete"
    assert client.get(f"/schedules/{schedule_id}").status_code == 200

    answer = client.post(f"/console/schedules/{schedule_id}/delete", data={"typed": schedule_id})
    assert answer.headers["location"] == "/console/schedules"
    assert client.get(f"/console/schedules/{schedule_id}").status_code == 404


@pytest.mark.usefixtures("worker")
def test_a_run_leads_to_its_task_and_is_told_on_the_list(client: httpx2.Client, schedule_id: str) -> None:
    answer = client.post(f"/console/schedules/{schedule_id}/run")
    task = answer.headers["location"].rpartition("/")[2]

    assert client.get(f"/tasks/{task}", params={"wait": 30}).json()["schedule_id"] == schedule_id
    page = f"/console/schedules/{schedule_id}"
    until(lambda: f"/console/tasks/{task}" in client.get(page).text, "the history has it")
    assert f"/console/schedules/{schedule_id}" in client.get("/console/schedules", params={"status": "active"}).text
    assert f"/console/schedules/{schedule_id}" not in client.get("/console/schedules", params={"status": "paused"}).text


# -- as a person does -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("worker")
def test_a_person_makes_a_schedule_and_holds_it_back(
    browser_page: Page, console_url: str, client: httpx2.Client, axe: Callable[[Page], list[str]]
) -> None:
    chosen = f"p{uuid.uuid4().hex[:10]}"
    page = browser_page
    page.goto(f"{console_url}/schedules/new")
    page.get_by_label("Definition").select_option("add")
    expect(page.get_by_role("heading", name="Input")).to_be_visible()
    page.wait_for_load_state()  # what is typed is looked at when the scripts have run
    page.get_by_label("Id", exact=True).fill(chosen)
    page.get_by_label("Cron line", exact=True).fill("30 6 * * mon")
    page.get_by_label("Time zone").fill("Pacific/Chatham")
    expect(page.locator("#preview")).to_contain_text("At 06:30 on Monday (Pacific/Chatham)")
    expect(page.locator("#preview")).to_contain_text("your time")
    page.get_by_label("Cron line", exact=True).fill("30 6 * *")
    expect(page.locator("#preview")).to_contain_text("it has 4 fields")
    assert axe(page) == []
    page.get_by_label("at equal distances").check()
    page.get_by_label("Every").fill("2")
    expect(page.locator("#preview")).to_contain_text("Every 2 h")
    page.get_by_role("button", name="Make the schedule").click()

    expect(page.get_by_role("heading", level=1)).to_have_text(chosen)
    expect(page.get_by_role("status").first).to_contain_text("is made")
    assert axe(page) == []
    page.goto(f"{console_url}/schedules")
    row = page.locator("tbody tr", has_text=chosen)
    expect(row).to_contain_text("Every 2 h")
    row.get_by_role("link", name="Pause").click()
    page.get_by_role("dialog").get_by_label("Reason").fill("The office is closed")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("The office is closed")
    assert axe(page) == []
    page.get_by_role("button", name="Resume", exact=True).first.click()
    expect(row).to_contain_text("Active")
    assert client.get(f"/schedules/{chosen}").json()["status"] == "active"


def test_a_person_deletes_a_schedule_without_scripts(plain_page: Page, console_url: str, schedule_id: str) -> None:
    plain_page.goto(f"{console_url}/schedules/{schedule_id}")
    plain_page.get_by_role("link", name="Edit").click()
    plain_page.get_by_label("Cron line", exact=True).fill("0 8 * * *")
    plain_page.get_by_role("button", name="Preview").click()
    expect(plain_page.locator("#preview")).to_contain_text("At 08:00 every day (Europe/Berlin)")
    plain_page.get_by_role("button", name="Save").click()
    expect(plain_page.get_by_role("status").first).to_contain_text("Changed: cron")

    plain_page.get_by_role("link", name="Delete").click()
    plain_page.get_by_label("Type").fill(schedule_id)
    plain_page.get_by_role("button", name="Delete").click()
    expect(plain_page.get_by_role("status").first).to_contain_text("is deleted")

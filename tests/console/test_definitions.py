from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from playwright.sync_api import Page, expect

from backyard.core.definition import Definition
from support import yard as tested
from support.forms import SentForm
from support.processes import Process
from support.web import final, until


def opened(client: httpx2.Client, name: str, **query: str) -> SentForm:
    answer = client.get(f"/console/definitions/{name}", params=query)
    assert answer.status_code == 200, answer.text
    return SentForm(answer.text)


def send(
    client: httpx2.Client, name: str, page: SentForm, *more: tuple[str, str], files: Any = None
) -> httpx2.Response:
    data: dict[str, list[str]] = {}
    for key, value in [*page.controls, *more]:
        if key.startswith(("input", "options")) or (key, value) in more:
            data.setdefault(key, []).append(value)
    return client.post(f"/console/definitions/{name}", data=data, files=files)


def submitted(client: httpx2.Client, answer: httpx2.Response) -> dict[str, Any]:
    """Return the task that a form led to."""
    assert answer.status_code == 303, answer.text
    assert "backyard_notice" in answer.headers["set-cookie"]
    task_id = answer.headers["location"].rpartition("/")[2]
    task: dict[str, Any] = client.get(f"/tasks/{task_id}").json()
    return task


def test_the_catalogue_lists_and_finds(client: httpx2.Client) -> None:
    everything, some, none = (
        client.get("/console/definitions", params={"q": words}).text for words in ("", "slow PROGRESS", "no such")
    )

    for name in tested.yard.definitions:
        assert f'href="/console/definitions/{name}"' in everything
    assert 'href="/console/definitions/steps"' in some
    assert 'href="/console/definitions/add"' not in some
    assert "None of them fits" in none


def test_the_numbers_of_a_definition(client: httpx2.Client, worker: Process) -> None:  # noqa: ARG001 - it runs the task
    final(client, client.post("/tasks/flaky", json={"failures": 9}).json()["task_id"])

    page = until(lambda: _with(client, "/console/definitions/flaky", "fails on purpose"), "the failure on the page")

    assert "2 further attempts after any error" in page
    assert "ValueError" in page
    until(lambda: 'class="right wrong"' in _row(client, "flaky"), "the failure in the catalogue")


def _row(client: httpx2.Client, name: str) -> str:
    return client.get("/console/definitions", params={"q": name}).text


def _with(client: httpx2.Client, path: str, words: str) -> str | None:
    text = client.get(path).text
    return text if words in text else None


#: What each definition's form is filled in with, where its defaults do not do.
VALUES: dict[str, dict[str, str]] = {
    "echo": {"input.raw": "YWJj"}, "echo_async": {"input.value": "1"}, "steps": {"input.count": "1"},
    "flaky": {"input.failures": "0"}, "wait_for": {"input.gate": "nowhere"}, "save_and_log": {"input.name": "a.txt"},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(tested.yard.definitions))
def test_every_definition_can_be_run_by_its_form(client: httpx2.Client, name: str) -> None:
    definition: Definition = tested.yard.definitions[name]
    page = opened(client, name)
    for key, value in VALUES.get(name, {}).items():
        page.set(key, value)
    files = {"input.file~file": ("notes.txt", b"hello", "text/plain")} if name == "size_of" else None

    # Far enough ahead that none of them starts: some kill their worker.
    page.set("options.delay", "86400")
    task = submitted(client, send(client, name, page, ("run", "later"), files=files))

    assert (task["name"], task["state"]) == (name, "SCHEDULED")
    definition.parse(json.dumps(task["input"]))
    if files:
        assert client.get(f"/files/{task['input']['file']}/content").content == b"hello"
    client.delete(f"/tasks/{task['task_id']}")


def test_options_go_with_the_task(client: httpx2.Client) -> None:
    page = opened(client, "add")
    page = SentForm(send(client, "add", page, ("options~do", "add:options.tags")).text)
    page.set("options.tags.0", "by form")
    page.set("options.priority", '"high"')
    page.set("options.delay", "86400")
    page.set("options.idempotency_key", "test_options_go_with_the_task")
    answer = send(client, "add", page)
    task = submitted(client, answer)

    assert (task["tags"], task["priority"], task["state"], task["input"]) == (
        ["by form"],
        "high",
        "SCHEDULED",
        {"a": 1, "b": 2},
    )
    assert send(client, "add", page).headers["location"] == answer.headers["location"]

    page.set("input.a", "5")
    conflict = send(client, "add", page)
    assert conflict.status_code == 422
    assert "Use a new key" in conflict.text
    assert dict(SentForm(conflict.text).controls)["input.a"] == "5"
    client.delete(f"/tasks/{task['task_id']}")


def test_what_is_wrong_comes_back_with_what_was_typed(client: httpx2.Client) -> None:
    page = opened(client, "steps")
    page.set("input.count", "99999")
    page.set("options.expires", "-1")
    answer = send(client, "steps", page)

    assert answer.status_code == 422
    assert 'href="#input.count"' in answer.text
    assert 'href="#options.expires"' in answer.text
    assert dict(SentForm(answer.text).controls)["input.count"] == "99999"


def test_later_needs_a_time(client: httpx2.Client) -> None:
    answer = send(client, "add", opened(client, "add"), ("run", "later"))

    assert answer.status_code == 422
    assert "Say when" in answer.text


def test_a_schedule_begins_with_the_input(client: httpx2.Client) -> None:
    answer = send(client, "add", opened(client, "add"), ("run", "schedule"))

    assert answer.status_code == 303
    to = urlsplit(answer.headers["location"])
    assert to.path == "/console/schedules/new"
    assert {key: json.loads(value[0]) if key == "input" else value[0] for key, value in parse_qs(to.query).items()} == {
        "name": "add", "input": {"a": 1, "b": 2},
    }  # fmt: skip


def test_the_form_begins_with_the_input_of_the_query(client: httpx2.Client) -> None:
    assert dict(opened(client, "add", input='{"a": 7}').controls)["input.a"] == "7"
    assert dict(opened(client, "add", input="[" * 3_000).controls)["input.a"] == "1"


def test_a_file_stays_with_the_form_when_something_else_is_wrong(client: httpx2.Client) -> None:
    page = opened(client, "size_of")
    page.set("options.delay", "-1")
    answer = send(client, "size_of", page, files={"input.file~file": ("notes.txt", b"hello", "text/plain")})

    assert answer.status_code == 422
    again = SentForm(answer.text)
    assert "notes.txt" in answer.text
    again.set("options.delay", "86400")
    task = submitted(client, send(client, "size_of", again))
    assert client.get(f"/files/{task['input']['file']}/content").content == b"hello"
    client.delete(f"/tasks/{task['task_id']}")


def test_a_file_that_cannot_be_stored_is_told_at_its_field(client: httpx2.Client) -> None:
    answer = send(
        client, "size_of", opened(client, "size_of"), files={"input.file~file": (".hidden", b"x", "text/plain")}
    )

    assert answer.status_code == 422
    assert "begins with" in answer.text


def test_a_body_that_does_not_say_how_large_it_is_is_refused(client: httpx2.Client) -> None:
    answer = client.post(
        "/console/definitions/add",
        content=iter([b"input.a=1"]),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert answer.status_code == 413


def test_pause_with_a_reason_and_resume(client: httpx2.Client) -> None:
    path = "/console/definitions/echo_async"
    assert "Reason" in client.get(f"{path}/pause").text

    assert client.post(f"{path}/pause", data={"reason": "on holiday"}).status_code == 303
    assert "on holiday" in client.get(path).text
    assert "paused" in client.get("/console/definitions", params={"q": "echo_async"}).text

    assert client.post(f"{path}/resume").status_code == 303
    assert "on holiday" not in client.get(path).text
    trail = until(
        lambda: client.get("/audit", params={"kind": "definition", "subject": "echo_async"}).json()[1:],
        "the audit lines",
    )
    assert {line["verb"] for line in client.get("/audit", params={"subject": "echo_async"}).json()} == {
        "pause",
        "resume",
    }, trail


def test_no_such_definition(client: httpx2.Client) -> None:
    assert client.get("/console/definitions/ad").status_code == 404
    assert client.post("/console/definitions/ad/pause").status_code == 404


# -- in a browser ---------------------------------------------------------------------------------------------------


def test_a_nested_form_is_filled_in_and_run(
    browser_page: Page,
    console_url: str,
    client: httpx2.Client,
    worker: Process,  # noqa: ARG001 - it runs the task
    axe: Callable[[Page], list[str]],
) -> None:
    browser_page.goto(f"{console_url}/definitions")
    browser_page.get_by_role("link", name="echo", exact=True).click()
    expect(browser_page).to_have_url(re.compile(r"/definitions/echo$"))
    browser_page.wait_for_load_state()  # without scripts each button draws the page anew
    parcels = browser_page.get_by_role("group", name="Parcels")
    for number in (0, 1):
        parcels.get_by_role("button", name="Add to Parcels").click()
        expect(browser_page.locator(f"[name='input.parcels.{number}.when']")).to_be_focused()
    parcels.get_by_role("button", name="Take out Parcel 1").click()
    expect(parcels.get_by_role("button", name="Take out Parcel 2")).to_have_count(0)
    parcels.get_by_label("When", exact=True).fill("2026-07-01T12:00")
    parcels.get_by_label("Time zone of When").fill("Europe/Berlin")
    parcels.get_by_label("Price").fill("12.50")
    parcels.get_by_label("Key").fill("0d2f7a52-90f5-5c43-8f35-5f4f4c2c6f0b")
    browser_page.get_by_label("Raw").fill("YWJj")
    browser_page.get_by_label("Choice: which").select_option("Text")
    browser_page.locator("[name='input.choice.1']").fill("seven")
    assert axe(browser_page) == []
    browser_page.get_by_role("button", name="Run now").click()

    expect(browser_page).to_have_url(re.compile("/console/tasks/"))
    expect(browser_page.get_by_text("A task of echo is submitted.")).to_be_visible()
    task = final(client, browser_page.url.rpartition("/")[2])
    parcel = {"when": "2026-07-01T12:00:00+02:00", "price": "12.50", "key": "0d2f7a52-90f5-5c43-8f35-5f4f4c2c6f0b"}
    assert task["input"] == {"parcels": [parcel], "raw": "YWJj", "choice": "seven"}


def test_bounds_are_checked_in_the_browser_and_again_at_the_server(browser_page: Page, console_url: str) -> None:
    browser_page.goto(f"{console_url}/definitions/steps")
    count = browser_page.get_by_label("Count")
    count.fill("99999")
    browser_page.get_by_role("button", name="Run now").click()
    assert count.evaluate("field => field.validity.rangeOverflow")

    browser_page.locator("form[data-form]").evaluate("form => { form.noValidate = true; }")
    with browser_page.expect_response(lambda answer: answer.status == 422):
        browser_page.get_by_role("button", name="Run now").click()
    summary = browser_page.get_by_role("alert").filter(has_text="1 thing to put right")
    expect(summary).to_be_focused()
    summary.get_by_role("link").click()
    expect(count).to_be_focused()
    expect(count).to_have_value("99999")


def test_without_scripts_buttons_draw_the_form_anew(
    plain_page: Page,
    console_url: str,
    client: httpx2.Client,
    worker: Process,  # noqa: ARG001 - it runs the task
) -> None:
    plain_page.goto(f"{console_url}/definitions/echo")
    plain_page.get_by_role("button", name="Add to Parcels").click()
    plain_page.get_by_label("When", exact=True).fill("2026-07-01T12:00")
    plain_page.get_by_label("Price").fill("1")
    plain_page.get_by_label("Key", exact=True).fill("0d2f7a52-90f5-5c43-8f35-5f4f4c2c6f0b")
    plain_page.get_by_label("Choice: which").select_option("Whole number")
    plain_page.get_by_role("group", name="Choice").get_by_role("button", name="Update the form").click()
    plain_page.locator("[name='input.choice.0']").fill("7")
    plain_page.get_by_role("button", name="As JSON").click()
    expect(plain_page.get_by_label("Input as JSON")).to_have_value(re.compile('"choice": 7'))
    plain_page.get_by_role("button", name="Fields").click()
    plain_page.get_by_role("button", name="Run now").click()

    expect(plain_page).to_have_url(re.compile("/console/tasks/"))
    assert final(client, plain_page.url.rpartition("/")[2])["input"]["choice"] == 7

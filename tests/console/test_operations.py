"""One verb on many tasks: the count that is confirmed, what is done then, and the page that shows it."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from support.own_tasks import look, new_tag, recorded, submit
from support.processes import Process
from support.web import await_history, final, until


def fields_of(html: str) -> dict[str, str]:
    """Return what the form that asks carries."""
    return {name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html)}


def begin(client: httpx2.Client, html: str, **more: str) -> str:
    answer = client.post("/console/operations", data={**fields_of(html), **more})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def over(client: httpx2.Client, place: str) -> dict[str, Any]:
    """Wait until an operation is final, and return it as the API shows it."""
    route = place.removeprefix("/console")

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(route).json()
        return found if found["state"] in ("done", "stopped", "failed") else None

    found: dict[str, Any] = until(ended, f"{route} ends")
    return found


def test_all_that_match_are_cancelled_after_their_count_was_confirmed(client: httpx2.Client) -> None:
    tag = new_tag()
    mine = [submit(client, tag) for _ in range(3)]
    kept = submit(client, tag, name="echo_async", input={"value": 1})
    recorded(client, tag, 4)

    html = look(client, "/console/operations/new", verb="cancel", scope="all", q=f"tag:{tag} name:add since:1h")
    assert "Cancel 3 tasks?" in html
    assert "since:2" in fields_of(html)["q"]  # exact by now, whenever it is confirmed
    place = begin(client, html, children="1")
    assert over(client, place)["report"]["outcomes"] == {"cancelled": 3}

    page = look(client, place)
    assert "<strong>3</strong> of 3" in page
    assert re.search(r"<dt>Cancelled</dt>\s*<dd>3</dd>", page)
    assert {client.get(f"/tasks/{one}").json()["state"] for one in mine} == {"REVOKED"}
    assert client.get(f"/tasks/{kept}").json()["state"] == "SCHEDULED"


def test_selected_tasks_alone_are_dealt_with(client: httpx2.Client) -> None:
    tag = new_tag()
    ids = [submit(client, tag) for _ in range(4)]
    client.delete(f"/tasks/{ids[0]}")
    recorded(client, tag, 4)

    query = {"verb": "cancel", "scope": "selected", "task_id": ids[:3]}
    html = client.get("/console/operations/new", params=query).text
    assert "Cancel 2 tasks?" in html
    assert "Of the 3 that you selected, 1 is left alone" in html
    assert over(client, begin(client, html))["report"]["outcomes"] == {"cancelled": 2}
    states = [client.get(f"/tasks/{one}").json()["state"] for one in ids]
    assert states == ["REVOKED", "REVOKED", "REVOKED", "SCHEDULED"]

    await_history(client)
    made = client.post("/operations", json={"verb": "cancel", "filter": {"task_id": [ids[3], "unknown"]}})
    assert over(client, made.headers["location"])["report"]["outcomes"] == {"cancelled": 1}
    found = client.get("/tasks", params={"task_id": [ids[3], ids[1]]}).json()
    assert [one["task_id"] for one in found] == [ids[3], ids[1]]


def test_what_is_deleted_is_typed(client: httpx2.Client) -> None:
    tag = new_tag()
    task_id = submit(client, tag)
    client.delete(f"/tasks/{task_id}")
    recorded(client, tag, 1)
    html = look(client, "/console/operations/new", verb="delete", scope="all", q=f"tag:{tag}")
    assert "cannot be undone" in html

    refused = client.post("/console/operations", data={**fields_of(html), "typed": "yes"})
    assert refused.status_code == 422
    assert "Type &#39;delete&#39; to confirm; nothing was done yet." in refused.text
    assert client.get(f"/tasks/{task_id}").status_code == 200

    assert over(client, begin(client, html, typed="delete"))["report"]["outcomes"] == {"deleted": 1}
    assert client.get(f"/tasks/{task_id}").status_code == 404


def test_everything_is_typed_as_well(client: httpx2.Client) -> None:
    submit(client, new_tag())
    await_history(client)
    html = look(client, "/console/operations/new", verb="cancel", scope="all", q="")

    assert "The filter is empty" in html
    assert client.post("/console/operations", data=fields_of(html)).status_code == 422


def test_a_form_that_is_sent_twice_makes_one_operation(client: httpx2.Client) -> None:
    tag = new_tag()
    submit(client, tag)
    recorded(client, tag, 1)
    html = look(client, "/console/operations/new", verb="cancel", scope="all", q=f"tag:{tag}")

    assert begin(client, html) == begin(client, html)


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ({"verb": "cancel", "scope": "selected"}, 422, "No task was selected"),
        ({"verb": "purge", "scope": "all"}, 422, "There are: cancel, rerun, delete"),
        ({"verb": "cancel", "scope": "all", "q": "stat:x"}, 422, "Did you mean"),
        ({"verb": "cancel", "scope": "selected", "task_id": "nobody"}, 200, "No task to cancel"),
    ],
)
def test_what_cannot_be_begun_says_why(client: httpx2.Client, query: dict[str, str], status: int, says: str) -> None:
    answer = client.get("/console/operations/new", params=query)

    assert answer.status_code == status
    assert says in answer.text


def test_options_that_cannot_work_are_refused(client: httpx2.Client) -> None:
    tag = new_tag()
    task_id = submit(client, tag)
    client.delete(f"/tasks/{task_id}")
    recorded(client, tag, 1)
    html = look(client, "/console/operations/new", verb="rerun", scope="all", q=f"tag:{tag}")

    answer = client.post("/console/operations", data={**fields_of(html), "rate": "0"})

    assert answer.status_code == 422
    assert "rate" in answer.text


def test_an_operation_is_stopped_and_stays_so(client: httpx2.Client) -> None:
    tag = new_tag()
    ids = [submit(client, tag) for _ in range(3)]
    for one in ids:
        client.delete(f"/tasks/{one}")
    recorded(client, tag, 3)
    html = look(client, "/console/operations/new", verb="rerun", scope="all", q=f"tag:{tag}")
    # So slow that it is stopped long before its end.
    place = begin(client, html, rate="0.01")

    answer = client.post(f"{place}/stop")
    assert answer.status_code == 303
    assert over(client, place)["state"] == "stopped"
    assert "Stopped" in look(client, place)
    assert f"tag:{tag}" in unescape(look(client, "/console/operations"))
    lines = client.get("/console/operations/unknown")
    assert (lines.status_code, "There is no operation" in lines.text) == (404, True)


def test_rows_are_selected_and_rerun(
    browser_page: Page, console_url: str, client: httpx2.Client, worker: Process, axe: Callable[[Page], list[str]]
) -> None:
    assert worker.child.poll() is None
    tag = new_tag()
    ids = [submit(client, tag, input={"a": at}, delay=0) for at in range(3)]
    for one in ids:
        final(client, one)
    recorded(client, tag, 3)
    browser_page.goto(f"{console_url}/tasks?q=tag:{tag}")

    browser_page.keyboard.press("j")
    browser_page.keyboard.press("x")
    browser_page.keyboard.press("j")
    browser_page.keyboard.press("x")
    browser_page.keyboard.press("r")
    dialog = browser_page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Rerun 2 tasks?")).to_be_visible()
    assert axe(browser_page) == []
    dialog.get_by_role("button", name="Rerun 2 tasks").click()

    expect(browser_page.get_by_role("heading", name="Rerun 2 tasks")).to_be_visible()
    expect(browser_page.get_by_text("Done", exact=True).first).to_be_visible()
    expect(browser_page.locator("#operation")).to_contain_text("2 of 2")
    assert axe(browser_page) == []
    browser_page.get_by_role("link", name="Tasks that it made").click()
    expect(browser_page.locator("[data-row]")).to_have_count(2)
    for row in browser_page.locator("[data-row]").all():
        expect(row).to_contain_text("Success")


def test_all_that_match_are_cancelled_without_scripts(
    plain_page: Page, console_url: str, client: httpx2.Client
) -> None:
    tag = new_tag()
    for _ in range(2):
        submit(client, tag)
    recorded(client, tag, 2)
    plain_page.goto(f"{console_url}/tasks?q=tag:{tag}")
    plain_page.get_by_label("Which tasks").select_option(label="All 2 that match")
    plain_page.get_by_role("button", name="Cancel").click()
    plain_page.get_by_role("button", name="Cancel 2 tasks").click()

    expect(plain_page.get_by_text("Cancelling has begun.")).to_be_visible()
    over(client, plain_page.url.removeprefix(console_url.removesuffix("/console")))

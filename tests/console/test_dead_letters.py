"""The pages of dead letters: what could not be read or run, put back or deleted; and quarantined tasks."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest
from playwright.sync_api import Page, expect

from backyard import Backyard
from support.web import final, until

pytestmark = pytest.mark.usefixtures("worker")


def bury(yard: Backyard, client: httpx2.Client, name: str) -> tuple[str, str]:
    """Let a task of an unknown name be set aside; returns its id, and its letter's."""
    task_id = yard.celery.send_task(name, (1,)).id

    def found() -> str | None:
        rows = client.get("/dead-letters").json()
        return next((str(one["letter_id"]) for one in rows if one["task_id"] == task_id), None)

    return task_id, until(found, "it is set aside")


def test_a_letter_is_listed_and_shown(client: httpx2.Client, stack_yard: Backyard) -> None:
    task_id, letter_id = bury(stack_yard, client, "nobody_knows_this")
    text = client.get("/console/dead-letters").text
    assert f'href="/console/dead-letters/{letter_id}"' in text
    assert f'href="/console/tasks/{task_id}"' in text
    text = client.get(f"/console/dead-letters/{letter_id}").text
    assert "This worker knows no task named" in text
    assert "&#34;task&#34;: &#34;nobody_knows_this&#34;" in text
    assert client.get("/console/dead-letters/1-1").status_code == 404
    assert client.get("/console/dead-letters/nonsense").status_code == 404


def test_what_cannot_be_read_is_shown_as_it_is(client: httpx2.Client, stack_yard: Backyard) -> None:
    ledger, message = stack_yard.ledger, b'{"not": \xff<b>'
    ledger.run(ledger.calls.put("default", "normal", message))

    def found() -> str | None:
        rows = client.get("/dead-letters").json()
        return next((str(one["letter_id"]) for one in rows if one["size"] == len(message)), None)

    text = client.get(f"/console/dead-letters/{until(found, 'it is set aside')}").text
    assert "cannot be read" in text
    assert "{&#34;not&#34;: \\xff&lt;b&gt;" in text


def test_all_that_were_seen_are_deleted_and_no_more(client: httpx2.Client, stack_yard: Backyard) -> None:
    _, seen = bury(stack_yard, client, "goes_1")
    page = client.get("/console/dead-letters/delete").text
    assert f'name="until" value="{seen}"' in page
    _, later = bury(stack_yard, client, "stays_1")
    assert client.post("/console/dead-letters/delete", data={"until": seen, "typed": "yes"}).status_code == 303
    assert client.get(f"/dead-letters/{seen}").status_code == 200, "it was not typed"
    client.post("/console/dead-letters/delete", data={"until": seen, "typed": "delete all"})
    assert client.get(f"/dead-letters/{seen}").status_code == 404
    assert client.get(f"/dead-letters/{later}").status_code == 200
    client.delete(f"/dead-letters/{later}")


def test_quarantined_tasks_are_named(client: httpx2.Client) -> None:
    task_id = client.post("/tasks/die", json={}).json()["task_id"]
    assert final(client, task_id)["failure"]["kind"] == "quarantined"
    until(lambda: task_id in client.get("/console/dead-letters").text, "the history has it")


def test_a_person_puts_one_back_and_deletes_another(
    browser_page: Page, console_url: str, client: httpx2.Client, stack_yard: Backyard, axe: Callable[[Page], list[str]]
) -> None:
    first, letter = bury(stack_yard, client, "come_back")
    _, other = bury(stack_yard, client, "go_away")
    browser_page.goto(f"{console_url}/dead-letters")
    assert axe(browser_page) == []
    browser_page.locator(f'a[href$="{letter}"]').click()
    expect(browser_page.get_by_role("heading", level=1)).to_have_text("Dead letter")
    assert axe(browser_page) == []
    browser_page.get_by_role("link", name="Put back").click()
    browser_page.get_by_role("dialog").get_by_role("button", name="Put it into default").click()
    expect(browser_page.get_by_text("It waits in the queue default again.")).to_be_visible()
    # Nobody knows it still, so that it comes here anew: once, and under another id.
    until(lambda: [row["task_id"] for row in client.get("/dead-letters").json()].count(first) == 1, "it is back")
    assert client.get(f"/dead-letters/{letter}").status_code == 404

    row = browser_page.locator("tr", has_text="go_away")
    row.get_by_role("link", name="Delete").click()
    browser_page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    expect(browser_page.get_by_text("The dead letter was deleted.")).to_be_visible()
    assert client.get(f"/dead-letters/{other}").status_code == 404

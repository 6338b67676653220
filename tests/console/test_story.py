"""One person's day at the console: what begins on one page goes on at the next, against a real worker."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from support.own_tasks import new_tag, recorded, submit
from support.web import final

pytestmark = pytest.mark.usefixtures("worker")


def fill_in(page: Page, definition: str, **values: str) -> str:
    """Choose a definition, fill in its form as a person does, and run it; returns the id of the task."""
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Definitions").click()
    page.get_by_role("link", name=definition, exact=True).click()
    for label, value in values.items():
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_text(f"A task of {definition} is submitted.")).to_be_visible()
    return page.url.rpartition("/")[2]


def test_a_task_is_made_watched_shared_and_cancelled(browser: Browser, browser_page: Page, console_url: str) -> None:
    page = browser_page
    page.goto(f"{console_url}/")
    fill_in(page, "steps", Count="10000", Pause="0.1")
    progress = page.locator(".pace-line strong")
    expect(progress).to_be_visible()
    page.evaluate("window.loadedOnce = true")
    before = page.locator(".pace-facts span").first.inner_text()
    expect(page.locator(".pace-facts span").first).not_to_have_text(before)
    assert page.evaluate("window.loadedOnce"), "it moved without a reload"

    task = page.url
    page.get_by_role("link", name="Share").click()
    page.get_by_role("button", name="Make the link").click()
    link = page.get_by_label("Link").inner_text()
    other = browser.new_context().new_page()
    other.goto(link)
    expect(other.get_by_text("In progress")).to_be_visible()

    page.goto(task)
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the task").click()
    expect(page.locator("h1")).to_contain_text("Revoked")
    expect(other.get_by_text("Cancelled")).to_be_visible()
    other.context.close()


def test_failures_are_found_read_and_rerun_together(
    browser_page: Page, console_url: str, client: httpx2.Client
) -> None:
    page, tag = browser_page, new_tag()
    failed = [submit(client, tag, "flaky", {"failures": 9}, delay=0) for _ in range(3)]
    for task_id in failed:
        final(client, task_id)
    recorded(client, tag, 3)
    page.goto(f"{console_url}/")
    page.keyboard.press("/")
    page.keyboard.type(f"state:failure tag:{tag}")
    page.keyboard.press("Enter")
    expect(page.locator("[data-row]")).to_have_count(3)
    page.locator("[data-row]").first.get_by_role("link", name="flaky").click()
    expect(page.get_by_label("Message")).to_have_text("attempt 3 fails on purpose")
    expect(page.locator(".frame").first).to_contain_text("support/yard.py")
    page.get_by_role("link", name="Edit and rerun").click()
    page.get_by_label("Failures").fill("0")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("h1")).to_contain_text("Success")

    page.goto(f"{console_url}/tasks?q=state:failure tag:{tag}")
    page.get_by_label("Which tasks").select_option(label="All 3 that match")
    page.get_by_role("button", name="Rerun").click()
    page.get_by_role("dialog").get_by_role("button", name="Rerun 3 tasks").click()
    expect(page.locator("#operation")).to_contain_text("3 of 3")
    page.get_by_role("link", name="Tasks that it made").click()
    expect(page.locator("[data-row]")).to_have_count(3)


def test_a_schedule_made_by_the_form_is_run_at_once(browser_page: Page, console_url: str) -> None:
    page, chosen = browser_page, f"s{uuid.uuid4().hex[:10]}"
    page.goto(f"{console_url}/definitions/add")
    page.locator("[name='input.a']").fill("20")
    page.get_by_role("button", name="Schedule it").click()
    page.get_by_label("Id", exact=True).fill(chosen)
    page.get_by_label("Cron line", exact=True).fill("0 7 * * *")
    page.get_by_role("button", name="Make the schedule").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(chosen)
    page.get_by_role("button", name="Run now").click()
    expect(page).to_have_url(re.compile("/console/tasks/"))
    expect(page.locator("h1")).to_contain_text("Success")
    expect(page.locator("#task-facts")).to_contain_text(chosen)
    expect(page.locator("#task-outcome .value.number")).to_have_text("22")


@pytest.fixture
def queue(client: httpx2.Client) -> Iterator[str]:
    """A queue that goes on in the end, whatever a test does with it."""
    yield "slow"
    client.post("/queues/slow/resume")


def test_without_scripts_a_queue_is_paused_and_a_task_run_again(
    plain_page: Page, console_url: str, client: httpx2.Client, queue: str
) -> None:
    page, tag = plain_page, new_tag()
    task_id = submit(client, tag, "steps", {"count": 1}, delay=0)
    final(client, task_id)
    recorded(client, tag, 1)
    page.goto(f"{console_url}/queues/{queue}")
    page.get_by_role("link", name="Pause").click()
    page.get_by_label("Reason").fill("the road is closed")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("main")).to_contain_text("the road is closed")
    page.get_by_role("status").get_by_role("button").click()
    expect(page.get_by_role("status").filter(has_text="goes on")).to_be_visible()

    page.get_by_label("Search tasks").fill(f"tag:{tag}")
    page.get_by_label("Search tasks").press("Enter")
    page.locator("[data-row]").get_by_role("link", name="steps").click()
    page.get_by_role("link", name="Edit and rerun").click()
    page.get_by_label("Count").fill("2")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("steps")
    assert final(client, page.url.rpartition("/")[2])["result"] == 2

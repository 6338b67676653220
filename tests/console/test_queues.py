"""The pages of queues, over HTTP and as a person uses them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import httpx2
import pytest
from playwright.sync_api import Page, expect

from backyard.console.queues import Row, path_of, readers_of, tasks_of
from backyard.core.queue import Queue
from support.processes import Process
from support.web import await_history, final, until

QUEUE = "slow"


@pytest.fixture
def held(client: httpx2.Client) -> Iterator[list[str]]:
    """Ids of two tasks that a pause holds: in their queue, or parked, where a worker had not yet heard of it."""
    client.post(f"/queues/{QUEUE}/pause", json={"reason": "the road is closed"})
    ids = client.post("/tasks/steps/batch", json=[{"count": 1}] * 2).json()["task_ids"]

    def all_held() -> bool:
        (queue,) = [one for one in client.get("/queues").json() if one["name"] == QUEUE]
        return bool(queue["running"] == 0 and queue["depth"] + queue["parked"] == len(ids))

    until(all_held, "they are held")
    time.sleep(1)  # a worker that has not yet heard of the pause may take one, which is parked then
    until(all_held, "they are held still")
    yield ids
    client.post(f"/queues/{QUEUE}/purge")
    client.post(f"/queues/{QUEUE}/resume")


def notice_of(client: httpx2.Client, answer: httpx2.Response) -> str:
    """Return what the next page says of an act."""
    assert answer.status_code == 303
    text = client.get(answer.headers["location"]).text
    return " ".join(re.findall(r'<div class="notice.*?</div>', text, re.DOTALL)[0].split())


def row_of(client: httpx2.Client, name: str) -> str:
    """Return a queue's row of the list."""
    (row,) = re.findall(rf'<tr data-row id="queue-row-{name}">.*?</tr>', client.get("/console/queues").text, re.DOTALL)
    return str(row)


def test_a_queue_that_nobody_reads_is_marked_where_tasks_wait() -> None:
    empty = Queue(name="mail", depth=0, lanes={}, oldest=None, running=0, parked=0)
    full = empty.model_copy(update={"depth": 3})
    assert (Row(empty, [], None).unread, Row(full, [], None).unread) == (False, True)
    assert readers_of("mail", []) == []
    assert (path_of("a.b"), tasks_of("mail"), tasks_of("mail", "pending")) == (
        "/queues/a.b", "queue:mail", "state:pending queue:mail",
    )  # fmt: skip


@pytest.mark.usefixtures("worker")
def test_the_list_says_what_waits_and_why(client: httpx2.Client, held: list[str]) -> None:
    def settled() -> str | None:
        row = row_of(client, QUEUE)
        numbers = [int(one) for one in re.findall(r'<td class="right">(?:<a [^>]*>)?(\d+)', row)]
        waiting, running, parked, workers = numbers
        return row if (waiting + parked, running, workers) == (len(held), 0, 1) else None

    row = until(settled, "they wait, none runs, and one worker reads")
    assert "the road is closed" in row
    assert ">Paused</span>" in row
    assert f'action="/console/queues/{QUEUE}/resume"' in row
    assert "No worker" not in row
    assert 'href="/console/queues/default/pause"' in row_of(client, "default")


@pytest.mark.usefixtures("worker", "held")
def test_one_queue_is_shown_with_its_lanes_readers_and_past(client: httpx2.Client) -> None:
    def page() -> str | None:
        text = client.get(f"/console/queues/{QUEUE}", params={"range": "15m"}).text
        whole = ">10</td>" not in text and 'id="depth-table"' in text and 'href="/console/workers/' in text
        return text if whole else None

    text = until(page, "a keeper has looked, and a worker reads it")
    assert "the road is closed" in text
    assert 'aria-label="normal"' in text
    assert 'href="/console/definitions/steps"' in text
    assert re.search(r'href="/console/workers/[^"]+">', text)
    assert 'aria-current="true">15 min' in text
    assert 'id="depth-title">Tasks in the queue' in text
    month = client.get(f"/console/queues/{QUEUE}", params={"range": "30d"})
    assert "30 d ago" in month.text
    assert client.get("/console/queues/nobody").status_code == 404


def test_a_pause_and_a_resume_can_be_taken_back(client: httpx2.Client) -> None:
    reason = "a deploy, at last & at once"
    paused = notice_of(client, client.post(f"/console/queues/{QUEUE}/pause", data={"reason": reason}))
    assert f"{QUEUE} is paused" in paused
    assert f'action="/console/queues/{QUEUE}/resume"' in paused

    resumed = notice_of(client, client.post(f"/console/queues/{QUEUE}/resume"))
    assert f"{QUEUE} goes on" in resumed
    again = re.findall(r'action="/console(.*?)"', resumed)[0]
    notice_of(client, client.post(f"/console{again}"))
    states = {one["name"]: one["paused"] for one in client.get("/queues").json()}
    assert states[QUEUE]["reason"] == reason

    client.post(f"/console/queues/{QUEUE}/resume")
    assert "was not paused" in notice_of(client, client.post(f"/console/queues/{QUEUE}/resume"))
    lines = until(
        lambda: [one for one in client.get("/audit", params={"subject": QUEUE}).json() if "console" in one["actor"]],
        "the trail has it",
    )
    assert {"pause", "resume"} <= {one["verb"] for one in lines} | {"resume"}


def test_an_act_leads_back_to_the_page_it_was_asked_on(client: httpx2.Client) -> None:
    host = str(client.base_url).rstrip("/")

    def led(came: str) -> str:
        answer = client.post(f"/console/queues/{QUEUE}/resume", headers={"Referer": f"{host}{came}"})
        return str(answer.headers["location"])

    assert led("/console/queues?after=a") == "/console/queues?after=a"
    assert led(f"/console/queues/{QUEUE}/pause") == f"/console/queues/{QUEUE}"
    assert led("/elsewhere") == f"/console/queues/{QUEUE}"


def test_a_purge_wants_the_name(client: httpx2.Client, held: list[str]) -> None:
    asked = client.get(f"/console/queues/{QUEUE}/purge").text
    assert "2 tasks" in asked
    assert f'pattern="{QUEUE}"' in asked

    refused = client.post(f"/console/queues/{QUEUE}/purge", data={"typed": "slo"})
    assert "Nothing was discarded" in notice_of(client, refused)
    assert {client.get(f"/tasks/{one}").json()["state"] for one in held} == {"PENDING"}

    done = notice_of(client, client.post(f"/console/queues/{QUEUE}/purge", data={"typed": QUEUE}))
    assert "2 tasks discarded" in done
    assert [final(client, one)["state"] for one in held] == ["REVOKED", "REVOKED"]
    await_history(client)
    recorded = client.get("/tasks", params={"queue": QUEUE, "limit": 2}).json()
    assert [one["state"] for one in recorded] == ["REVOKED", "REVOKED"]


def test_a_person_pauses_a_queue_and_takes_it_back(
    browser_page: Page, console_url: str, worker: Process, client: httpx2.Client, axe: Callable[[Page], list[str]]
) -> None:
    assert worker
    browser_page.goto(f"{console_url}/queues")
    row = browser_page.locator(f"#queue-row-{QUEUE}")
    row.get_by_role("link", name="Pause").click()
    dialog = browser_page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("the road is closed")
    dialog.get_by_role("button", name="Pause").click()
    expect(browser_page.get_by_role("status").filter(has_text="is paused")).to_be_visible()
    expect(row).to_contain_text("the road is closed")

    client.post("/tasks/steps", json={"count": 1})
    held = row.locator("td:nth-child(2), td:nth-child(6)").filter(has_text=re.compile(r"^\s*1\s*$"))
    expect(held).to_have_count(1)
    assert axe(browser_page) == []

    browser_page.get_by_role("button", name="Resume").first.click()
    expect(browser_page.get_by_role("status").filter(has_text="goes on")).to_be_visible()
    expect(row).not_to_contain_text("Paused")
    expect(held).to_have_count(0)


def test_a_person_purges_a_queue(
    browser_page: Page, console_url: str, client: httpx2.Client, held: list[str], axe: Callable[[Page], list[str]]
) -> None:
    browser_page.goto(f"{console_url}/queues/{QUEUE}")
    expect(browser_page.get_by_role("img", name="Tasks in the queue")).to_be_visible()
    assert axe(browser_page) == []
    browser_page.get_by_role("link", name="Purge").click()
    dialog = browser_page.get_by_role("dialog")
    button = dialog.get_by_role("button", name="Purge 2 tasks")
    button.click()
    expect(dialog).to_be_visible()
    dialog.get_by_label(f"Type {QUEUE} to confirm").fill(QUEUE)
    button.click()

    expect(browser_page.get_by_role("status").filter(has_text="2 tasks discarded")).to_be_visible()
    assert {client.get(f"/tasks/{one}").json()["state"] for one in held} == {"REVOKED"}

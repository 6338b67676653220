"""The pages of workers: how they do, what they run, what they know; and one is drained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from backyard.console.workers import Running, skew, word_of
from backyard.core.queue import Pause, Queue
from backyard.core.worker import Worker
from support.processes import Process, make_environment, running_api, start_worker
from support.web import connect, until

#: Milliseconds that a live region may take: it looks every 5 s.
LIVE = 30_000
LATE = Running("t-1", "add", 99.0, None, over=True)


def worker_with(**changes: Any) -> Worker:
    """Return a worker that does well, but for some fields."""
    values: dict[str, Any] = {
        "worker_name": "w@h", "state": "running", "alive": True, "age": 0.5, "lease": 10.0, "uptime": 60.0,
        "started": datetime(2026, 1, 1, tzinfo=UTC), "host": "h", "pid": 7, "pool": "prefork", "max_concurrency": 2,
        "queues": ["mail"], "registered_tasks": [], "definitions": {}, "running": [], "rss": 1, "version": "1",
    }  # fmt: skip
    return Worker.model_validate(values | changes)


def queue_with(**changes: Any) -> Queue:
    values = {"name": "mail", "depth": 1, "lanes": {}, "oldest": 45.0, "running": 0, "parked": 0}
    return Queue.model_validate(values | changes)


@pytest.mark.parametrize(
    ("worker", "running", "queues", "word"),
    [
        (worker_with(), [], [], "Running"),
        (worker_with(state="draining"), [], [], "Draining"),
        (worker_with(state="stopping"), [], [], "Stopping"),
        (worker_with(age=6.0), [], [], "Late"),
        (worker_with(age=11.0, alive=False, state="draining"), [LATE], [], "Silent"),
        (worker_with(), [LATE], [], "Stuck"),
        (worker_with(), [], [queue_with()], "Stuck"),
        (worker_with(running=["a", "b"]), [], [queue_with()], "Running"),
        (worker_with(state="draining"), [], [queue_with()], "Draining"),
        (worker_with(queues=["other"]), [], [queue_with()], "Running"),
        (worker_with(), [], [queue_with(oldest=3.0)], "Running"),
        (worker_with(), [], [queue_with(oldest=None)], "Running"),
        (worker_with(), [], [queue_with(paused=Pause(since=datetime(2026, 1, 1, tzinfo=UTC), reason=""))], "Running"),
    ],
)  # fmt: skip
def test_how_a_worker_does_is_said_in_a_word(
    worker: Worker, running: list[Running], queues: list[Queue], word: str
) -> None:
    assert word_of(worker, running, queues).text == word


def test_what_a_worker_knows_is_compared_with_what_is_known_here() -> None:
    worker = worker_with(definitions={"same": "aa", "other": "bb", "foreign": "cc", "plain": ""})
    rows = {one.name: one for one in skew(worker, {"same": "aa", "other": "b2", "missing": "dd"})}

    assert [name for name, one in rows.items() if one.skewed] == ["foreign", "missing", "other"]
    assert (rows["foreign"].here, rows["missing"].there, rows["other"].same) == (False, False, False)
    assert list(rows)[3:] == ["plain", "same"]


@pytest.fixture(scope="module")
def leaving(stack_environment: dict[str, str]) -> Iterator[Process]:
    """A worker that takes nothing and may be drained."""
    process = start_worker(stack_environment, "-n", "leaving@h", "-Q", "nothing", "--concurrency=1")
    yield process
    process.end()


@pytest.mark.usefixtures("worker")
def test_the_list_says_who_takes_tasks(client: httpx2.Client) -> None:
    until(lambda: client.get("/workers").json()[0]["cpu"] is not None, "it has told what it uses")
    (worker,) = [one for one in client.get("/workers").json() if not one["worker_name"].endswith("@h")]
    # A busy machine may keep it from its turn for a lease.
    text = until(lambda: "lease runs out in" in (page := client.get("/console/workers").text) and page, "it speaks")

    assert f'href="/console/workers/{worker["worker_name"]}"' in text
    assert f"pid {worker['pid']}" in text
    assert "of 2</span>" in text
    assert 'href="/console/queues/slow"' in text


@pytest.mark.usefixtures("worker")
def test_a_worker_is_seen_with_what_it_knows_and_ran(client: httpx2.Client) -> None:
    task = client.post("/tasks/add", json={"a": 1}).json()["task_id"]
    name = until(lambda: client.get(f"/tasks/{task}", params={"wait": 30}).json()["worker"], "it ran")

    def page() -> str:
        return client.get(f"/console/workers/{name}").text

    text = until(lambda: f"/console/tasks/{task}" in page() and page(), "the history has it")
    assert 'href="/console/definitions/add"' in text
    assert text.count("plain Celery") >= 2
    assert "another input schema" not in text
    assert "not known" not in text
    assert f'href="/console/workers/{name}/drain"' in text


def test_a_worker_that_is_gone_is_said_to_be(client: httpx2.Client) -> None:
    whole = client.get("/console/workers/nobody@nowhere")
    region = client.get("/console/workers/nobody@nowhere", headers={"HX-Request": "true", "HX-Target": "worker"})

    assert (whole.status_code, region.status_code) == (404, 200)
    assert "This worker is not here" in whole.text
    assert 'id="worker"' in region.text
    lost = client.post("/console/workers/nobody@nowhere/drain")
    assert (lost.status_code, lost.headers["location"]) == (303, "/console/workers")


def test_where_there_is_no_worker_it_says_how_to_start_one(server_url: str, tmp_path: Path) -> None:
    with running_api(make_environment(server_url, tmp_path)) as api, connect(api.url) as client:
        text = client.get("/console/workers").text
        assert "No worker is here" in text
        assert "backyard worker module:attribute" in text
        assert "Nothing happens by the clock yet" in client.get("/console/schedules").text


@pytest.mark.usefixtures("worker")
def test_a_person_sees_a_task_run(
    browser_page: Page, console_url: str, client: httpx2.Client, tmp_path: Path, axe: Callable[[Page], list[str]]
) -> None:
    browser_page.goto(f"{console_url}/workers")
    table = browser_page.get_by_role("region", name="Workers")
    row = table.locator("tbody tr", has_text="prefork").filter(has_not_text="leaving@h")
    expect(row).to_contain_text("Idle")

    gate = tmp_path / "gate"
    task = client.post("/tasks/wait_for", json={"gate": str(gate)}).json()["task_id"]
    expect(row.get_by_role("link", name="wait_for")).to_have_attribute("href", f"/console/tasks/{task}", timeout=LIVE)
    expect(row).to_contain_text("1 of 2", timeout=LIVE)
    assert axe(browser_page) == []

    row.get_by_role("rowheader").get_by_role("link").click()
    running = browser_page.locator(".running")
    expect(running.get_by_role("link", name="wait_for")).to_be_visible(timeout=LIVE)
    assert axe(browser_page) == []
    gate.touch()
    lately = browser_page.get_by_role("region", name="Tasks it ran lately")
    expect(lately.locator(f'a[href="/console/tasks/{task}"]')).to_be_visible(timeout=LIVE)
    expect(running).to_be_hidden(timeout=LIVE)


@pytest.mark.usefixtures("leaving")
def test_a_person_drains_a_worker(browser_page: Page, console_url: str, client: httpx2.Client) -> None:
    browser_page.goto(f"{console_url}/workers/leaving@h")
    browser_page.get_by_role("link", name="Drain").click()
    dialog = browser_page.get_by_role("dialog")
    expect(dialog).to_contain_text("This cannot be undone")
    dialog.get_by_label("it stays, idle").check()
    dialog.get_by_role("button", name="Drain").click()

    expect(browser_page.get_by_role("status").first).to_contain_text("stays, idle")
    expect(browser_page.locator("#worker")).to_contain_text("Draining", timeout=LIVE)

    def lines() -> list[dict[str, Any]]:
        found = client.get("/audit", params={"subject": "leaving@h"})
        return [one for one in found.json() if one["subject"] == "leaving@h"] if found.status_code == 200 else []

    (line,) = until(lines, "the trail has it")
    assert (line["verb"], line["kind"], line["details"]) == ("drain", "worker", {"stay": True})
    assert line["actor"].startswith("console@")

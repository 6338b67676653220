"""The pages of errors: causes by definition and range, one cause, and its tasks submitted again behind a canary."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from support.web import await_history, final, until

pytestmark = pytest.mark.usefixtures("worker")


def fail(client: httpx2.Client, gate: Path, number: int = 1) -> list[str]:
    """Let tasks fail until the gate's folder is there; returns their ids when the history has them."""
    made = [client.post("/tasks/wait_for", json={"gate": str(gate)}).json()["task_id"] for _ in range(number)]
    for task_id in made:
        assert final(client, task_id)["state"] == "FAILURE"
    await_history(client)
    return made


def cause_of(client: httpx2.Client, task_id: str) -> str:
    found: str = client.get(f"/tasks/{task_id}").json()["failure"]["fingerprint"]
    until(lambda: client.get(f"/errors/{found}").status_code == 200, "the history has the cause")
    return found


def main_of(answer: httpx2.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.text


def test_causes_are_listed_by_definition_and_range(client: httpx2.Client, tmp_path: Path) -> None:
    (task_id,) = fail(client, tmp_path / "missing" / "gate")
    fingerprint = cause_of(client, task_id)
    for sort in ("last", "count", "rising", "nonsense"):
        text = main_of(client.get("/console/errors", params={"sort": sort, "range": "1h", "name": "wait_for"}))
        assert f'href="/console/errors/{fingerprint}?range=1h"' in text
        assert "FileNotFoundError" in text
        assert 'aria-label="Failures in the last hour: at most' in text
    other = main_of(client.get("/console/errors", params={"name": "nobody_failed_here"}))
    assert "Nothing failed" in other
    assert fingerprint not in other


def test_a_cause_shows_its_traceback_its_chart_and_its_tasks(client: httpx2.Client, tmp_path: Path) -> None:
    (task_id,) = fail(client, tmp_path / "missing" / "gate")
    fingerprint = cause_of(client, task_id)
    text = main_of(client.get(f"/console/errors/{fingerprint}"))
    assert f'href="/console/tasks/{task_id}"' in text
    assert re.search(r"<strong>wait_for</strong>.*support/yard\.py", text), "the user's own frame is there"
    assert "Failed attempts" in text
    series = client.get(f"/errors/{fingerprint}/series", params={"range": "1h"}).json()
    assert (series["step"], sum(one["count"] for one in series["series"]) > 0) == (60, True)


def test_an_unknown_cause_is_said_to_be(client: httpx2.Client) -> None:
    answer = client.get("/console/errors/no-such-cause")
    assert (answer.status_code, "no-such-cause" in answer.text) == (404, True)
    assert client.get("/errors/no-such-cause/series").status_code == 404
    refused = client.post("/console/errors/no-such-cause/canary")
    assert (refused.status_code, refused.headers["location"]) == (303, "/console/errors/no-such-cause")


def test_the_count_is_confirmed_before_all_are_submitted_again(client: httpx2.Client, tmp_path: Path) -> None:
    *_, last = fail(client, tmp_path / "missing" / "gate", 2)
    fingerprint = cause_of(client, last)
    plan: dict[str, Any] = {"verb": "rerun", "filter": {"fingerprint": fingerprint, "state": "FAILURE"}}
    total = client.post("/operations/preview", json=plan).json()["total"]
    assert total >= 2
    text = main_of(client.get(f"/console/errors/{fingerprint}/rerun"))
    assert f"Rerun {total} tasks?" in text
    assert f'action="/console/errors/{fingerprint}/rerun"' in text


def test_a_person_replays_a_cause_behind_a_canary(
    browser_page: Page, console_url: str, client: httpx2.Client, tmp_path: Path, axe: Callable[[Page], list[str]]
) -> None:
    gate = tmp_path / "later" / "gate"
    mine = fail(client, gate, 3)
    fingerprint = cause_of(client, mine[0])
    browser_page.goto(f"{console_url}/errors?name=wait_for")
    assert axe(browser_page) == []
    browser_page.locator(f'a[href*="{fingerprint}"]').click()
    expect(browser_page.get_by_role("heading", level=1)).to_have_text("FileNotFoundError")
    assert axe(browser_page) == []

    canary = browser_page.locator("#replay")
    browser_page.get_by_role("button", name="Replay with a canary").click()
    expect(canary).to_contain_text("failed again, of the same cause")
    expect(canary.get_by_role("link", name="Rerun the others")).to_have_count(0)

    gate.parent.mkdir()
    canary.get_by_role("button", name="Try another canary").click()
    expect(canary).to_contain_text("This page follows it.")
    gate.touch()
    expect(canary).to_contain_text("succeeded")
    canary.get_by_role("link", name="Rerun the others").click()
    dialog = browser_page.get_by_role("dialog")
    expect(dialog).to_contain_text("The first five go alone")
    expect(dialog).to_contain_text("The task that the canary repeated is left out")
    dialog.get_by_role("button", name="Rerun").click()
    expect(canary.get_by_role("heading")).to_contain_text("submitted again")
    assert axe(browser_page) == []
    operation = browser_page.url.partition("operation=")[2]
    # Tasks of other tests, whose folder never comes, may be among the first five: then the others stay as they are.
    until(lambda: client.get(f"/operations/{operation}").json()["date_done"], "the operation is over")
    expect(canary).to_contain_text("They were submitted again")

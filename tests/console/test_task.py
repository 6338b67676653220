"""The page of one task: what is seen of it, and what can be done with it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from playwright.sync_api import Page, expect

from backyard.ledger.ledger import Ledger
from support.processes import make_environment, running_api
from support.web import await_history, connect, final, until

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def ledger_of_stack(stack_environment: dict[str, str]) -> Iterator[Ledger]:
    """The ledger of the shared stack."""
    ledger = Ledger(stack_environment["BACKYARD_REDIS_URL"], stack_environment["TEST_YARD"])
    yield ledger
    ledger.close()


def submit(client: httpx2.Client, name: str, given: Any = None, query: str = "") -> str:
    answer = client.post(f"/tasks/{name}{query}", json=given or {})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["task_id"])


def look(client: httpx2.Client, task_id: str, query: str = "", headers: dict[str, str] | None = None) -> str:
    answer = client.get(f"/console/tasks/{task_id}{query}", headers=headers or {})
    assert answer.status_code == 200, answer.text
    return unescape(re.sub(r"\s+", " ", answer.text))


def notice(answer: httpx2.Response) -> dict[str, Any]:
    """Return what the next page will say of a form that was sent."""
    assert answer.status_code == 303, answer.text
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(answer.cookies["backyard_notice"].strip('"')))
    return said


def recorded(client: httpx2.Client, task_id: str) -> None:
    """Wait until the history has all that has happened to a task."""
    await_history(client)
    assert client.get(f"/tasks/{task_id}/attempts").status_code == 200


def test_a_task_that_succeeded(client: httpx2.Client) -> None:
    task_id = submit(client, "add", {"a": 4_000, "b": 1}, "?tags=vip&tags=two%20words")
    task = final(client, task_id)
    recorded(client, task_id)

    page = look(client, task_id)

    assert "Success" in page
    assert '<span class="value number">4001</span>' in page
    assert f'<a href="/console/workers/{quote(task["worker"])}">' in page
    assert "q=tag%3A%22two+words%22" in page
    assert f'action="/console/tasks/{task_id}/rerun"' in page
    assert f'href="/console/tasks/{task_id}/cancel"' not in page
    assert re.search(r'<rect class="ran success" x="[\d.]+%" y="4" width="[\d.]+%"', page)
    assert f"curl -X POST '{client.base_url}/tasks/add?tags=vip" in page


def test_a_task_that_nobody_knows(client: httpx2.Client) -> None:
    for path in ("", "/cancel", "/edit"):
        answer = client.get(f"/console/tasks/nobody{path}")
        assert answer.status_code == 404
        assert "No task has the id" in unescape(answer.text)
    assert client.post("/console/tasks/nobody/rerun").status_code == 404


def test_attempts_that_failed_are_listed_and_the_traceback_shows_own_code(client: httpx2.Client) -> None:
    task_id = submit(client, "flaky", {"failures": 9})
    final(client, task_id)
    recorded(client, task_id)

    page = look(client, task_id)

    assert page.count('<rect class="ran retry"') == 2
    assert page.count('<rect class="ran failure"') == 1
    assert "ValueError: attempt 1 fails on purpose</small>" in page
    assert "The function raised an exception." in page
    assert re.search(r"<strong>flaky</strong>.{1,80}support/yard.py.{1,60}line \d+", page)
    assert "raise ValueError(f" in page
    assert re.search(r'href="/console/errors/[0-9a-f]{16}"', page)


def test_a_process_that_died_leaves_its_evidence(client: httpx2.Client) -> None:
    task_id = submit(client, "die")
    final(client, task_id)

    page = look(client, task_id)

    assert "not tried any more" in page
    assert page.count("<dd>SIGKILL") == 3
    assert "Most memory" in page


def test_the_log_can_be_narrowed_and_outlives_the_record(client: httpx2.Client, ledger_of_stack: Ledger) -> None:
    task_id = submit(client, "save_and_log", {"name": "notes.csv", "text": "id,price\n7,2.5"})
    final(client, task_id)
    recorded(client, task_id)
    asked = [f"/console/tasks/{task_id}?level=error#task-log", 'saving</span> <code class="log-field">name=notes.csv']

    page = look(client, task_id)
    assert all(text in page for text in asked)
    assert '<td class="nowrap">2.5</td>' in page
    assert "saving</span>" not in look(client, task_id, "?level=error")

    ledger_of_stack.run(ledger_of_stack.calls.forget_ended([task_id]))
    page = look(client, task_id)
    assert "kept by the history alone" in page
    assert all(text in page for text in asked)
    assert '<rect class="ran success"' in page


def test_a_part_of_the_page_is_drawn_alone(client: httpx2.Client) -> None:
    task_id = submit(client, "add", {"a": 1})
    final(client, task_id)

    def parts(region: str) -> set[str]:
        page = look(client, task_id, headers={"HX-Request": "true", "HX-Target": region})
        assert "<html" not in page
        return set(re.findall(r'id="(task-[a-z]+|snippets-title)"', page))

    assert parts("task-now") == {"task-now", "task-outcome", "task-log", "task-facts"}
    assert parts("task-family") == {"task-family"}
    assert parts("task-artifacts") == {"task-artifacts"}


def test_a_task_that_waits_says_why_and_is_cancelled_and_submitted_again(client: httpx2.Client) -> None:
    task_id = submit(client, "add", {"a": 1}, "?delay=3600")

    page = look(client, task_id)
    assert "Why it is not running:" in page
    assert '<rect class="waited"' in page
    asks = client.get(f"/console/tasks/{task_id}/cancel").text
    assert 'name="children" value="1" checked' in asks

    said = notice(client.post(f"/console/tasks/{task_id}/cancel", data={"children": "1"}))
    assert said["text"] == "The task is cancelled; it never starts."
    assert client.get(f"/tasks/{task_id}").json()["state"] == "REVOKED"
    page = look(client, task_id)
    assert '<li class="done stopped">' in page
    assert "it had not begun" in page

    again = client.post(f"/console{said['undo'][1]}")
    made = again.headers["location"].rpartition("/")[2]
    assert final(client, made)["rerun_of"] == task_id
    assert notice(client.post(f"/console/tasks/{made}/cancel"))["text"].startswith("The task had ended already")


def test_what_an_operator_does_is_in_the_audit_trail(client: httpx2.Client) -> None:
    task_id = submit(client, "add", {"a": 1}, "?delay=3600")
    client.post(f"/console/tasks/{task_id}/rerun")
    client.post(f"/console/tasks/{task_id}/cancel")

    lines = until(
        lambda: [one for one in client.get("/audit").json() if one["subject"] == task_id][1:], "both lines of the trail"
    )

    assert {line["actor"].partition("@")[0] for line in lines} == {"console"}


def test_an_edited_input_is_checked_and_kept_as_it_was_typed(client: httpx2.Client) -> None:
    task_id = submit(client, "add", {"a": 20, "b": 1})
    final(client, task_id)
    form = client.get(f"/console/tasks/{task_id}/edit").text
    assert 'value="20"' in form

    wrong = client.post(f"/console/tasks/{task_id}/edit", data={"input~mode": "json", "input~text": '{"a": "much"}'})
    assert wrong.status_code == 422
    assert '{"a": "much"}' in unescape(wrong.text)
    assert "valid integer" in wrong.text
    broken = client.post(f"/console/tasks/{task_id}/edit", data={"input~mode": "json", "input~text": "{"})
    assert broken.status_code == 422

    right = client.post(
        f"/console/tasks/{task_id}/edit", data={"input~mode": "json", "input~text": '{"a": 41, "b": 1}'}
    )
    made = final(client, right.headers["location"].rpartition("/")[2])
    assert (made["result"], made["rerun_of"]) == (42, task_id)
    assert notice(right)["undo"][1] == f"/tasks/{made['task_id']}/cancel?children=1"


def test_a_yard_without_a_keeper_shows_what_the_ledger_knows(server_url: str, tmp_path: Path) -> None:
    with running_api(make_environment(server_url, tmp_path)) as api, connect(api.url) as client:
        task_id = submit(client, "add", {"a": 1})

        page = look(client, task_id)

        assert "Nothing has recorded this yard's history yet." in page
        assert "Why it is not running:" in page
        assert '<rect class="queued"' in page


# -- as a person sees it --------------------------------------------------------------------------------------------


def test_a_cancel_goes_through_its_stages(browser_page: Page, client: httpx2.Client, console_url: str) -> None:
    task_id = submit(client, "steps", {"count": 10_000, "pause": 0.1})
    browser_page.goto(f"{console_url}/tasks/{task_id}")
    expect(browser_page.get_by_text("It is running on")).to_be_visible()

    browser_page.get_by_role("link", name="Cancel").click()
    dialog = browser_page.get_by_role("dialog")
    expect(dialog.get_by_role("checkbox")).to_be_checked()
    dialog.get_by_role("button", name="Cancel the task").click()

    expect(browser_page.get_by_text("The task is told to stop.")).to_be_visible()
    expect(browser_page.locator(".steps .stopped")).to_contain_text("Stopped")
    expect(browser_page.locator(".steps")).to_contain_text("Seen by the task")
    expect(browser_page.locator("h1")).to_contain_text("Revoked")
    expect(browser_page.get_by_role("link", name="Cancel")).to_have_count(0)


def test_a_cancel_that_comes_too_late_says_so(client: httpx2.Client, tmp_path: Path) -> None:
    task_id = submit(
        client, "wait_for", {"gate": str(tmp_path / "gate")}
    )  # it sees the cancel, and returns all the same
    until(lambda: client.get(f"/tasks/{task_id}").json()["state"] == "STARTED", "it runs")

    client.post(f"/console/tasks/{task_id}/cancel", data={"children": "1"})
    final(client, task_id)

    assert "Too late: it had ended by itself" in look(client, task_id)


def test_a_running_task_is_watched_to_its_end(
    browser_page: Page, client: httpx2.Client, console_url: str, axe: Callable[[Page], list[str]], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    task_id = submit(client, "steps", {"count": 900, "pause": 0.1, "until": str(gate)})
    browser_page.goto(f"{console_url}/tasks/{task_id}")
    browser_page.locator("#attempts summary").click()  # folds the table
    expect(browser_page.locator(".pace-facts")).to_contain_text("of 900")
    expect(browser_page.locator(".pace-facts")).to_contain_text("to go")
    before = browser_page.locator(".pace-facts span").first.inner_text()
    expect(browser_page.locator(".pace-facts span").first).not_to_have_text(before)

    gate.touch()
    expect(browser_page.locator("h1")).to_contain_text("Success")
    expect(browser_page.locator("#task-outcome .value.number")).to_have_text(re.compile(r"^\d+$"))
    expect(browser_page.locator("#task-outcome [data-copy]")).to_be_visible()
    # What was folded stays so, whatever was drawn anew.
    expect(browser_page.locator("#attempts")).not_to_have_attribute("open", "")
    assert axe(browser_page) == []


def test_a_failure_is_read_corrected_and_run_again(
    browser_page: Page, client: httpx2.Client, console_url: str, axe: Callable[[Page], list[str]]
) -> None:
    task_id = submit(client, "flaky", {"failures": 9})
    final(client, task_id)
    browser_page.goto(f"{console_url}/tasks/{task_id}")
    expect(browser_page.get_by_label("Message")).to_have_text("attempt 3 fails on purpose")
    expect(browser_page.locator(".frame").first).to_contain_text("support/yard.py")
    assert axe(browser_page) == []
    assert browser_page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    browser_page.get_by_role("link", name="Edit and rerun").click()
    browser_page.get_by_label("Failures").fill("0")
    browser_page.get_by_role("button", name="Submit").click()

    expect(browser_page.locator("h1")).to_contain_text("Success")
    expect(browser_page.locator("#task-outcome .value.number")).to_have_text("1")
    expect(browser_page.locator("#task-facts")).to_contain_text("Rerun of")
    browser_page.wait_for_load_state()  # keys are heard when the scripts have run
    browser_page.keyboard.press("r")
    expect(browser_page.get_by_text("It is submitted again")).to_be_visible()


def test_all_of_it_can_be_done_without_scripts(plain_page: Page, client: httpx2.Client, console_url: str) -> None:
    task_id = submit(client, "add", {"a": 1}, "?delay=3600")
    plain_page.goto(f"{console_url}/tasks/{task_id}")

    plain_page.get_by_role("link", name="Cancel").click()
    plain_page.get_by_role("button", name="Cancel the task").click()
    expect(plain_page.locator("h1")).to_contain_text("Revoked")
    plain_page.get_by_role("button", name="Rerun").click()

    expect(plain_page.get_by_text("It is submitted again; this is the new task.")).to_be_visible()

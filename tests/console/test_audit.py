"""The page of the audit trail: who did what, when, and to which."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest
from playwright.sync_api import Page, expect

from backyard.console.audit import place_of
from support.web import until


@pytest.mark.parametrize(
    ("kind", "subject", "path"),
    [
        ("task", "t-1", "/tasks/t-1"),
        ("queue", "a/b c", "/queues/a%2Fb%20c"),
        ("worker", "w@h", "/workers/w@h"),
        ("delivery", "msg_1", "/webhooks/deliveries/msg_1"),
        ("dead letter", "1-1", "/dead-letters/1-1"),
        ("something", "x", ""),
    ],
)
def test_a_subject_leads_to_its_page(kind: str, subject: str, path: str) -> None:
    assert place_of(kind, subject) == path


def act(client: httpx2.Client, number: int = 1) -> str:
    """Do something that leaves lines; returns to what."""
    name = "audited"
    for _ in range(number):
        client.post(f"/queues/{name}/resume")
    until(lambda: len(client.get("/audit", params={"subject": name}).json()) >= min(number, 50), "the history has it")
    return name


def test_lines_are_filtered_and_lead_on(client: httpx2.Client) -> None:
    name = act(client, 52)
    until(lambda: len(client.get("/audit", params={"subject": name, "limit": 60}).json()) >= 52, "all are there")
    page = client.get("/console/audit", params={"subject": name, "verb": "resume", "kind": "queue"}).text
    assert page.count(f'href="/console/queues/{name}"') == 50
    (older,) = {part.split('"')[0] for part in page.split('rel="next" href="')[1:]}
    assert "before=" in older
    rest = client.get(older.replace("&amp;", "&")).text
    assert 2 <= rest.count(f'href="/console/queues/{name}"') < 50
    none = client.get("/console/audit", params={"subject": name, "actor": "nobody"}).text
    assert "No such line" in none
    assert client.get("/console/audit", params={"before": "nonsense"}).status_code == 200
    for field, value in (("verb", "resume"), ("actor", "api@127.0.0.1")):
        rows = client.get("/audit", params={"subject": name, field: value, "limit": 5}).json()
        assert len(rows) == 5
        assert client.get("/audit", params={"subject": name, field: "other"}).json() == []


def test_a_person_looks_for_what_was_done(
    browser_page: Page, console_url: str, client: httpx2.Client, axe: Callable[[Page], list[str]]
) -> None:
    name = act(client)
    browser_page.goto(f"{console_url}/audit")
    browser_page.get_by_label("Which").fill(name)
    browser_page.get_by_role("button", name="Show").click()
    table = browser_page.get_by_role("region", name="Audit trail")
    expect(table.get_by_role("link", name=name).first).to_be_visible()
    assert axe(browser_page) == []
    table.get_by_role("link", name="resume").first.click()
    expect(browser_page.get_by_label("Did what")).to_have_value("resume")

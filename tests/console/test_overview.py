"""The overview: a stranger's first page, what it says of a yard, and what is wrong."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect

from backyard.console.charts import Frame
from backyard.console.overview import draw
from backyard.console.troubles import from_findings
from backyard.doctor import CHECKS
from backyard.doctor.finding import Finding, error, fine, warning
from support.processes import make_environment, running_api
from support.web import connect, final, until

START = datetime(2027, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def alone(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of an API that has neither worker nor keeper."""
    environment = make_environment(server_url, tmp_path_factory.mktemp("alone"))
    with running_api(environment) as api, connect(api.url) as client:
        yield client


def banners(client: httpx2.Client) -> list[tuple[str, str]]:
    """Return how bad each banner is, and what it says."""
    text = client.get("/console/").text
    found = re.findall(r'<div class="banner (\w+)">.*?<strong>(.*?)</strong>', text, re.DOTALL)
    return [(kind, html.unescape(said)) for kind, said in found]


def region(client: httpx2.Client, name: str) -> str:
    """Return a part of the page as it is fetched alone."""
    return client.get("/console/", headers={"HX-Request": "true", "HX-Target": name}).text


def test_the_first_page_says_how_to_begin_and_then_shows_what_waits(alone: httpx2.Client) -> None:
    first = alone.get("/console/").text
    assert "Submit the first task" in first
    assert 'href="/console/definitions/add"' in first
    assert f"curl -X POST {str(alone.base_url).rstrip('/')}/tasks/add" in first
    assert "No worker is here yet" in first
    assert ("error", "No worker lives: tasks wait.") in banners(alone)

    alone.post("/tasks/add", json={"a": 1})

    text = alone.get("/console/").text
    assert "Submit the first task" not in text
    assert re.search(r">Waiting</a></dt>\s*<dd>1 ", text)
    said = {said: kind for kind, said in banners(alone)}
    assert said["No keeper has recorded the history: lists forget a task when its record's lifetime ends."] == "error"
    assert "There are no charts: Nothing has recorded" in text
    assert "No worker</span>" in text, "the queue that nobody reads is marked"


def test_what_is_wrong_is_said_with_its_remedy_and_where_to_look() -> None:
    checks = {check.name: check for check in CHECKS}

    def found(name: str, finding: Finding) -> tuple[str, str, bool]:
        ((one),) = from_findings([(checks[name], finding)])
        return one.text, one.path, one.serious

    assert found("durability", error("the append-only file is off", "x")) == (
        "The append-only file is off", "/settings", True,
    )  # fmt: skip
    assert found("workers", warning("no worker lives", "x")) == ("No worker lives", "/workers", True)
    assert found("history", warning("the history is 60 s behind", "x"))[1:] == ("/settings", True)
    assert found("silence", warning("no word from w", "x"))[1:] == ("/workers", True)
    assert found("eviction", warning("maxmemory-policy is x", "x"))[2] is False
    assert from_findings([(checks["workers"], fine("all live"))]) == []


def test_a_server_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    nowhere = {**make_environment("redis://127.0.0.1:1/0", tmp_path), "BACKYARD_REDIS_TIMEOUT": "0.2"}
    with running_api(nowhere) as api, connect(api.url) as client:
        answer = client.get("/console/")
        assert answer.status_code == 200
        ((kind, said),) = banners(client)
        assert kind == "error"
        assert "127.0.0.1:1" in said
        names = ["overview-troubles", "overview-now", "overview-lately", "overview-lists"]
        assert re.findall(r'<section id="(.*?)"', answer.text) == names, "each comes back by itself"


@pytest.mark.usefixtures("worker")
def test_what_happened_is_drawn_in_each_range(client: httpx2.Client) -> None:
    done = client.post("/tasks/add", json={"a": 1}).json()["task_id"]
    failed = client.post("/tasks/wrong_result", json={}).json()["task_id"]
    assert [final(client, one)["state"] for one in (done, failed)] == ["SUCCESS", "FAILURE"]

    def page(chosen: str) -> str:
        return client.get("/console/", params={"range": chosen}).text

    def whole() -> str | None:
        text = page("1h")
        drawn = re.search(r'<desc id="throughput-text">Tasks that ended: [1-9]\d* succeeded, [1-9]\d* failed', text)
        return text if drawn and "/console/errors/" in text else None

    text = until(whole, "the history has it")
    assert text.count('role="img" aria-labelledby') == 3
    assert "up from 0" in text
    assert 'href="/console/tasks?q=state%3Arunning"' in text
    assert "since%3A1h" in text
    edges = {"15m": "15 min ago", "6h": "6 h ago", "24h": "1 d ago", "7d": "7 d ago", "30d": "30 d ago"}
    for chosen, words in edges.items():
        assert words in page(chosen)
    assert 'aria-current="true">1 h' in page("nonsense")


@pytest.mark.usefixtures("worker")
def test_charts_are_drawn_only_where_they_are_asked_for(client: httpx2.Client) -> None:
    final(client, client.post("/tasks/add", json={"a": 1}).json()["task_id"])
    assert "throughput" in region(client, "overview-lately")
    for name in ("overview-now", "overview-lists", "overview-troubles"):
        assert "throughput" not in region(client, name)


def test_shares_are_lines_and_counts_are_bars() -> None:
    shares = {"p50": 1.0, "p95": 2.0, "p99": None}
    point = {"at": START, "succeeded": 2, "failed": 1, "revoked": 0, "wait": shares, "run": dict.fromkeys(shares)}
    throughput, waits, runs = draw(Frame([START, START + timedelta(minutes=1)], 60, 120), [point, point])

    assert throughput.rows[0][1] == ["2", "1", "0"]
    assert waits.rows[0][1] == ["1.0 s", "2.0 s", "—"]
    assert (waits.empty, runs.empty) == (False, True)


@pytest.mark.usefixtures("worker")
def test_a_person_sees_the_yard_change(
    browser_page: Page, console_url: str, client: httpx2.Client, tmp_path: Path, axe: Callable[[Page], list[str]]
) -> None:
    task = client.post("/tasks/add", json={"a": 1}).json()["task_id"]
    final(client, task)
    browser_page.goto(f"{console_url}/")
    chart = browser_page.get_by_role("img", name="Tasks that ended", exact=False).first
    expect(chart).to_be_visible()
    assert axe(browser_page) == []

    gate = tmp_path / "gate"
    held = client.post("/tasks/wait_for", json={"gate": str(gate)}).json()["task_id"]
    running = browser_page.locator("#overview-now .figure", has_text="Running")
    expect(running.locator("dd")).to_contain_text("1")
    gate.touch()
    final(client, held)
    expect(running.locator("dd")).to_contain_text("0")

    browser_page.get_by_text("As a table").first.click()
    expect(browser_page.get_by_role("region", name="Tasks that ended, as a table")).to_be_visible()
    browser_page.get_by_role("link", name="24 h").click()
    expect(browser_page).to_have_url(re.compile(r"range=24h"))
    browser_page.set_viewport_size({"width": 390, "height": 844})
    browser_page.wait_for_load_state()
    assert browser_page.evaluate("document.documentElement.scrollWidth <= innerWidth")

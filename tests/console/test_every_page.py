"""Every page of the console, one after another: what holds for all, at its own place and below somebody else's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.routing import compile_path

from backyard.console.site import ADDRESSES
from support.browser import Noted, findings
from support.everything import Everything, everything
from support.processes import Api, running_api
from support.web import connect

#: What is answered to scripts is no page.
PAGES = sorted({path for method, path, _ in ADDRESSES if method == "GET"} - {"/suggestions"})
WIDTHS = (390, 768)
#: What a proxy takes away, and where the app has the yard.
PROXY, PREFIX = "/shop", "/jobs"
BASE = PROXY + PREFIX
LEADS = re.compile(r'\s(href|src|action|formaction|hx-get|hx-post|data-base|data-events|data-suggestions)="([^"]*)"')
#: Where a form goes: that an address of the console is there is all that can be asked without sending it.
POSTED = {"action", "formaction", "hx-post"}
KNOWN = [compile_path(f"{PREFIX}/console{path}")[0] for _, path, _ in ADDRESSES]


@pytest.fixture(scope="module")
def stack(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    with everything(server_url, tmp_path_factory.mktemp("everything")) as stack:
        yield stack


@dataclass(frozen=True)
class Seen:
    """The page of a browser that is used for all pages, and what it complained about."""

    page: Page
    noted: Noted


@pytest.fixture(scope="module")
def seen(browser: Browser, stack: Everything) -> Iterator[Seen]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(20_000)
    page = context.new_page()
    yield Seen(page, Noted(page, stack.url))
    context.close()


def wrong_with(page: Page) -> list[str]:
    """Return what is wrong with a page as it is drawn now."""
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 800})
    wrong = [f"light: {line}" for line in findings(page)]
    page.emulate_media(color_scheme="dark")
    wrong += [f"dark: {line}" for line in findings(page, only=["color-contrast"])]
    headings = page.locator("h1").all_inner_texts()
    if len(headings) != 1:
        wrong.append(f"its headings of the first level are {headings}")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        if wide[0] > wide[1]:
            wrong.append(f"it is {wide[0]} px wide on a screen of {width}")
    return wrong


@pytest.mark.parametrize("address", PAGES)
def test_a_page_is_whole(seen: Seen, stack: Everything, address: str) -> None:
    assert address in stack.pages, "tests/support/everything.py has to name a page of this address"
    for path in stack.pages[address]:
        seen.noted.complaints.clear()
        answer = seen.page.goto(f"{stack.url}/console{path}")
        assert answer
        wrong = wrong_with(seen.page)
        assert (path, answer.status, wrong, seen.noted.complaints) == (path, 200, [], [])


def test_what_is_not_in_the_menu_is_whole(seen: Seen, stack: Everything) -> None:
    task = stack.pages["/tasks/{task_id}"][0]
    with connect(stack.url) as client:
        link = client.post(f"{task}/links", json={"result": True}).json()["url"]
    for path, status in (("/console/nowhere", 404), (link, 200), (f"{link}/embed", 200), ("/t/nonsense", 404)):
        answer = seen.page.goto(path if path.startswith("http") else stack.url + path)
        assert answer
        wrong = wrong_with(seen.page)
        assert (path, answer.status, wrong, seen.noted.complaints) == (path, status, [], [])


# -- below a path of somebody else's app, behind a proxy -----------------------------------------------------------


@pytest.fixture(scope="module")
def below(stack: Everything) -> Iterator[Api]:
    """The same yard, which browsers know at ``/shop/jobs``, and the app behind the proxy at ``/jobs``."""
    environment = {**stack.environment, "TEST_ROOT_PATH": PROXY}
    with running_api(environment, "support.mounted_yard:app") as api:
        yield api


def leads_of(client: httpx2.Client, path: str) -> set[tuple[str, str]]:
    """Return where a page leads, by the attribute that says so."""
    answer = client.get(f"{PREFIX}{path}")
    assert answer.status_code == 200, (path, answer.text)
    found = {(name, unescape(value)) for name, value in LEADS.findall(answer.text)}
    host = str(client.base_url).rstrip("/")
    return {(name, value.removeprefix(host)) for name, value in found}


def test_below_a_path_all_leads_stay_there_and_answer(stack: Everything, below: Api) -> None:
    with connect(below.url) as client:
        paths = [f"/console{path}" for paths in stack.pages.values() for path in paths]
        task = stack.pages["/tasks/{task_id}"][0]
        link = client.post(f"{PREFIX}{task}/links", json={}).json()["url"]
        assert urlsplit(link).path.startswith(f"{BASE}/t/")
        paths.append(urlsplit(link).path.removeprefix(BASE))
        leads: dict[tuple[str, str], str] = {}
        for path in paths:
            for lead in leads_of(client, path):
                leads.setdefault(lead, path)
        inside = {lead: page for lead, page in leads.items() if not lead[1].startswith(("#", "data:"))}
        inside.pop(("href", f"{PROXY}/docs"))  # the documentation is the app's, which has the yard's routes in it
        assert {lead: page for lead, page in inside.items() if not lead[1].startswith(BASE)} == {}
        assert lost(client, inside) == {}


def lost(client: httpx2.Client, leads: dict[tuple[str, str], str]) -> dict[str, str]:
    """Follow where pages lead, once each path; returns what does not answer, by the page that leads there."""
    wrong = {}
    followed = set()
    for (name, lead), page in leads.items():
        parts = urlsplit(lead)
        if name.startswith("data-") or (name in POSTED, parts.path) in followed:
            continue
        followed.add((name in POSTED, parts.path))
        path = parts.path.removeprefix(PROXY)
        if name in POSTED:
            there = any(known.match(path) for known in KNOWN)
        else:
            there = client.get(path + (f"?{parts.query}" if parts.query else "")).status_code < 400
        if not there:
            wrong[f"{name}={lead}"] = page
    return wrong


def test_below_a_path_forms_lead_back_there(below: Api) -> None:
    with connect(below.url) as client:
        answer = client.post(f"{PREFIX}/console/queues/slow/resume")
        assert (answer.status_code, answer.headers["location"]) == (303, f"{BASE}/console/queues/slow")
        assert f"Path={BASE}/console;" in answer.headers["set-cookie"]


def test_below_a_path_pages_hear_the_news(browser: Browser, below: Api) -> None:
    page = browser.new_page()
    noted = Noted(page, below.url)
    page.goto(f"{below.url}{BASE}/console/tasks?q=tag:below")
    page.get_by_role("link", name="Keys").click()
    expect(page.get_by_role("dialog").get_by_role("heading", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    with connect(below.url) as client:
        client.post(f"{PREFIX}/tasks", json={"name": "add", "input": {"a": 1}, "tags": ["below"]})
    expect(page.locator("[data-row]")).to_have_count(1)
    assert noted.complaints == []
    page.close()

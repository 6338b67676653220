from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect

import backyard.console

TEMPLATES = sorted((Path(backyard.console.__file__).parent / "templates").rglob("*.html"))
#: What a strict policy would block, or would have to be loosened for.
INLINE = re.compile(
    r"""\sstyle\s*=|<style|\son[a-z]+\s*=\s*["']|\bhx-on|javascript:|<script(?![^>]*\ssrc=)|js:""", re.IGNORECASE
)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_template_has_a_style_or_a_script_of_its_own(template: Path) -> None:
    assert INLINE.findall(template.read_text()) == []


def test_every_page_says_what_it_may_load(client: httpx2.Client) -> None:
    answer = client.get("/console/keys")

    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_files_are_served_for_ever_and_packed(client: httpx2.Client) -> None:
    page = client.get("/console/keys").text
    (sheet,) = re.findall(r'href="(/console/static/console\.[0-9a-f]{12}\.css)"', page)

    answer = client.get(sheet, headers={"Accept-Encoding": "gzip"})

    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert "--accent" in answer.text
    assert client.get("/console/static/console.000000000000.css").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_a_form_of_another_site_is_refused(client: httpx2.Client, headers: dict[str, str], status: int) -> None:
    assert client.post("/console/theme", data={"theme": "dark"}, headers=headers).status_code == status


def test_with_hx_request_only_the_inside_comes(client: httpx2.Client) -> None:
    whole, inside = client.get("/console/keys"), client.get("/console/keys", headers={"HX-Request": "true"})

    assert "<html" in whole.text
    assert "<html" not in inside.text
    assert inside.text.strip() in whole.text
    assert whole.headers["vary"].startswith("HX-Request")


def test_a_page_that_is_not_there_says_so(client: httpx2.Client) -> None:
    answer = client.get("/console/nowhere")

    assert answer.status_code == 404
    assert "There is no page at this address" in answer.text


def test_the_home_leads_to_the_console(client: httpx2.Client) -> None:
    assert client.get("/").headers["location"] == "/console/"


def test_keys_and_theme(browser_page: Page, console_url: str, axe: Callable[[Page], list[str]]) -> None:
    browser_page.goto(f"{console_url}/")
    browser_page.keyboard.press("?")
    dialog = browser_page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Keys")).to_be_visible()
    assert axe(browser_page) == []

    browser_page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    browser_page.keyboard.press("/")
    expect(browser_page.get_by_role("searchbox")).to_be_focused()

    with browser_page.expect_response("**/theme"):
        browser_page.get_by_role("button", name="Switch between light and dark").click()
    expect(browser_page.locator("html")).to_have_attribute("data-theme", "dark")
    browser_page.reload()
    expect(browser_page.locator("html")).to_have_attribute("data-theme", "dark")


def test_the_theme_without_scripts(plain_page: Page, console_url: str) -> None:
    plain_page.goto(f"{console_url}/keys")
    plain_page.get_by_role("button", name="Switch between light and dark").click()

    expect(plain_page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(plain_page).to_have_url(f"{console_url}/keys")

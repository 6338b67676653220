"""The page of settings and health: findings, settings without their secrets, and the link to Flower."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect
from pydantic import SecretStr

from backyard import Settings
from backyard.console.health import settings_of, without_password
from support.processes import make_environment, running_api
from support.web import connect

KEY = "k" * 40


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://user:secret@host:6379/0", "redis://host:6379/0"),
        ("redis://host/0?password=secret", "redis://host/0?…"),
        ("postgresql://a:p%40@h/db", "postgresql://h/db"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("https://h/x#secret", "https://h/x"),
        ("/folder/a@b", "/folder/a@b"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(text: str, shown: str) -> None:
    assert without_password(text) == shown


def test_every_setting_is_shown_and_no_secret() -> None:
    given: dict[str, Any] = {
        "redis_url": "redis://:hidden@h:1/0", "secret_keys": (SecretStr(KEY), SecretStr("z" * 40)), "lease": 5.0,
        "history_url": "postgresql://u:hidden@h/d", "smtp_url": "smtp://u:hidden@h:25",
        "webhook_secret": "whsec_" + "aGlk" * 10,
    }  # fmt: skip
    rows = settings_of(Settings(**given))
    assert len(rows) == len(Settings.model_fields)
    assert not re.search(r"hidden|kkkk|zzzz|aGlk", str(rows))
    found = {row.name: row for row in rows}
    assert (found["BACKYARD_SECRET_KEYS"].value, found["BACKYARD_SECRET_KEYS"].secret) == ("2 keys, not shown", True)
    assert found["BACKYARD_WEBHOOK_SECRET"].value == "set, not shown"
    assert (found["BACKYARD_LEASE"].value, found["BACKYARD_LEASE"].default) == ("5", "10")
    assert {row.name for row in rows if row.changed} == {
        "BACKYARD_REDIS_URL", "BACKYARD_SECRET_KEYS", "BACKYARD_LEASE", "BACKYARD_HISTORY_URL", "BACKYARD_SMTP_URL",
        "BACKYARD_WEBHOOK_SECRET",
    }  # fmt: skip
    assert all(row.help for row in rows)


def test_findings_sizes_and_versions_are_shown(client: httpx2.Client) -> None:
    text = client.get("/console/settings").text
    assert "are as they should be" in text
    assert re.search(r"Append-only file</dt><dd>on", text)
    assert "history" in text
    assert "<dt>celery</dt>" in text


@pytest.fixture(scope="module")
def own(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """The client of an API that knows of Flower, with no keeper beside it."""
    environment = make_environment(server_url, tmp_path_factory.mktemp("own"))
    with (
        running_api({**environment, "BACKYARD_FLOWER_URL": "http://127.0.0.1:5555/flower"}) as api,
        connect(api.url) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:5555/flower"),
        ("localhost:8000", "http://127.0.0.1:5555/flower"),
        ("tasks.example", "http://tasks.example:5555/flower"),
        ("tasks.example:8443", "http://tasks.example:5555/flower"),
        ("[2001:db8::1]:8000", "http://[2001:db8::1]:5555/flower"),
    ],
)
def test_flower_is_where_the_browser_can_reach_it(own: httpx2.Client, host: str, url: str) -> None:
    text = own.get("/console/keys", headers={"Host": host}).text
    assert f'<a href="{url}" rel="noopener">Flower</a>' in text


def test_a_flower_elsewhere_stays_there_and_none_is_no_link(client: httpx2.Client) -> None:
    assert ">Flower</a>" not in client.get("/console/keys").text
    with pytest.raises(ValueError, match="flower_url"):
        Settings(flower_url="javascript:alert(1)")
    assert Settings(flower_url="").flower_url is None


def test_without_a_history_the_rest_is_shown(own: httpx2.Client) -> None:
    for path in ("settings", "errors", "audit", "dead-letters"):
        answer = own.get(f"/console/{path}")
        assert (path, answer.status_code, "Start `backyard keeper`" in answer.text) == (path, 200, True)


def test_a_person_reads_the_findings(browser_page: Page, console_url: str, axe: Callable[[Page], list[str]]) -> None:
    browser_page.goto(f"{console_url}/settings")
    expect(browser_page.get_by_role("heading", name="Findings")).to_be_visible()
    assert axe(browser_page) == []
    browser_page.get_by_role("link", name="Look again").click()
    expect(browser_page.get_by_role("row", name="BACKYARD_LEASE")).to_be_visible()

"""A real Chromium, driven as a person would drive it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
#: Nothing of the browser's own goes out, and tests may run as root.
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-quic",
)  # fmt: skip
#: Milliseconds that a test waits for what a page is to show: pages look anew every few seconds, and machines are slow.
expect.set_options(timeout=30_000)
#: How bad a finding of axe has to be to count.
SERIOUS = {"serious", "critical"}


def chromium() -> str:
    """Return the path of the browser; a machine without one fails the test, and is told what to do."""
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    pytest.fail(f"The console's tests drive a real browser, and none of {', '.join(NAMES)} is here. On Debian or Ubuntu: apt-get install chromium")  # fmt: skip  # noqa: E501 - one sentence


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser for a while."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Noted:
    """What a page complained about while a test looked at it.

    Args:
        page: The page.
        host: What all requests have to begin with.
    """

    def __init__(self, page: Page, host: str) -> None:
        self.complaints: list[str] = []
        self._host = host
        page.on("console", self._console)
        page.on("pageerror", self._error)
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        # An answer of 4xx or 5xx is what some tests ask for; they look at it themselves.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    def _error(self, error: Error) -> None:
        self.complaints.append(f"error: {error}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self._host, "data:", "blob:", "about:")):
            self.complaints.append(f"a request left the host: {request.url}")


def findings(page: Page, *, off: Sequence[str] = (), only: Sequence[str] = ()) -> list[str]:
    """Return what axe finds serious on a page as it is now, one line a finding.

    Args:
        page: The page.
        off: Rules of axe that do not count there.
        only: The rules that are asked; all of them where none is named.
    """
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    options: dict[str, Any] = {"resultTypes": ["violations"], "rules": {name: {"enabled": False} for name in off}}
    if only:
        options["runOnly"] = list(only)
    found: dict[str, Any] = page.evaluate(f"axe.run(document, {json.dumps(options)})")
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {node['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]

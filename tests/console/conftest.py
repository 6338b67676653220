"""A stack that all tests of a process share, and a real browser that looks at it; each test makes tasks of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Page

from support.browser import Noted, findings, running_browser
from support.keepers import start_keeper
from support.processes import Api, Process, make_environment, running_api, start_worker
from support.web import connect


@pytest.fixture(scope="session")
def stack_environment(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the shared stack, which has a keeper."""
    return make_environment(server_url, tmp_path_factory.mktemp("console"))


@pytest.fixture(scope="session")
def keeper(stack_environment: dict[str, str]) -> Iterator[Process]:
    """A keeper of the shared stack."""
    process = start_keeper(stack_environment)
    yield process
    process.end()


@pytest.fixture(scope="session")
def worker(stack_environment: dict[str, str]) -> Iterator[Process]:
    """A worker of the shared stack, running ``support.yard``."""
    process = start_worker(stack_environment)
    yield process
    process.end()


@pytest.fixture(scope="session")
def api(stack_environment: dict[str, str], keeper: Process) -> Iterator[Api]:  # noqa: ARG001 - pages ask the history
    """The API of the shared stack with its console, running ``support.application``."""
    with running_api(stack_environment) as running:
        yield running


@pytest.fixture(scope="session")
def client(api: Api) -> Iterator[httpx2.Client]:
    """A client of that API, which does not follow redirects."""
    with connect(api.url) as client:
        yield client


@pytest.fixture(scope="session")
def console_url(api: Api) -> str:
    """Where that console is, without a slash at its end."""
    return f"{api.url}/console"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium, shared by the tests of a module.

    While it runs, this thread counts as one with a running event loop, and ``asyncio.run`` is refused: modules with
    browser tests do without, and those that come after find it closed.
    """
    with running_browser() as browser:
        yield browser


@pytest.fixture
def browser_page(browser: Browser, api: Api) -> Iterator[Page]:
    """A page of a browser that knows nothing yet; whatever it complains about fails the test."""
    # Colours that fade from one theme to the other are seen by axe halfway.
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, color_scheme="light", reduced_motion="reduce"
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    noted = Noted(page, api.url)
    yield page
    context.close()
    assert noted.complaints == []


@pytest.fixture
def plain_page(browser: Browser) -> Iterator[Page]:
    """A page of a browser that runs no scripts."""
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def axe() -> Callable[[Page], list[str]]:
    """What axe finds serious on a page, in both themes."""

    def find(page: Page) -> list[str]:
        found = []
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            found += [f"{theme}: {line}" for line in findings(page)]
        page.emulate_media(color_scheme="light")
        return found

    return find

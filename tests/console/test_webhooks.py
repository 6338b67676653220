"""The pages of webhooks: made with a key that is shown once, tried, changed, deleted; and what they were told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx2
import pytest
from playwright.sync_api import Page, expect

from backyard.core.webhooks import key_of
from support.keepers import start_keeper
from support.processes import Api, make_environment, running_api
from support.receiver import Receiver, receiving
from support.web import connect, until


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def own_receiver() -> Iterator[Receiver]:
    """One that no other test's messages go to, and take an answer from."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API whose webhooks may go to this machine, with a keeper that sends."""
    environment = make_environment(server_url, tmp_path_factory.mktemp("webhooks"))
    environment |= {"BACKYARD_WEBHOOK_PRIVATE": "1", "BACKYARD_SECRET_KEYS": "k" * 40}
    keeper = start_keeper(environment)
    try:
        with running_api(environment) as running:
            yield running
    finally:
        keeper.end()


@pytest.fixture(scope="module")
def client(api: Api) -> Iterator[httpx2.Client]:
    with connect(api.url) as client:
        yield client


@pytest.fixture(scope="module")
def console_url(api: Api) -> str:
    return f"{api.url}/console"


def make(client: httpx2.Client, url: str) -> str:
    made: str = client.post("/webhooks", json={"url": url}).json()["webhook_id"]
    return made


def test_the_key_is_shown_once(client: httpx2.Client, receiver: Receiver) -> None:
    form = {"url": f"{receiver.url}/once", "names": ["add"], "states": ["FAILURE"]}
    made = client.post("/console/webhooks", data=form)
    assert made.status_code == 201
    (secret,) = re.findall(r"whsec_[A-Za-z0-9+/=]+", made.text)
    assert len(key_of(secret)) == 32
    (webhook_id,) = set(re.findall(r"wh_[0-9a-f]{32}", made.text))
    shown = client.get(f"/webhooks/{webhook_id}").json()
    assert (shown["names"], shown["states"]) == (["add"], ["FAILURE"])
    for path in ("webhooks", f"webhooks/{webhook_id}", f"webhooks/{webhook_id}/edit"):
        assert "whsec_" not in client.get(f"/console/{path}").text


def test_a_form_that_cannot_be_says_what_is_wrong_and_keeps_the_rest(client: httpx2.Client) -> None:
    form = {"url": "ftp://example.com/", "names": ["add"], "states": ["FAILURE"]}
    refused = client.post("/console/webhooks", data=form)
    assert refused.status_code == 422
    assert "can begin with https:// or http://" in refused.text
    assert 'value="ftp://example.com/"' in refused.text
    assert 'value="add" checked' in refused.text
    assert 'value="FAILURE" checked' in refused.text
    wrong = client.post("/console/webhooks", data={"url": "https://example.com/", "states": "PENDING"})
    assert wrong.status_code == 422


def test_a_webhook_is_changed_and_disabled(client: httpx2.Client, receiver: Receiver) -> None:
    webhook_id = make(client, f"{receiver.url}/before")
    form = {"url": f"{receiver.url}/after", "names": ["echo"], "states": []}
    assert client.post(f"/console/webhooks/{webhook_id}/edit", data=form).status_code == 303
    client.post(f"/console/webhooks/{webhook_id}/disable")
    shown = client.get(f"/webhooks/{webhook_id}").json()
    assert (shown["url"], shown["names"], shown["enabled"]) == (f"{receiver.url}/after", ["echo"], False)
    assert "It is told of nothing" in client.get(f"/console/webhooks/{webhook_id}").text
    client.post(f"/console/webhooks/{webhook_id}/enable")
    assert client.get(f"/webhooks/{webhook_id}").json()["enabled"]
    bad = client.post(f"/console/webhooks/{webhook_id}/edit", data={"url": "nonsense"})
    assert (bad.status_code, "Edit webhook" in bad.text) == (422, True)
    assert client.get("/console/webhooks/wh_nobody").status_code == 404


def test_what_a_query_of_a_url_holds_is_not_shown(client: httpx2.Client, receiver: Receiver) -> None:
    webhook_id = make(client, f"{receiver.url}/x?token=password")
    tried = client.post(f"/webhooks/{webhook_id}/test").json()["delivery_id"]
    for path in ("webhooks", f"webhooks/{webhook_id}", "webhooks/deliveries", f"webhooks/deliveries/{tried}"):
        text = client.get(f"/console/{path}").text
        assert (path, "token" in text, "/x" in text) == (path, False, True)


def test_a_person_makes_one_tries_it_and_deletes_it(
    browser_page: Page,
    console_url: str,
    client: httpx2.Client,
    own_receiver: Receiver,
    axe: Callable[[Page], list[str]],
) -> None:
    own_receiver.answers += [500] * 100  # however often it is tried again before the page is looked at
    browser_page.goto(f"{console_url}/webhooks/new")
    assert axe(browser_page) == []
    browser_page.get_by_label("URL").fill(f"{own_receiver.url}/person")
    browser_page.get_by_label("Failure").check()
    browser_page.get_by_role("button", name="Make it").click()
    expect(browser_page.get_by_text("whsec_")).to_be_visible()
    assert axe(browser_page) == []
    browser_page.get_by_role("button", name="Send a test").click()
    answer = browser_page.locator("#answer")
    expect(answer).to_contain_text("500")
    assert axe(browser_page) == []
    own_receiver.answers.clear()
    browser_page.get_by_role("button", name="Send again").click()
    expect(answer).to_contain_text("Delivered")
    assert {one.message["type"] for one in own_receiver.received if one.path == "/person"} == {"ping"}

    browser_page.get_by_role("link", name="Its webhook").click()
    expect(browser_page.get_by_role("region", name="Messages")).to_contain_text("a test")
    assert axe(browser_page) == []
    browser_page.get_by_role("link", name="Delete").click()
    browser_page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    expect(browser_page.get_by_text("The webhook was deleted.")).to_be_visible()
    until(lambda: not any(one["url"].endswith("/person") for one in client.get("/webhooks").json()), "it is gone")

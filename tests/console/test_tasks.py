"""The table of tasks: what a filter finds, page by page, live, with the columns that were chosen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect

from backyard.embedded.server import EmbeddedServer
from support.keepers import start_keeper
from support.own_tasks import look, new_tag, recorded, submit
from support.processes import Process, make_environment, running_api
from support.web import connect, final

REGION = {"HX-Request": "true", "HX-Target": "task-table"}


def listed(html: str) -> list[str]:
    """Return the ids of the tasks on a page, in their order."""
    return re.findall(r'<tr id="t-([^"]+)" data-row>', html)


def link_to(html: str, rel: str) -> str | None:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', html)
    return unescape(str(found[1])) if found else None


def mark_of(html: str) -> str:
    (mark,) = re.findall(r'hx-headers=\'{"X-Mark": "([0-9a-f]+)"}\'', html)
    return str(mark)


# -- over HTTP ----------------------------------------------------------------------------------------------------


def test_a_filter_finds_its_tasks_and_shows_them_in_a_line(client: httpx2.Client) -> None:
    tag = new_tag()
    mine = submit(client, tag, input={"a": 41, "b": 7})
    other = submit(client, tag, name="echo_async", input={"value": 3})
    recorded(client, tag, 2)

    assert listed(look(client, q=f"tag:{tag}")) == [other, mine]
    html = look(client, q=f"tag:{tag} name:add")
    assert listed(html) == [mine]
    assert "a: 41, b: 7" in html
    assert f'href="/console/tasks/{mine}"' in html
    assert listed(look(client, q=f"tag:{tag} since:1h")) == [other, mine]
    assert listed(look(client, q=f"tag:{tag} until:1h")) == []
    assert "No task matches" in look(client, q=f"tag:{tag} until:1h")
    assert listed(look(client, q=f"tag:{tag} state:running")) == []


def test_states_are_one_click_away_with_their_counts(client: httpx2.Client) -> None:
    tag = new_tag()
    submit(client, tag)
    submit(client, tag)
    recorded(client, tag, 2)

    html = look(client, q=f"tag:{tag} state:failure")

    (nav,) = re.findall(r'<nav class="chips" aria-label="States">(.*?)</nav>', html, re.DOTALL)
    chips = re.findall(r'href="([^"]+)"( aria-current="true")?>.*?(\w+) <small>(\d+)</small></a>', nav, re.DOTALL)
    assert [(word, int(count)) for _, _, word, count in chips] == [
        ("All", 2), ("Running", 0), ("Pending", 0), ("Scheduled", 2), ("Retry", 0), ("Success", 0), ("Failure", 0),
        ("Revoked", 0),
    ]  # fmt: skip
    assert [word for _, on, word, _ in chips if on] == ["Failure"]
    assert len(listed(look(client, unescape(chips[3][0])))) == 2


def test_parts_are_chips_that_can_be_taken_away(client: httpx2.Client) -> None:
    tag = new_tag()
    submit(client, tag)
    recorded(client, tag, 1)

    html = look(client, q=f"tag:{tag} state:failure")

    assert listed(html) == []
    (link,) = re.findall(r'<a class="chip on" href="([^"]+)"[^>]*>state:failure', html)
    assert len(listed(look(client, unescape(link)))) == 1


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_lead_on_and_back(client: httpx2.Client, order: str) -> None:
    tag = new_tag()
    ids = client.post("/tasks/add/batch", json=[{"a": at} for at in range(120)], params={"delay": 3600, "tags": tag})
    wanted = ids.json()["task_ids"]
    recorded(client, tag, 120)
    wanted = wanted if order == "oldest" else wanted[::-1]

    pages = [look(client, q=f"tag:{tag}", order=order)]
    while link := link_to(pages[-1], "next"):
        pages.append(look(client, link))
    assert [listed(page) for page in pages] == [wanted[:50], wanted[50:100], wanted[100:]]
    assert link_to(pages[0], "prev") is None

    back = link_to(pages[2], "prev")
    assert back is not None
    assert listed(look(client, back)) == wanted[50:100]
    answer = client.get("/tasks", params={"tag": tag, "order": order, "limit": 100})
    assert [task["task_id"] for task in answer.json()] == wanted[:100]
    assert [task["task_id"] for task in client.get(answer.links["next"]["url"]).json()] == wanted[100:]


def test_a_page_that_is_empty_by_now_leads_to_where_the_list_begins(client: httpx2.Client) -> None:
    tag = new_tag()
    submit(client, tag)
    recorded(client, tag, 1)
    page = look(client, q=f"tag:{tag}")
    here = re.findall(r'data-here="([^"]+)"', page)[0]
    pinned = look(client, q=f"tag:{tag}", cursor=here)
    assert listed(pinned) == listed(page)
    newer = link_to(pinned, "prev")
    assert newer is not None

    answer = client.get(newer)

    assert (answer.status_code, "cursor" in answer.headers["location"]) == (303, False)


def test_while_nothing_changes_there_is_nothing_to_send(client: httpx2.Client) -> None:
    tag = new_tag()
    submit(client, tag)
    recorded(client, tag, 1)
    query = {"q": f"tag:{tag}"}
    first = client.get("/console/tasks", params=query, headers=REGION)
    headers = {**REGION, "X-Mark": mark_of(first.text)}

    same = client.get("/console/tasks", params=query, headers=headers)
    assert (same.status_code, same.text) == (204, "")
    # Another browser's columns are another table.
    cookies = {"Cookie": "backyard_columns=queue"}
    assert client.get("/console/tasks", params=query, headers={**headers, **cookies}).status_code == 200

    newer = submit(client, tag)
    recorded(client, tag, 2)
    changed = client.get("/console/tasks", params=query, headers=headers)
    assert changed.status_code == 200
    assert listed(changed.text)[0] == newer
    assert mark_of(changed.text) != mark_of(first.text)


def test_a_state_that_changes_changes_the_mark(client: httpx2.Client) -> None:
    tag = new_tag()
    task_id = submit(client, tag)
    recorded(client, tag, 1)
    query = {"q": f"task_id:{task_id}"}
    first = client.get("/console/tasks", params=query, headers=REGION)
    client.delete(f"/tasks/{task_id}")
    recorded(client, tag, 1)

    changed = client.get("/console/tasks", params=query, headers={**REGION, "X-Mark": mark_of(first.text)})

    assert changed.status_code == 200
    assert "Revoked" in changed.text


@pytest.mark.parametrize(
    ("query", "says", "better"),
    [
        ("stat:failure name:add", "Did you mean 'state:'?", "state:failure name:add"),
        ("state:failur", "Did you mean 'failure'?", "state:failure"),
        ("since:soon", "'soon' is no time", ""),
        ("!!", "A search has 1 to 20 words", ""),
    ],
)
def test_what_cannot_be_read_is_said_and_nothing_is_listed(
    client: httpx2.Client, query: str, says: str, better: str
) -> None:
    html = look(client, q=query)

    assert says in unescape(html)
    assert "The filter cannot be read" in html
    assert listed(html) == []
    links = [unescape(link) for link in re.findall(r'<a href="([^"]+)">Use <code>', html)]
    assert [httpx2.URL(link).params["q"] for link in links] == ([better] if better else [])


def test_the_api_parameters_lead_to_the_query(client: httpx2.Client) -> None:
    answer = client.get("/console/tasks", params={"state": "FAILURE", "name": ["add", "x y"], "until": ""})

    assert answer.status_code == 303
    assert httpx2.URL(answer.headers["location"]).params["q"] == 'state:failure name:add,"x y"'
    assert client.get("/console/tasks", params={"state": "NONE"}).status_code == 422


def test_the_same_list_as_curl(client: httpx2.Client) -> None:
    tag = new_tag()
    task_id = submit(client, tag)
    recorded(client, tag, 1)
    html = look(client, q=f"tag:{tag} state:scheduled", order="oldest")

    (command,) = [unescape(line) for line in re.findall(r"<code[^>]*>(curl .*?)</code>", html)]

    address = command.removeprefix("curl '").removesuffix("'")
    assert "order=oldest" in address
    assert [task["task_id"] for task in client.get(address).json()] == [task_id]


def test_columns_are_chosen_and_kept(client: httpx2.Client) -> None:
    tag = new_tag()
    submit(client, tag)
    recorded(client, tag, 1)

    def columns(cookie: str | None) -> list[str]:
        headers = {"Cookie": cookie} if cookie else {}
        html = client.get("/console/tasks", params={"q": f"tag:{tag}"}, headers=headers).text
        return [unescape(re.sub(r"<.*?>", "", one)) for one in re.findall(r'<th scope="col"[^>]*>(.*?)</th>', html)][1:]

    usual = columns(None)
    assert usual == [
        "State", "Task", "Input", "Progress", "Queue", "Worker", "Attempt", "Accepted", "Waited", "Ran", "Tags",
    ]  # fmt: skip

    answer = client.post("/console/tasks/columns", data={"column": ["task_id", "queue", "none"]})
    assert answer.status_code == 303
    assert columns(answer.headers["set-cookie"].partition(";")[0]) == ["State", "Task", "Queue", "Id"]
    reset = client.post("/console/tasks/columns", data={"column": ["queue"], "reset": "1"})
    assert 'backyard_columns=""' in reset.headers["set-cookie"]


def test_what_a_filter_may_be_completed_with(client: httpx2.Client) -> None:
    tag = new_tag()
    submit(client, tag)
    recorded(client, tag, 1)

    found = client.get("/console/suggestions").json()

    assert {"state", "name", "queue", "tag", "since"} <= set(found["keys"])
    assert "failure" in found["values"]["state"]
    assert {"add", "steps"} <= set(found["values"]["name"])
    assert "default" in found["values"]["queue"]
    assert tag in found["values"]["tag"]


@pytest.fixture(scope="module")
def unrecorded(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of an API whose yard no keeper has ever recorded."""
    environment = make_environment(server_url, tmp_path_factory.mktemp("unrecorded"))
    with running_api(environment) as api, connect(api.url) as client:
        yield client


def test_without_a_history_the_ledger_is_listed(unrecorded: httpx2.Client) -> None:
    tag = new_tag()
    ids = [submit(unrecorded, tag) for _ in range(52)]

    first = look(unrecorded)
    assert "Nothing has recorded this yard" in first
    assert listed(first) == ids[:1:-1]
    older = link_to(first, "next")
    assert older is not None
    assert listed(look(unrecorded, older)) == [ids[1], ids[0]]

    html = look(unrecorded, q=f"tag:{tag}")
    assert listed(html) == []
    assert "Only the history can answer tag:" in html
    assert listed(look(unrecorded, q="state:revoked")) == []


def test_while_the_server_is_away_the_history_is_listed(tmp_path: Path) -> None:
    tag = new_tag()
    with EmbeddedServer(tmp_path / "data", appendfsync="no") as server:
        environment = make_environment(server.url, tmp_path)
        keeper = start_keeper(environment)
        try:
            with running_api(environment) as api, connect(api.url) as client:
                task_id = submit(client, tag)
                recorded(client, tag, 1)
                keeper.stop()
                server.stop()
                html = look(client, q=f"tag:{tag}")
        finally:
            keeper.end()

    assert listed(html) == [task_id]
    assert "What was recorded before is shown." in html


# -- as a person would --------------------------------------------------------------------------------------------


def test_the_filter_is_completed_by_keyboard(
    browser_page: Page, console_url: str, client: httpx2.Client, axe: Callable[[Page], list[str]]
) -> None:
    tag = new_tag()
    task_id = submit(client, tag)
    recorded(client, tag, 1)
    browser_page.goto(f"{console_url}/tasks")
    field = browser_page.get_by_role("combobox", name="Filter")
    options = browser_page.get_by_role("listbox", name="Suggestions").get_by_role("option")

    browser_page.keyboard.press("/")
    expect(field).to_be_focused()
    field.press_sequentially("ta")
    expect(options.first).to_contain_text("tag:")
    expect(field).to_have_attribute("aria-expanded", "true")
    assert axe(browser_page) == []
    field.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    field.press("Enter")
    expect(field).to_have_value("tag:")
    field.press_sequentially(tag[:8])
    expect(options).to_have_count(1)
    field.press("ArrowDown")
    field.press("Enter")
    expect(field).to_have_value(f"tag:{tag} ")
    field.press("Enter")

    expect(browser_page).to_have_url(re.compile(r"[?&]q=tag"))
    browser_page.wait_for_load_state()  # keys are heard when the scripts have run
    expect(browser_page.locator("[data-row]")).to_have_count(1)
    browser_page.keyboard.press("j")
    expect(browser_page.locator("[data-row-link]")).to_be_focused()
    assert browser_page.locator("[data-row]").get_attribute("id") == f"t-{task_id}"
    assert axe(browser_page) == []


def test_a_tasks_link_differs_from_the_id_beside_it_by_more_than_its_colour(
    browser_page: Page, console_url: str, client: httpx2.Client
) -> None:
    """The checker of accessibility leaves it open, for it cannot tell what lies behind the link."""
    tag = new_tag()
    task_id = submit(client, tag)
    recorded(client, tag, 1)
    browser_page.goto(f"{console_url}/tasks?q=tag:{tag}")
    link = browser_page.locator(f"#t-{task_id} [data-row-link]")
    weights = link.evaluate("link => [link, link.parentElement].map(one => +getComputedStyle(one).fontWeight)")
    assert weights[0] >= weights[1] + 100, weights


def test_tasks_come_in_live_and_rows_stay_while_one_selects(
    browser_page: Page, console_url: str, client: httpx2.Client, worker: Process
) -> None:
    assert worker.child.poll() is None
    tag = new_tag()
    first = submit(client, tag)
    recorded(client, tag, 1)
    browser_page.goto(f"{console_url}/tasks?q=tag:{tag}")
    rows = browser_page.locator("[data-row]")
    expect(rows).to_have_count(1)

    second = submit(client, tag, delay=0)
    expect(rows).to_have_count(2)
    assert final(client, second)["state"] == "SUCCESS"
    expect(browser_page.locator(f"#t-{second}")).to_contain_text("Success")

    browser_page.locator(f"#t-{second} input").check()
    browser_page.mouse.move(0, 0)
    expect(browser_page.locator("#scope option").first).to_have_text("1 selected")
    expect(browser_page.get_by_text("Held still while you are in the table")).to_be_visible()
    third = submit(client, tag)
    client.delete(f"/tasks/{first}")
    # What is shown goes on to change, and nothing comes in above it.
    expect(browser_page.locator(f"#t-{first}")).to_contain_text("Revoked")
    expect(rows).to_have_count(2)
    expect(browser_page.locator(f"#t-{second} input")).to_be_checked()

    browser_page.locator(f"#t-{second} input").uncheck()
    browser_page.locator("#q").focus()
    browser_page.mouse.move(0, 0)
    expect(rows).to_have_count(3)
    assert rows.first.get_attribute("id") == f"t-{third}"


def test_columns_and_filter_without_scripts(plain_page: Page, console_url: str, client: httpx2.Client) -> None:
    tag = new_tag()
    task_id = submit(client, tag)
    recorded(client, tag, 1)
    plain_page.goto(f"{console_url}/tasks")
    plain_page.get_by_label("Filter", exact=True).fill(f"tag:{tag}")
    plain_page.get_by_role("button", name="Find").click()
    expect(plain_page.locator("[data-row]")).to_have_count(1)

    plain_page.get_by_text("Columns", exact=True).first.click()
    plain_page.get_by_label("Id", exact=True).check()
    plain_page.get_by_role("button", name="Show these").click()
    expect(plain_page.get_by_role("cell", name=task_id)).to_be_visible()

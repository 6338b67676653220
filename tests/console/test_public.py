from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from backyard import Backyard
from support.processes import Api, Process
from support.web import until


@contextmanager
def served(html: str) -> Iterator[str]:
    """Serve a page of another site for a while; a browser lets no page from elsewhere frame one of this machine."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def submitted(client: httpx2.Client, name: str, given: dict[str, Any]) -> str:
    task_id: str = client.post(f"/tasks/{name}", json=given).json()["task_id"]
    return task_id


def link_to(client: httpx2.Client, task_id: str, **wanted: Any) -> str:
    answer = client.post(f"/tasks/{task_id}/links", json=wanted)
    assert answer.status_code == 201
    url: str = answer.json()["url"]
    assert answer.json()["embed_url"] == f"{url}/embed"
    return url


def test_a_link_tells_of_its_task_and_nothing_else(client: httpx2.Client, worker: Process) -> None:  # noqa: ARG001
    task_id = submitted(client, "add", {"a": 20, "b": 22})
    client.get(f"/tasks/{task_id}", params={"wait": 30})
    url = link_to(client, task_id)

    page, status = client.get(url), client.get(f"{url}/status").json()

    assert "Done" in page.text
    assert "Add two numbers" in page.text
    assert ">42<" not in page.text
    assert status["state"] == "SUCCESS"
    assert {"result", "input", "worker", "failure"} & status.keys() == set()
    assert client.get(f"{link_to(client, task_id, result=True)}/status").json()["result"] == 42


def test_why_it_failed_is_not_told(client: httpx2.Client, worker: Process) -> None:  # noqa: ARG001
    task_id = submitted(client, "flaky", {"failures": 99})
    client.get(f"/tasks/{task_id}", params={"wait": 30})
    url = link_to(client, task_id, result=True)

    answers = [client.get(url).text, client.get(f"{url}/status").text, client.get(f"{url}/events").text]

    assert "It did not work" in answers[0]
    assert all("on purpose" not in answer for answer in answers)


def test_a_wrong_link_and_one_whose_time_is_over(client: httpx2.Client, stack_yard: Backyard) -> None:
    task_id = submitted(client, "add", {"a": 1})
    url = link_to(client, task_id)
    other = "A" if url[-1] != "A" else "B"

    wrong = client.get(url[:-1] + other)

    assert wrong.status_code == 404
    assert "Ask whoever sent it" in wrong.text
    assert client.get(f"/t/{'A' * 40}/status").status_code == 404
    over = stack_yard.public_link_sync(task_id, expires=1)
    while client.get(over).status_code == 200:
        pass
    assert client.get(over).status_code == 410
    assert client.get(f"{over}/events").status_code == 410


@pytest.mark.parametrize("expires", [0, -1, 366 * 86_400 + 1, "soon"])
def test_a_time_that_cannot_work_is_refused(client: httpx2.Client, expires: Any) -> None:
    task_id = submitted(client, "add", {"a": 1})

    assert client.post(f"/tasks/{task_id}/links", json={"expires": expires}).status_code == 422


def test_a_task_that_is_not_there_has_no_link(client: httpx2.Client) -> None:
    assert client.post("/tasks/nobody/links", json={}).status_code == 404


def test_files_come_by_the_link_alone_where_it_lets_have_them(client: httpx2.Client, worker: Process) -> None:  # noqa: ARG001
    task_id = submitted(client, "save_and_log", {"name": "report.txt", "text": "all is well"})
    client.get(f"/tasks/{task_id}", params={"wait": 30})
    url, without = link_to(client, task_id), link_to(client, task_id, artifacts=False)

    (name,) = [one["name"] for one in client.get(f"{url}/status").json()["artifacts"]]

    assert client.get(f"{url}/artifacts/{name}").text == "all is well"
    assert client.get(f"{url}/artifacts/other.txt").status_code == 404
    assert "artifacts" not in client.get(f"{without}/status").json()
    assert client.get(f"{without}/artifacts/{name}").status_code == 404


def test_only_the_embedded_page_may_stand_in_a_frame(client: httpx2.Client) -> None:
    url = link_to(client, submitted(client, "add", {"a": 1}))

    assert "frame-ancestors 'none'" in client.get(url).headers["content-security-policy"]
    assert "frame-ancestors *" in client.get(f"{url}/embed").headers["content-security-policy"]
    assert "unsafe" not in client.get(f"{url}/embed").headers["content-security-policy"]


def test_the_news_ends_with_the_task(client: httpx2.Client, worker: Process) -> None:  # noqa: ARG001
    task_id = submitted(client, "add", {"a": 1})
    client.get(f"/tasks/{task_id}", params={"wait": 30})

    text = client.get(f"{link_to(client, task_id)}/events").text

    assert [line for line in text.splitlines() if line.startswith("event:")] == ["event: status", "event: end"]
    last = json.loads(re.findall(r"^data: (.*)$", text, re.MULTILINE)[-1])
    assert (last["state"], last["final"]) == ("SUCCESS", True)


def test_an_end_user_watches_the_progress_move(
    browser_page: Page,
    client: httpx2.Client,
    worker: Process,  # noqa: ARG001 - it runs the task
    axe: Callable[[Page], list[str]],
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    task_id = submitted(client, "steps", {"count": 1_000, "pause": 0.05, "until": str(gate)})
    browser_page.goto(link_to(client, task_id))

    expect(browser_page.get_by_text("In progress")).to_be_visible()
    expect(browser_page.get_by_text(re.compile(r"\b([2-9]|[1-9]\d) %"))).to_be_visible()
    assert axe(browser_page) == []

    gate.touch()
    expect(browser_page.get_by_text("Done")).to_be_visible()
    expect(browser_page).to_have_title(re.compile("Done"))


def test_a_person_makes_a_link_and_puts_it_into_a_frame(
    browser: Browser,
    browser_page: Page,
    client: httpx2.Client,
    console_url: str,
    api: Api,
    axe: Callable[[Page], list[str]],
) -> None:
    task_id = submitted(client, "add", {"a": 1})
    browser_page.goto(f"{console_url}/tasks/{task_id}/share")
    browser_page.get_by_label("Good for").select_option("a day")
    browser_page.get_by_role("button", name="Make the link").click()
    url = browser_page.get_by_label("Link").inner_text()
    assert url.startswith(f"{api.url}/t/")
    assert axe(browser_page) == []

    other = browser.new_page()
    with served(browser_page.get_by_label("Frame").inner_text()) as shop:
        other.goto(shop)
        expect(other.frame_locator("iframe").get_by_text(re.compile("Waiting|In progress|Done"))).to_be_visible()
    other.close()
    query = {"kind": "task", "subject": task_id}
    (line,) = until(lambda: client.get("/audit", params=query).json(), "the trail has it")
    assert (line["verb"], line["actor"]) == ("link", "console@127.0.0.1")

"""How fast does the console answer with a million tasks of history, and what does an open page cost a browser?

Makes a month of a million tasks that ends now (a file that is named and there is used as it is), serves it by one API
process, and asks each page again and again: median and 95th percentile, bound 100 ms, and what it costs the processor.
Opens the heaviest pages in Chromium and counts what the first paint loads, bound 150 kB. Then a worker ends 200 tasks a
second of 100,000 while a browser shows the list for half a minute: its share of one core, bound 10 %, and its requests.

    PYTHONPATH=tests python -m benchmarks.console [--file FILE] [--tasks 1000000] [--only pages|paint|live]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
from benchmarks.console_yard import AT_ONCE
from benchmarks.history import percentile
from benchmarks.history_rows import Month, fill
from benchmarks.processes import MeasureError, Program, cpu_of, wait_until_answers
from playwright.sync_api import CDPSession, Page, sync_playwright

from backyard.embedded.ports import free_port
from backyard.embedded.server import EmbeddedServer
from backyard.history.database import History
from backyard.history.statistics import errors_of
from backyard.history.views import moment

HERE: Final = Path(__file__).parent
TARGET: Final = "benchmarks.console_yard:yard"
#: Milliseconds at the 95th percentile, bytes of a first paint, share of a core.
ANSWER: Final = 100.0
PAINT: Final = 150_000
SHARE: Final = 0.10
#: Rounds over all pages: a busy moment of the machine is then spread over all.
TURNS: Final = 3
LIVE_TASKS: Final = 100_000
#: Seconds that recording these may take.
PATIENCE: Final = 300.0
LIVE_SECONDS: Final = 30
PAGES: Final = (
    "/", "/?range=24h", "/?range=7d", "/?range=30d", "/tasks", "/tasks?q=state:failure",
    "/tasks?q=name:send_mail+since:7d",
    "/tasks?q=shipment", "/tasks?q=tag:vip", "/tasks?q=tag:vip+shipment", "/tasks/{task}", "/definitions",
    "/definitions/send_mail", "/queues", "/queues/default", "/queues/default?range=30d", "/workers", "/schedules",
    "/schedules/nightly", "/errors", "/errors?range=30d&sort=count", "/errors?range=30d&sort=rising", "/errors/{error}",
    "/dead-letters", "/webhooks", "/operations", "/audit", "/settings",
)  # fmt: skip


@contextmanager
def served(file: Path | None, tasks: int) -> Iterator[tuple[str, Program, dict[str, str], History]]:
    """Serve a yard with that much history; gives its URL, the API, the environment and the history."""
    with tempfile.TemporaryDirectory(prefix="console") as folder:
        path = (file or Path(folder) / "month.sqlite3").absolute()
        history = History(f"sqlite:///{path}", "bench")
        if not path.exists():
            fill(history, Month(tasks, end=int(time.time() * 1000)))
        with EmbeddedServer(Path(folder) / "server", appendfsync="no") as server:
            port = free_port()
            environment = {
                "BACKYARD_REDIS_URL": server.url, "BACKYARD_DATA_DIR": folder, "BACKYARD_HISTORY_URL": f"sqlite:///{path}",
                **{f"BACKYARD_KEEP_{what}": "3e9" for what in ("SUCCESS", "FAILURE", "REVOKED", "AUDIT")},
            }  # fmt: skip
            keeper = start("keeper", environment, Path(folder) / "keeper.log", "--migrate")
            keeper.await_line("ready.")
            api = start("api", environment, Path(folder) / "api.log", "--port", str(port))
            url = f"http://127.0.0.1:{port}"
            wait_until_answers(api, f"{url}/health")
            try:
                yield url, api, environment, history
            finally:
                api.stop()
                keeper.stop()
                history.close()


def start(role: str, environment: dict[str, str], log: Path, *words: str) -> Program:
    """Start a role of the yard."""
    return Program([sys.executable, "-m", "backyard", role, TARGET, *words], environment, log)


def ask_pages(url: str, api: Program, history: History, calls: int) -> dict[str, Any]:
    """Ask the pages in turns, each a few times in a row; returns milliseconds by the clock and of processor."""
    (error,) = errors_of(history, limit=1)
    names = {"{task}": error["sample_task_id"], "{error}": error["fingerprint"]}
    times: dict[str, list[float]] = {path: [] for path in PAGES}
    spent: dict[str, float] = dict.fromkeys(PAGES, 0.0)
    sizes: dict[str, int] = {}
    with httpx2.Client(base_url=f"{url}/console", timeout=60) as client:
        for turn in range(TURNS + 1):
            for path in PAGES:
                place = path
                for name, value in names.items():
                    place = place.replace(name, value)
                before, took = api.cpu(), []
                for _ in range(calls // TURNS if turn else 2):
                    began = time.perf_counter()
                    answer = client.get(place)
                    took.append((time.perf_counter() - began) * 1_000)
                    answer.raise_for_status()
                if turn:  # templates and connections are there then
                    times[path] += took
                    spent[path] += (api.cpu() - before) * 1_000
                    sizes[path] = len(answer.content)
    return {
        path: {
            "p50_ms": percentile(row, 0.5), "p95_ms": percentile(row, 0.95), "cpu_ms": round(spent[path] / len(row), 1),
            "html_bytes": sizes[path],
        }
        for path, row in times.items()
    }  # fmt: skip


def paint_pages(url: str) -> dict[str, int]:
    """Open pages in a browser that has seen none, and return the bytes that each loads."""
    loaded: dict[str, int] = {}
    with browser_page() as (page, _):
        for path in ("/", "/tasks", "/definitions/send_mail"):
            context = page.context.browser
            assert context is not None
            fresh = context.new_context().new_page()
            told = fresh.context.new_cdp_session(fresh)
            received: list[float] = []
            told.on("Network.loadingFinished", lambda row, told=received: told.append(row["encodedDataLength"]))
            told.send("Network.enable")
            fresh.goto(f"{url}/console{path}", wait_until="load")
            loaded[path] = round(sum(received))
            fresh.context.close()
    return loaded


def watch_live(url: str, environment: dict[str, str], folder: Path, queued: int) -> dict[str, float]:
    """Show the list while 200 of the queued tasks end each second; returns the browser's share of a core."""
    waiting, ended = count(url, "PENDING"), count(url, "SUCCESS")  # of earlier runs with the same file
    submit_many(url, queued)
    await_count(url, "PENDING", waiting + queued)
    worker = start("worker", {**environment, "BACKYARD_ASYNC_CONCURRENCY": str(AT_ONCE)}, folder / "worker.log")
    try:
        await_count(url, "SUCCESS", ended + 1)
        with browser_page() as (page, browser):
            requests: list[str] = []
            page.on("request", lambda request: requests.append(request.url))
            page.goto(f"{url}/console/tasks", wait_until="load")
            page.wait_for_timeout(3_000)
            requests.clear()
            before, began = cpu_of(browser), time.monotonic()
            done = count(url, "SUCCESS")
            page.wait_for_timeout(LIVE_SECONDS * 1_000)
            seconds = time.monotonic() - began
            return {
                "changes_per_second": round((count(url, "SUCCESS") - done) / seconds, 1),
                "share_of_a_core": round((cpu_of(browser) - before) / seconds, 3),
                "requests_per_second": round(len(requests) / seconds, 2),
            }
    finally:
        worker.stop()


def submit_many(url: str, queued: int) -> None:
    """Submit all tasks; each sleeps so long that two processes end 200 a second."""
    for first in range(0, queued, 10_000):
        batch = [{"number": number} for number in range(first, min(queued, first + 10_000))]
        httpx2.post(f"{url}/tasks/tick/batch", json=batch, timeout=60).raise_for_status()


def count(url: str, state: str) -> int:
    """Return how many ticks the history has in a state."""
    states = httpx2.get(f"{url}/tasks/count", params={"name": "tick"}, timeout=60).json()["states"]
    return int(states.get(state, 0))


def await_count(url: str, state: str, number: int) -> None:
    """Wait until the keeper has recorded so many ticks in a state."""
    end = time.monotonic() + PATIENCE
    while count(url, state) < number:
        if time.monotonic() > end:
            raise MeasureError(f"The history never had {number} ticks in {state}.")
        time.sleep(0.2)


@contextmanager
def browser_page() -> Iterator[tuple[Page, int]]:
    """Run a Chromium; gives a page of it, and the id of the process that has started all others."""
    from support.browser import ARGUMENTS, chromium  # noqa: PLC0415 - how tests start it

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        session: CDPSession = browser.new_browser_cdp_session()
        page = browser.new_page()
        rows = session.send("SystemInfo.getProcessInfo")["processInfo"]
        yield page, next(int(row["id"]) for row in rows if row["type"] == "browser")
        browser.close()


def main() -> None:
    """Measure, print, and say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--file", type=Path, help="where the million tasks are, or are to be; else they are made anew")
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=60, help="of each page")
    parser.add_argument("--queued", type=int, default=LIVE_TASKS, help="tasks that a worker is busy with")
    parser.add_argument("--only", choices=("pages", "paint", "live"))
    parser.add_argument("--json", type=Path, default=HERE / "results" / "console.json", help="where figures go")
    chosen = parser.parse_args()
    figures: dict[str, Any] = {
        "tasks": chosen.tasks,
        "queued": chosen.queued,
        "made": str(moment(int(time.time() * 1000)))[:10],
    }
    missed: list[str] = []
    with served(chosen.file, chosen.tasks) as (url, api, environment, history):
        if chosen.only in (None, "pages"):
            figures["pages"] = ask_pages(url, api, history, chosen.calls)
            for path, row in figures["pages"].items():
                print(
                    f"{path:40}{row['p50_ms']:10}{row['p95_ms']:10} ms, {row['cpu_ms']:6} of processor"
                    f"{row['html_bytes']:10} bytes", flush=True,
                )  # fmt: skip
                missed += [path] if row["p95_ms"] > ANSWER else []
        if chosen.only in (None, "paint"):
            figures["first_paint_bytes"] = paint_pages(url)
            print(f"First paint, bytes: {figures['first_paint_bytes']}")
            missed += [f"paint of {path}" for path, size in figures["first_paint_bytes"].items() if size > PAINT]
        if chosen.only in (None, "live"):
            figures["live"] = watch_live(url, environment, Path(environment["BACKYARD_DATA_DIR"]), chosen.queued)
            print(f"Live list: {figures['live']}")
            missed += ["live"] if figures["live"]["share_of_a_core"] > SHARE else []
    figures["load"] = round(os.getloadavg()[0], 1)
    if not chosen.only:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    print("All bounds hold." if not missed else f"Missed: {', '.join(missed)}.")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()

"""The pictures of the console in the documents. `make screenshots` runs this file, which takes them anew.

A shop's yard runs for real, with a day of history behind it; a browser opens its pages.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import Page

if __name__ == "__main__":  # run as a program, this folder is on the path and not the one above
    sys.path[0] = str(Path(__file__).parents[1])

from backyard.core.news import News
from backyard.embedded.server import EmbeddedServer
from backyard.history.database import History
from backyard.history.migrate import migrate
from backyard.history.recorder import Recorder
from project.tree import ROOT
from support.browser import running_browser
from support.keepers import start_keeper
from support.processes import make_environment, running_api, start_worker

FOLDER = ROOT / "docs" / "screenshots"
DAY = 86_400_000
TASKS = 9_000
#: Definitions of the shop: share of all tasks, queue, usual milliseconds, share of failures.
SHARES = {
    "send_mail": (50, "mail", 60, 0.004), "resize_image": (30, "images", 220, 0.01),
    "charge_card": (15, "payments", 140, 0.06), "render_report": (5, "reports", 5_500, 0.02),
}  # fmt: skip
FAILURES = {
    "send_mail": ("ConnectionRefusedError", "the mail server at mail.shop.test refused the connection"),
    "resize_image": ("UnidentifiedImageError", "cannot identify the picture boots-7.webp"),
    "charge_card": ("CardDeclinedError", "the bank declined 1290.00 EUR for order A-1007"),
    "render_report": ("TimeoutError", "the orders of customer 17 did not come within 30 s"),
}
SIZES = {"light": (1280, 860), "dark": (1280, 860), "phone": (390, 844)}
PAGES = {
    "overview": "/?range=24h", "tasks": "/tasks", "task": "/tasks/{running}", "failure": "/tasks/{failed}",
    "definition": "/definitions/render_report", "queues": "/queues", "workers": "/workers", "schedules": "/schedules",
    "errors": "/errors",
}  # fmt: skip


def yesterday(now: int) -> Iterator[News]:
    """Tell of a day in the shop, quiet at night and busy in the evening."""
    draw = random.Random(3)  # noqa: S311 - it draws a picture
    moments = sorted(now - int(DAY * draw.random()) for _ in range(TASKS * 2))
    kept = [at for at in moments if draw.random() < 0.55 + 0.45 * math.sin((at % DAY) / DAY * 2 * math.pi - 2.2)]
    told: list[tuple[int, tuple[Any, ...]]] = []
    for number, at in enumerate(kept):
        if at > now - 20_000:
            break
        told += _life(draw, number, at)
    told.sort(key=lambda row: row[0])
    for number, (at, row) in enumerate(told):
        yield News(f"{at}-{number}", *row)


def _life(draw: random.Random, number: int, at: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
    (name,) = draw.choices(list(SHARES), [share for share, *_ in SHARES.values()])
    _, queue, usual, fails = SHARES[name]
    task_id = f"01930000-0000-7000-8000-{number:012x}"
    born = {
        "name": name, "queue": queue, "lane": "normal", "created": str(at),
        "input": json.dumps({"order": f"A-{1000 + number}"}),
    }  # fmt: skip
    yield at, (task_id, "state", "PENDING", 0, None, born)
    at += 2 + int(draw.lognormvariate(3, 0.8))
    worker = draw.choice(["shop-1@web", "shop-2@web"])
    yield at, (task_id, "state", "STARTED", 1, {"worker": worker}, {"started": str(at)})
    at += int(usual * draw.lognormvariate(0, 0.35))
    if draw.random() < fails:
        kind, message = FAILURES[name]
        failure = {"kind": "error", "type": kind, "message": message, "fingerprint": f"{name}-cause", "traceback": None}
        yield at, (task_id, "state", "FAILURE", 1, None, {"finished": str(at), "failure": json.dumps(failure)})
        return
    yield at, (task_id, "state", "SUCCESS", 1, None, {"finished": str(at), "result": '"ok"'})


def remember(environment: dict[str, str]) -> None:
    """Give the yard a day of history."""
    history = History.open(None, Path(environment["BACKYARD_DATA_DIR"]), environment["TEST_YARD"])
    migrate(history)
    recorder = Recorder(history, lambda _: {})
    recorder.position()
    recorder.begin("0-0")
    recorder.record(list(yesterday(int(time.time() * 1000) - 60_000)))
    history.close()


@contextmanager
def shop() -> Iterator[tuple[str, dict[str, str]]]:
    """Run the shop; gives its URL, and the ids of a running task and of one that failed."""
    with tempfile.TemporaryDirectory(prefix="shop") as folder, EmbeddedServer(Path(folder) / "server") as server:
        # From a place of its own: pictures of tracebacks show no path of whoever took them.
        for name in ("shop.py", "shop_api.py"):
            text = (ROOT / "tests" / "support" / name).read_text().replace("support.shop", "shop")
            Path(folder, name).write_text(text)
        environment = {**make_environment(server.url, Path(folder)), "TEST_YARD": "shop", "PYTHONPATH": folder}
        remember(environment)
        keeper = start_keeper(environment, "shop:yard")
        worker = start_worker(environment, "--concurrency=4", "-n", "shop-1@web", target="shop:yard.celery")
        try:
            with (
                running_api(environment, "shop_api:app") as api,
                httpx2.Client(base_url=api.url, timeout=60) as client,
            ):
                yield api.url, busy(client)
        finally:
            worker.stop()
            keeper.stop()


def busy(client: httpx2.Client) -> dict[str, str]:
    """Let the shop do what it does; returns the ids of tasks to look at."""

    def submit(name: str, given: dict[str, Any], **options: Any) -> str:
        return str(client.post("/tasks", json={"name": name, "input": given, **options}).json()["task_id"])

    failed = submit("charge_card", {"order": "A-1007", "amount": 1290})
    for number in range(30):
        submit(
            "send_mail", {"to": f"customer{number}@example.org", "template": "receipt", "order": f"A-{number + 1000}"}
        )
    submit("send_mail", {"to": "ada@example.org", "template": "reminder"}, delay=3_600, tags=["vip"])
    for name in ("boots.webp", "lamp.webp", "chair.webp"):
        submit("resize_image", {"picture": name, "width": 1_280})
    client.get(f"/tasks/{failed}", params={"wait": 30})
    ada = {"name": "Ada Lovelace", "mail": "ada@example.org"}
    running = submit("render_report", {"customer": ada, "months": 36}, tags=["vip"])
    submit("render_report", {"customer": {"name": "Alan Turing", "mail": "alan@example.org"}, "months": 30})
    while (client.get(f"/tasks/{running}").json()["progress"] or 0) < 20:
        time.sleep(0.2)
    return {"running": running, "failed": failed}


def take(page: Page, url: str, name: str) -> None:
    """Take one picture."""
    page.goto(url, wait_until="load")
    page.wait_for_timeout(700)
    page.screenshot(path=FOLDER / f"{name}.png")


def main() -> None:
    """Take all pictures."""
    FOLDER.mkdir(exist_ok=True)
    os.environ.setdefault("TZ", "UTC")
    with shop() as (url, ids), running_browser() as browser:
        for look, (width, height) in SIZES.items():
            theme: Any = "dark" if look == "dark" else "light"
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
            for name, path in PAGES.items():
                take(page, f"{url}/console{path.format(**ids)}", f"{name}-{look}")
            page.close()


if __name__ == "__main__":
    main()

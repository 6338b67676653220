"""The example as a user would run it: with ``backyard up``, and with the tools that users of this stack know."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from support.processes import Process, running_api, start_worker

APP = "examples.shop:app"
NO_SERVER = {"BACKYARD_REDIS_URL": "", "REDIS_URL": ""}
WAYS = ["backyard up", "uvicorn and backyard worker", "uvicorn and celery worker"]


@contextmanager
def everything(folder: Path) -> Iterator[str]:
    """Run `backyard up`, and give the address that it prints."""
    command = [sys.executable, "-m", "backyard", "up", APP, "--port", "0", "--no-flower", "--concurrency", "1"]
    process = Process(command, {**NO_SERVER, "BACKYARD_DATA_DIR": str(folder)})
    try:
        process.wait_for_line("Ctrl-C stops it.")
        address = re.search(r"API +(http://\S+)", process.output)
        assert address is not None
        yield address[1]
    finally:
        code = process.stop()
    assert code == 0, process.output


@contextmanager
def uvicorn_and(worker: Process, environment: dict[str, str]) -> Iterator[str]:
    try:
        with running_api(environment, APP) as api:
            yield api.url
    finally:
        worker.end()


@contextmanager
def running(way: str, environment: dict[str, str], folder: Path) -> Iterator[str]:
    if way == "backyard up":
        with everything(folder) as url:
            yield url
    elif way == "uvicorn and backyard worker":
        worker = Process([sys.executable, "-m", "backyard", "worker", APP, "--concurrency", "1"], environment)
        worker.wait_for_line(" ready.")
        with uvicorn_and(worker, environment) as url:
            yield url
    else:
        worker = start_worker(environment, "--concurrency=1", target="examples.shop:yard.celery")
        with uvicorn_and(worker, environment) as url:
            yield url


@pytest.mark.parametrize("way", WAYS)
def test_the_shop_does_its_work(way: str, environment: dict[str, str], tmp_path: Path) -> None:
    with running(way, environment, tmp_path / "data") as url, httpx2.Client(base_url=url, timeout=60) as shop:
        placed = shop.post("/orders/7", json=["1.50", 2]).json()
        task = shop.get(f"/jobs/tasks/{placed['task_id']}", params={"wait": 30}).json()
        assert (task["state"], task["progress"], task["result"]["total"]) == ("SUCCESS", 100, "3.50")
        invoice = shop.get(task["result"]["url"])
        assert (invoice.status_code, invoice.text.splitlines()) == (200, ["Order 7", "1. 1.50", "2. 2", "Total 3.50"])

        thanked = shop.post("/thanks/Ann").json()
        task = shop.get(f"/jobs/tasks/{thanked['task_id']}", params={"wait": 30}).json()
        assert (task["name"], task["state"], task["result"]) == ("thank", "SUCCESS", "Thank you, Ann!")

        assert shop.post("/jobs/tasks/make_invoice", json={"order": 7, "prices": []}).status_code == 422
        assert "/jobs/tasks/make_invoice" in shop.get("/openapi.json").json()["paths"]


def test_the_shop_is_short() -> None:
    lines = [line for line in Path("examples/shop.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 35

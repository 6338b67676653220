"""A stack with one of each thing that the console has pages about, and where those pages are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from backyard import Backyard, Settings
from support.keepers import start_keeper
from support.own_tasks import new_tag
from support.processes import make_environment, running_api, start_worker
from support.receiver import receiving
from support.web import await_history, connect, final, until

#: A name that no line can be broken at.
LONG = "a-name-without-an-end-" * 6
DAILY = {"schedule_id": "every-morning", "name": "add", "cron": "0 7 * * mon-fri", "tz": "Europe/Berlin"}


@dataclass(frozen=True)
class Everything:
    """The stack.

    Args:
        url: Where its API is.
        environment: What makes a process part of it.
        pages: Pages to look at, within the console, by the address that the console has for them.
    """

    url: str
    environment: Mapping[str, str]
    pages: Mapping[str, list[str]]


@contextmanager
def everything(server_url: str, folder: Path) -> Iterator[Everything]:
    """Run a stack with everything in it for a while.

    Args:
        server_url: The server.
        folder: Where its files lie.
    """
    environment = make_environment(server_url, folder)
    environment |= {"BACKYARD_WEBHOOK_PRIVATE": "1", "BACKYARD_SECRET_KEYS": "k" * 40}
    keeper, worker = start_keeper(environment), start_worker(environment)
    try:
        with running_api(environment) as api, connect(api.url) as client, receiving() as receiver:
            pages = _tasks(client, folder)
            pages |= _letter(client, environment)
            pages |= _others(client, receiver.url)
            pages |= _plain(client)
            await_history(client)
            yield Everything(api.url, environment, pages)
    finally:
        worker.end()
        keeper.end()


def _submit(client: httpx2.Client, name: str, given: dict[str, Any], **options: Any) -> str:
    answer = client.post("/tasks", json={"name": name, "input": given, "tags": [new_tag()], **options})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["task_id"])


def _tasks(client: httpx2.Client, folder: Path) -> dict[str, list[str]]:
    """One of each state; the failure has a traceback, and a message without an end."""
    table = "customer,amount\n" + "".join(f"{LONG}{number},{number}\n" for number in range(20))
    saved = _submit(client, "save_and_log", {"name": "table.csv", "text": table}, tags=["vip", LONG[:60]])
    failed = _submit(client, "wait_for", {"gate": str(folder / LONG / "gate"), "note": "x" * 300})
    succeeded = _submit(client, "echo_async", {"value": 7})
    retried = _submit(client, "flaky", {"failures": 1})
    for task_id in (saved, failed, succeeded, retried):
        final(client, task_id)
    scheduled = _submit(client, "add", {"a": 1}, delay=3_600)
    cancelled = _submit(client, "add", {"a": 1}, delay=3_600)
    client.delete(f"/tasks/{cancelled}")
    running = _submit(client, "steps", {"count": 10_000, "pause": 0.2})
    until(lambda: client.get(f"/tasks/{running}").json()["state"] == "PROGRESS", "it runs")
    fingerprint = client.get(f"/tasks/{failed}").json()["failure"]["fingerprint"]
    until(lambda: client.get(f"/errors/{fingerprint}").status_code == 200, "the history has the cause")
    await_history(client)
    begun = client.post("/operations", json={"verb": "cancel", "filter": {"task_id": [cancelled, succeeded]}})
    operation = begun.headers["location"]
    until(lambda: client.get(operation).json()["date_done"], "the operation is over")
    return {
        "/": ["/", "/?range=7d"],
        "/tasks": ["/tasks", "/tasks?q=state:failure+since:1h", "/tasks?q=name:nobody", "/tasks?q=stat:x"],
        "/tasks/{task_id}": [f"/tasks/{one}" for one in (saved, failed, retried, scheduled, cancelled, running)],
        "/tasks/{task_id}/cancel": [f"/tasks/{running}/cancel"],
        "/tasks/{task_id}/edit": [f"/tasks/{failed}/edit"],
        "/tasks/{task_id}/share": [f"/tasks/{saved}/share"],
        "/errors": ["/errors?range=1h"],
        "/errors/{fingerprint:path}": [f"/errors/{fingerprint}"],
        "/errors/{fingerprint:path}/rerun": [f"/errors/{fingerprint}/rerun"],
        "/operations": ["/operations"],
        "/operations/new": [f"/operations/new?verb={verb}&scope=all&q=since:1h" for verb in ("cancel", "rerun")],
        "/operations/{operation_id}": [operation],
    }


def _letter(client: httpx2.Client, environment: Mapping[str, str]) -> dict[str, list[str]]:
    """A task of a name that no worker knows."""
    settings = Settings(redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]))
    yard = Backyard(environment["TEST_YARD"], settings=settings)
    yard.celery.send_task("nobody_knows_this", (LONG,))
    yard.ledger.close()
    letter: Any = until(lambda: client.get("/dead-letters").json(), "it is set aside")
    page = f"/dead-letters/{letter[0]['letter_id']}"
    return {
        "/dead-letters": ["/dead-letters"], "/dead-letters/delete": ["/dead-letters/delete"],
        "/dead-letters/{letter_id}": [page], "/dead-letters/{letter_id}/requeue": [f"{page}/requeue"],
        "/dead-letters/{letter_id}/delete": [f"{page}/delete"],
    }  # fmt: skip


def _others(client: httpx2.Client, receiver: str) -> dict[str, list[str]]:
    """A webhook that was told something, a schedule, a paused queue; a worker is there."""
    hook = client.post("/webhooks", json={"url": f"{receiver}/{LONG}"}).json()["webhook_id"]
    delivery = client.post(f"/webhooks/{hook}/test").json()["delivery_id"]
    assert client.post("/schedules", json={**DAILY, "input": {"a": 1}}).status_code == 201
    client.post("/queues/default/pause", json={"reason": f"the road is closed: {LONG}"})
    workers: Any = until(lambda: client.get("/workers").json(), "the worker is known")
    worker = f"/workers/{quote(workers[0]['worker_name'], safe='')}"
    schedule = f"/schedules/{DAILY['schedule_id']}"
    return {
        "/webhooks": ["/webhooks"], "/webhooks/new": ["/webhooks/new"],
        "/webhooks/deliveries": ["/webhooks/deliveries"],
        "/webhooks/deliveries/{delivery_id}": [f"/webhooks/deliveries/{delivery}"],
        "/webhooks/{webhook_id}": [f"/webhooks/{hook}"], "/webhooks/{webhook_id}/edit": [f"/webhooks/{hook}/edit"],
        "/webhooks/{webhook_id}/delete": [f"/webhooks/{hook}/delete"],
        "/schedules": ["/schedules"], "/schedules/new": ["/schedules/new?name=add"],
        "/schedules/{schedule_id}": [schedule],
        **{f"/schedules/{{schedule_id}}/{act}": [f"{schedule}/{act}"] for act in ("edit", "pause", "delete")},
        "/workers": ["/workers"], "/workers/{name}": [worker], "/workers/{name}/drain": [f"{worker}/drain"],
        "/queues": ["/queues"], "/queues/{name}": ["/queues/default", "/queues/slow"],
        **{f"/queues/{{name}}/{act}": [f"/queues/slow/{act}"] for act in ("pause", "purge")},
    }  # fmt: skip


def _plain(client: httpx2.Client) -> dict[str, list[str]]:
    assert client.get("/audit").json(), "what was done above is in the trail"
    return {
        "/audit": ["/audit"], "/keys": ["/keys"], "/settings": ["/settings"],
        "/definitions": ["/definitions"], "/definitions/{name}": ["/definitions/echo", "/definitions/add"],
        "/definitions/{name}/pause": ["/definitions/add/pause"],
    }  # fmt: skip

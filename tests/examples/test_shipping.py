"""The example of tasks that wait and try again, as a user would run it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.processes import Process


@pytest.fixture(scope="module")
def shipping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """The example, run by `backyard up`."""
    folder = tmp_path_factory.mktemp("shipping")
    command = [sys.executable, "-m", "backyard", "up", "examples.shipping:app", "--port", "0", "--no-flower"]
    environment = {"BACKYARD_REDIS_URL": "", "REDIS_URL": "", "BACKYARD_DATA_DIR": str(folder / "data")}
    process = Process([*command, "--concurrency", "1"], environment)
    try:
        process.wait_for_line("Ctrl-C stops it.")
        address = re.search(r"API +(http://\S+)", process.output)
        assert address is not None
        with httpx2.Client(base_url=address[1], timeout=60) as client:
            yield client
    finally:
        code = process.stop()
    assert code == 0, process.output


def ended(client: httpx2.Client, name: str, **values: Any) -> dict[str, Any]:
    """Submit a task, and return it when it is over."""
    submitted = client.post(f"/tasks/{name}", json=values)
    assert submitted.status_code == 201, submitted.text
    task: dict[str, Any] = client.get(f"/tasks/{submitted.json()['task_id']}", params={"wait": 30}).json()
    return task


def test_a_busy_carrier_is_asked_again(shipping: httpx2.Client) -> None:
    task = ended(shipping, "book_parcel", order=7)
    assert (task["state"], task["result"], task["attempt"]) == ("SUCCESS", 3, 3)


def test_what_makes_no_sense_is_given_up(shipping: httpx2.Client) -> None:
    task = ended(shipping, "book_parcel", order=0)
    assert (task["state"], task["attempt"]) == ("FAILURE", 1)
    assert task["failure"]["message"] == "There is no order 0."


def test_a_parcel_is_put_off_and_sent(shipping: httpx2.Client) -> None:
    task = ended(shipping, "send_parcel", ready_in=0.2)
    assert (task["state"], task["result"], task["failure"]) == ("SUCCESS", 2, None)


def test_tomorrow_is_tomorrow(shipping: httpx2.Client) -> None:
    task = shipping.get(f"/tasks/{shipping.post('/parcels').json()['task_id']}").json()
    assert task["state"] == "SCHEDULED"
    due = datetime.fromisoformat(task["date_due"]) - datetime.now(UTC)
    assert timedelta(hours=23) < due <= timedelta(days=1)
    shipping.delete(f"/tasks/{task['task_id']}")


def test_the_policy_is_shown(shipping: httpx2.Client) -> None:
    policy = shipping.get("/definitions/book_parcel").json()["policy"]
    assert policy["backoff"] == {"examples.shipping.CarrierBusyError": 0.1, "default": 0.2}
    assert policy["retry_on"] == ["examples.shipping.CarrierBusyError", "TimeoutError"]


def test_the_example_is_short() -> None:
    lines = [line for line in Path("examples/shipping.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 40

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from backyard import Backyard
from backyard.core.webhooks import key_of
from backyard.history.database import History
from backyard.history.deliveries import enqueue
from backyard.history.migrate import migrate
from backyard.history.recorder import Recorder
from support.news import Teller
from support.processes import running_api
from support.receiver import SECRET
from support.web import connect, locations, problem_in

URL = "https://hooks.example.com/x"


@pytest.fixture(scope="module")
def history(stack_environment: dict[str, str]) -> Iterator[History]:
    history = History.open(None, Path(stack_environment["BACKYARD_DATA_DIR"]), stack_environment["TEST_YARD"])
    migrate(history)
    yield history
    history.close()


@pytest.fixture(scope="module")
def client(stack_environment: dict[str, str], history: History) -> Iterator[httpx2.Client]:
    assert history.is_sqlite
    known = {"BACKYARD_WEBHOOK_SECRET": SECRET, "BACKYARD_SECRET_KEYS": "k" * 40}
    with running_api({**stack_environment, **known}) as api, connect(api.url) as client:
        yield client


def test_webhooks_are_made_shown_tried_and_deleted(
    client: httpx2.Client, stack_yard: Backyard, history: History
) -> None:
    ledger = stack_yard.ledger
    before = ledger.run(ledger.calls.last_event())
    made = client.post("/webhooks", json={"url": URL, "names": ["add"], "states": ["FAILURE"]})
    assert made.status_code == 201, made.text
    body = made.json()
    place = made.headers["location"]
    assert len(key_of(body.pop("secret"))) == 32
    assert place == f"/webhooks/{body['webhook_id']}"
    assert client.get(place).json() == body
    assert client.get("/webhooks").json() == [body]
    assert (body["url"], body["names"], body["states"], body["enabled"]) == (URL, ["add"], ["FAILURE"], True)
    assert b"whsec_" not in Path(str(history.url.database)).read_bytes()
    tried = client.post(f"{place}/test")
    assert (tried.status_code, tried.json()["state"], tried.json()["task_id"]) == (202, "waiting", None)
    assert client.post(f"{place}/enable").json()["enabled"]
    assert client.get("/webhooks/deliveries", params={"webhook_id": body["webhook_id"]}).json() == [tried.json()]
    again = client.post(f"/webhooks/deliveries/{tried.json()['delivery_id']}/redeliver")
    assert (again.status_code, again.json()["delivery_id"]) == (202, tried.json()["delivery_id"])
    assert client.delete(place).status_code == 204
    for answer in (
        client.get(place), client.delete(place), client.post(f"{place}/test"), client.post(f"{place}/enable"),
    ):  # fmt: skip
        problem_in(answer, 404, "unknown_webhook")
    problem_in(client.post("/webhooks/deliveries/nothing/redeliver"), 404, "unknown_delivery")
    told = [one for one in ledger.run(ledger.calls.events_after(before, 1_000, 0.1)) if one.event == "audit"]
    assert [one.data["verb"] for one in told] == ["create", "test", "enable", "redeliver", "delete"]


def test_a_webhook_is_changed_in_what_the_body_names(client: httpx2.Client) -> None:
    made = client.post("/webhooks", json={"url": URL, "names": ["add"], "states": ["FAILURE"]}).json()
    place = f"/webhooks/{made['webhook_id']}"
    changed = client.patch(place, json={"url": "https://other.example/", "enabled": False})
    assert changed.status_code == 200, changed.text
    del made["secret"]
    assert changed.json() == {**made, "url": "https://other.example/", "enabled": False}
    assert client.patch(place, json={"names": [], "enabled": True}).json()["names"] == []
    assert client.get(place).json()["states"] == ["FAILURE"]
    assert locations(problem_in(client.patch(place, json={"url": "ftp://x"}), 422, "invalid_input")) == [["url"]]
    assert locations(problem_in(client.patch(place, json={"secret": "x"}), 422, "invalid_input")) == [["secret"]]
    problem_in(client.patch("/webhooks/wh_nobody", json={"names": []}), 404, "unknown_webhook")
    client.delete(place)


def test_the_log_has_pages(client: httpx2.Client, history: History) -> None:
    recorder = Recorder(history, lambda _: {}, enqueue)
    recorder.position()
    recorder.begin("0-0")
    teller = Teller()
    recorder.record([one for number in range(5) for one in teller.whole(f"t{number}", webhook=URL)])
    found, query = [], "/webhooks/deliveries?limit=2&state=waiting"
    while query:
        answer = client.get(query)
        found += [one["task_id"] for one in answer.json() if one["task_id"]]
        link = re.fullmatch(r'<(.*)>; rel="next"', answer.headers.get("link", ""))
        query = link[1] if link else ""
    assert found == ["t4", "t3", "t2", "t1", "t0"]
    assert len(client.get("/webhooks/deliveries", params={"task_id": "t2"}).json()) == 1


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, ["url"]),
        ({"url": "http://127.0.0.1/"}, ["url"]),
        ({"url": "http://[fd00::1]/"}, ["url"]),
        ({"url": "https://me:word@h/"}, ["url"]),
        ({"url": "gopher://h/"}, ["url"]),
        ({"url": URL, "states": ["PENDING"]}, ["states", 0]),
        ({"url": URL, "names": [""]}, ["names"]),
        ({"url": URL, "secret": "mine"}, ["secret"]),
    ],
)
def test_what_cannot_be_told_is_refused(client: httpx2.Client, body: dict[str, object], place: list[object]) -> None:
    assert locations(problem_in(client.post("/webhooks", json=body), 422, "invalid_input")) == [place]


def test_submits_and_questions_that_cannot_work_name_the_field(client: httpx2.Client) -> None:
    wrong = client.post("/tasks/add", params={"webhook": "http://10.0.0.1/"}, json={"a": 1})
    assert locations(problem_in(wrong, 422, "invalid_input")) == [["webhook"]]
    wrong = client.post("/tasks", json={"name": "add", "input": {"a": 1}, "webhook": "http://10.0.0.1/"})
    assert locations(problem_in(wrong, 422, "invalid_input")) == [["webhook"]]
    for query, place, code in (
        ("cursor=nonsense", "cursor", "invalid_input"), ("state=gone", "state", "invalid_request"),
        ("colour=red", "colour", "invalid_request"),
    ):  # fmt: skip
        answer = client.get(f"/webhooks/deliveries?{query}")
        assert locations(problem_in(answer, 422, code)) == [["query", place]]
    accepted = client.post("/tasks/add", params={"webhook": URL}, json={"a": 1})
    assert accepted.status_code == 201, accepted.text

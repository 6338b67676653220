"""No secret is readable anywhere, in the server, in an answer, event, log or failure; and tasks get it all the same."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import redis
from celery import chain, chord, group
from pydantic import SecretStr

from backyard import Backyard
from backyard.core.errors import InvalidInputError
from backyard.core.secrets import MASK
from backyard.core.states import State
from support.clean import wait_for_state, wait_until
from support.keepers import await_recorded, start_keeper
from support.processes import make_environment, running_api, start_worker
from support.secretive import FAIL, HIDDEN, KEY, TARGET, TOKEN, WAYS, Login, define_tasks, everything, make_yard
from support.web import connect, final, watching

#: However they may be written.
LEAKS = {"sealed:1:"} | {
    spelling for text in (HIDDEN, TOKEN, "of-ada") for spelling in (text, quote(text), json.dumps(text)[1:-1])
}


def assert_unseen(text: str | bytes, where: str) -> None:
    """Look for the secrets in a text for people, and in what is kept, which may have them sealed."""
    shown = text if isinstance(text, str) else text.decode("utf-8", "replace").replace("sealed:1:", "")
    for leak in LEAKS:
        place = shown.find(leak)
        assert place < 0, f"{where} shows {leak!r}: ...{shown[max(place - 300, 0) : place + 100]}..."


class Watcher:
    """Collects Celery's events, which are all that Flower knows of."""

    def __init__(self, yard: Backyard) -> None:
        self.events: list[dict[str, Any]] = []
        self._connection = yard.celery.connection_for_read()
        self._receiver = yard.celery.events.Receiver(self._connection, handlers={"*": self.events.append})
        self._thread = threading.Thread(target=self._receiver.capture, kwargs={"wakeup": False}, daemon=True)
        self._thread.start()

    def kinds(self) -> set[str]:
        """Return the kinds of events that have come."""
        return {event["type"] for event in list(self.events)}

    def close(self) -> None:
        """Watch no more."""
        self._receiver.should_stop = True
        self._thread.join(10)
        self._connection.release()


@pytest.fixture
def secretive_environment(server_url: str, tmp_path: Path) -> dict[str, str]:
    return {**make_environment(server_url, tmp_path), "BACKYARD_SECRET_KEYS": KEY}


@pytest.fixture
def yard(secretive_environment: dict[str, str]) -> Iterator[Backyard]:
    made = make_yard(secretive_environment)
    yield made
    made.ledger.close()
    made.celery.close()


@pytest.fixture
def raw(server_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(server_url)
    yield client
    client.close()


def submit_over_http(client: httpx2.Client, seen: list[str]) -> dict[str, str]:
    """Submit a task for each way to give secrets away, and return their ids."""
    ids = {}
    for way in WAYS:
        body = {"login": {"user": "ada", "password": HIDDEN}, "token": TOKEN, "way": way}
        answer = client.post("/tasks/log_in", json=body)
        assert answer.status_code == 201, answer.text
        ids[way] = answer.json()["task_id"]
        seen.append(answer.text)
        assert answer.json()["input"]["login"] == {"user": "ada", "password": MASK}
        assert answer.json()["input"]["token"] == MASK
    return ids


def submit_as_celery(yard: Backyard, tasks: SimpleNamespace) -> list[tuple[Any, Any]]:
    """Submit in all of Celery's ways; returns what the results are, and what they are to be."""
    login, plain = Login(user="ada", password=SecretStr(HIDDEN)), {"user": "ada", "password": HIDDEN}
    first, length = tasks.first, tasks.length
    linked = first.apply_async(("12345",), link=length.s(HIDDEN))
    return [
        (tasks.log_in.delay(login=login, token=TOKEN), "done"),
        (tasks.log_in.apply_async((), {"login": plain, "token": TOKEN}, countdown=0.5), "done"),
        (yard.celery.send_task("log_in", (plain, TOKEN)), "done"),
        (linked, "12345"),
        (chain(first.s("12345"), length.s(SecretStr(HIDDEN))).apply_async(), 19),
        (chain(first.s("12345"), length.s(password=HIDDEN), first.si("end")).apply_async(), "end"),
        (group(length.s("a", HIDDEN), length.s("b", password=SecretStr(HIDDEN))).apply_async(), [15, 15]),
        (chord([first.s("a")], length.si("b", HIDDEN)).apply_async(), 15),
        (chain(first.s("a"), group(length.s(HIDDEN), length.s(HIDDEN))).apply_async(), [15, 15]),
        (tasks.opener.delay(HIDDEN), 15),
    ]


def look_at_all(client: httpx2.Client, ids: Mapping[str, str], seen: list[str]) -> dict[str, dict[str, Any]]:
    """Ask the API for all it knows of tasks, and return how they ended."""
    ended = {}
    for way, task_id in ids.items():
        ended[way] = final(client, task_id)
        assert ended[way]["state"] == ("FAILURE" if way in FAIL else "SUCCESS"), ended[way]
        for part in ("", "/log", "/why"):
            answer = client.get(f"/tasks/{task_id}{part}")
            assert answer.status_code == 200, answer.text
            seen.append(answer.text)
        with watching(client, task_id, after="0-0") as stream:
            for event in stream:
                seen.append(json.dumps(event.data))
                if event.data["state"] == ended[way]["state"]:
                    break
    seen.append(client.get("/tasks", params={"limit": 500}).text)
    seen.append(client.get("/workers").text)
    return ended


def look_while_it_runs(yard: Backyard, task_id: str) -> str:
    """Return what inspection, which Flower asks as well, says of a task that runs."""
    wait_for_state(yard.ledger, task_id, State.STARTED)
    active = str(wait_until(lambda: yard.celery.control.inspect(timeout=2).active(), "inspection answers"))
    assert MASK in active
    return active


def test_secrets_are_seen_nowhere_at_any_time(
    secretive_environment: dict[str, str], yard: Backyard, raw: redis.Redis, tmp_path: Path
) -> None:
    tasks, watcher, gate = define_tasks(yard), Watcher(yard), tmp_path / "gate"
    seen: list[str] = []
    with running_api(secretive_environment, "support.secretive:app") as api, connect(api.url) as client:
        held = tasks.log_in.delay(Login(user="ada", password=SecretStr(HIDDEN)), TOKEN, gate=str(gate)).id
        ids = submit_over_http(client, seen)
        sent = submit_as_celery(yard, tasks)
        waiting = everything(raw, yard.name)
        assert waiting.count(b"sealed:1:") > len(WAYS)
        assert waiting.count(b"12345") > 1, "messages are read as they are"
        assert_unseen(waiting, "the server, before a worker comes,")
        worker = start_worker(secretive_environment, "--concurrency=2", target=TARGET)
        keeper = start_keeper(secretive_environment, "support.secretive:yard")
        try:
            seen.append(look_while_it_runs(yard, held))
            gate.touch()
            ended = look_at_all(client, ids, seen)
            assert [one.get(timeout=30) for one, _ in sent] == [value for _, value in sent]
            wanted = {"task-sent", "task-received", "task-failed", "task-retried", "task-succeeded"}
            wait_until(lambda: wanted <= watcher.kinds(), "all kinds of events")
            await_recorded(yard.ledger)
            look_at_all(client, ids, seen)
            seen += [client.get(path).text for path in ("/tasks?text=ada", "/errors", "/audit")]
        finally:
            keeper.end()
            worker.end()
            watcher.close()
    assert ended["fail"]["failure"]["message"].startswith(f"('cannot log in with {MASK}")
    kinds = {way: ended[way]["failure"]["type"] for way in ("fail", "validate", "fail_together", "return_wrong")}
    assert list(kinds.values()) == ["ValueError", "ValidationError", "ExceptionGroup", "InvalidResultError"]
    assert all(said in worker.output for said in ("cannot log in", "with a traceback", "in a thread"))
    for number, text in enumerate((*seen, api.process.output, worker.output, keeper.output)):
        assert_unseen(text, f"answer or log {number} of {len(seen)} and 3")
    check_events(watcher.events)
    assert_unseen(everything(raw, yard.name), "the server, at the end,")
    kept = [path.read_bytes() for path in (tmp_path / "history").rglob("*") if path.is_file()]
    assert any(b"sealed:1:" in file for file in kept)
    assert_unseen(b"\n".join(kept), "the history")


def check_events(events: list[dict[str, Any]]) -> None:
    """Look through what Flower sees."""
    for event in events:
        assert_unseen(json.dumps(event, default=str), f"Celery's event {event['type']}")
    assert any(MASK in str(event.get("kwargs")) for event in events)
    exceptions = [str(event.get("exception")) for event in events]
    assert any(text.startswith(f"ValueError('cannot log in with {MASK}") for text in exceptions), "the same class"


def test_rerun_keeps_the_secret_it_never_showed(secretive_environment: dict[str, str], yard: Backyard) -> None:
    with running_api(secretive_environment, "support.secretive:app") as api, connect(api.url) as client:
        body = {"login": {"user": "ada", "password": HIDDEN}, "token": TOKEN}
        task = client.post("/tasks/log_in", json=body).json()
        kept = yard.ledger.record(task["task_id"]).json("input")
        same = client.post(f"/tasks/{task['task_id']}/rerun").json()
        assert yard.ledger.record(same["task_id"]).json("input") == kept
        shown = {**task["input"], "way": "talk"}
        edited = client.post(f"/tasks/{task['task_id']}/rerun", json={"input": shown})
        assert edited.status_code == 201, edited.text
        assert yard.ledger.record(edited.json()["task_id"]).json("input") == {**kept, "way": "talk"}
        refused = client.post("/tasks/log_in", json=shown)
        assert refused.status_code == 422
        assert "is the mask of a secret" in refused.json()["detail"]


def test_keys_and_uniqueness_work_on_sealed_inputs(yard: Backyard) -> None:
    tasks = define_tasks(yard)
    key = tasks.log_in.with_options(idempotency_key="k")
    login = Login(user="ada", password=SecretStr(HIDDEN))
    first = key.submit_sync(login=login, token=TOKEN)
    assert key.submit_sync(login=login, token=TOKEN).task_id == first.task_id
    one = tasks.once.submit_sync(password=SecretStr(HIDDEN), note="first")
    assert tasks.once.submit_sync(password=SecretStr(HIDDEN), note="second").task_id == one.task_id
    assert tasks.once.delay(password=HIDDEN, note="third").id == one.task_id
    assert tasks.once.submit_sync(password=SecretStr("another one")).task_id != one.task_id


def test_a_worker_without_the_key_says_which_one_is_missing(
    secretive_environment: dict[str, str], yard: Backyard
) -> None:
    handle = define_tasks(yard).length.submit_sync("x", SecretStr(HIDDEN))
    other = {**secretive_environment, "BACKYARD_SECRET_KEYS": "o" * 40}
    worker = start_worker(other, target=TARGET)
    try:
        record = wait_for_state(yard.ledger, handle.task_id, State.FAILURE)
    finally:
        worker.end()
    assert record.failure is not None
    assert "the secret at password cannot be opened" in record.failure.message
    assert "not among BACKYARD_SECRET_KEYS" in record.failure.message
    assert record.number("attempt") == 1, "another try would find no key either"


def test_signatures_that_cannot_be_sealed_are_refused(yard: Backyard, raw: redis.Redis) -> None:
    tasks = define_tasks(yard)
    with pytest.raises(InvalidInputError, match="map, starmap and chunks send arguments in the open"):
        tasks.length.celery_task.starmap([("a", HIDDEN)]).apply_async()
    with pytest.raises(InvalidInputError, match="has arguments by position"):
        tasks.first.apply_async(("a",), link_error=tasks.length.s(HIDDEN))
    assert_unseen(everything(raw, yard.name), "the server")

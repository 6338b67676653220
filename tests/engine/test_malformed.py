"""Entries that no worker can run are kept aside with a reason, end their tasks, and never stop a worker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from backyard.core.states import State
from backyard.engine.message import compose, message_in
from backyard.ledger.submission import Submission
from support.clean import counted, wait_final, wait_until
from support.processes import Process
from support.stage import Stage


def in_brief(task_id: str) -> bytes:
    return compose(task_id, "add", b'{"a":1}', queue="default", lane="normal", timelimit=(None, None))


def good(task_id: str) -> dict[str, Any]:
    return message_in(in_brief(task_id))


def changed(part: str, **values: Any) -> Callable[[str], bytes]:
    def make(task_id: str) -> bytes:
        message = good(task_id)
        (message[part] if part else message).update(values)
        return json.dumps(message).encode()

    return make


def without(part: str, name: str) -> Callable[[str], bytes]:
    def make(task_id: str) -> bytes:
        message = good(task_id)
        del (message[part] if part else message)[name]
        return json.dumps(message).encode()

    return make


KINDS: dict[str, Callable[[str], bytes]] = {
    "empty": lambda _: b"",
    "not json": lambda _: b"{",
    "not utf-8": lambda _: b"\xff\xfe\x00",
    "a list": lambda _: b"[]",
    "a number": lambda _: b"7",
    "nested too deep": lambda _: b"[" * 100_000,
    "in brief, cut off": lambda task_id: in_brief(task_id).partition(b"\n")[0][:-2],
    "in brief, without input": lambda task_id: in_brief(task_id).partition(b"\n")[0],
    "in brief, input a list": lambda task_id: in_brief(task_id).replace(b'{"a":1}', b"[1]"),
    "in brief, input not utf-8": lambda task_id: in_brief(task_id).replace(b'{"a":1}', b"\xff"),
    "in brief, without its task": lambda task_id: in_brief(task_id).replace(b'"task"', b'"tusk"'),
    "in brief, without its queue": lambda task_id: in_brief(task_id).replace(b'"queue"', b'"quiet"'),
    "no properties": without("", "properties"),
    "properties a list": changed("", properties=[1]),
    "delivery info a list": changed("properties", delivery_info=[1]),
    "no body": without("", "body"),
    "body not json": changed("", body="{"),
    "body a number": changed("", body=7),
    "body of another shape": changed("", body="[1, 2]"),
    "body with a list of keywords": changed("", body="[[], [], {}]"),
    "body with words in place of callbacks": changed("", body='[[], {}, "x"]'),
    "body in bad base64": lambda task_id: json.dumps(
        {**good(task_id), "properties": {**good(task_id)["properties"], "body_encoding": "base64"}, "body": "%"}
    ).encode(),
    "unknown body encoding": lambda task_id: json.dumps(
        {**good(task_id), "properties": {**good(task_id)["properties"], "body_encoding": "rot13"}}
    ).encode(),
    "headers a list": changed("", headers=[1]),
    "no headers": without("", "headers"),
    "no task": without("headers", "task"),
    "id a number": changed("headers", id=7),
    "retries a word": changed("headers", retries="x"),
    "time limit of one": changed("headers", timelimit=[1]),
    "eta no time": changed("headers", eta="soon"),
    "stamps a list": changed("headers", stamped_headers=["a"], stamps=[1]),
    "pickle": changed("", **{"content-type": "application/x-python-serialize", "body": "gASVAAAAAAAAAAA="}),
    "unknown content type": changed("", **{"content-type": "application/nonsense"}),
    "unknown compression": changed("headers", compression="application/x-nonsense"),
    "unknown name": changed("headers", task="nobody_knows"),
}


def add_entry(stage: Stage, task_id: str, message: bytes) -> None:
    """Put any message into the queue, as its task's living entry."""
    stage.ledger.submit([Submission(task_id, "add", "default", "normal", message, lifetime=60)])


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_that_cannot_be_run_is_set_aside(served: Stage, crew: Process, kind: str) -> None:
    client: Any = served.ledger.client
    dead = f"{served.ledger.keys.prefix}dead"
    before = client.xlen(dead)
    task_id = str(uuid.uuid4())
    message = KINDS[kind](task_id)
    add_entry(served, task_id, message)
    record = wait_final(served.ledger, task_id)
    assert record.failure is not None
    assert record.state is State.FAILURE
    assert record.failure.message
    assert record.number("attempt") == 0
    assert client.xlen(dead) == before + 1
    ((_, kept),) = client.xrevrange(dead, count=1)
    assert (kept[b"m"], kept[b"t"].decode(), kept[b"queue"]) == (message, task_id, b"default")
    assert kept[b"reason"].decode() == record.failure.message
    assert served.typed.add.submit_sync(1).result_sync(30) == 3
    assert crew.child.poll() is None


def test_entries_without_a_task_are_set_aside_as_well(served: Stage) -> None:
    client: Any = served.ledger.client
    before = counted(served.ledger).get("set_aside", 0)
    key = served.ledger.keys.queue("default", "normal")
    client.xadd(key, {"m": b"{"})
    client.xadd(key, {"something": "else"})
    client.xadd(key, {"t": "", "m": json.dumps({"body": "7", "properties": {}, "content-type": "application/json"})})
    wait_until(lambda: counted(served.ledger).get("set_aside", 0) == before + 3, "they are set aside")
    assert served.typed.add.submit_sync(1).result_sync(30) == 3


def test_an_unknown_name_says_so_to_celerys_callers(served: Stage) -> None:
    result = served.yard.celery.send_task("nobody_knows", (1,))
    record = wait_final(served.ledger, result.id)
    assert record.failure is not None
    assert record.failure.type == "NotRegistered"
    assert "nobody_knows" in record.failure.message
    with pytest.raises(Exception, match="nobody_knows"):
        result.get(timeout=5)

"""Our composed message is Celery's own, field by field."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from backyard import Backyard, Settings
from backyard.core.models import Lane
from backyard.core.secrets import masked
from backyard.engine.current import Attempt, lineage, set_current
from backyard.engine.message import compose, is_task, message_in, read_message, submission_of
from backyard.ledger.keys import PRIORITY

TASK_ID = "0197b6a0-0000-7000-8000-000000000001"


def stored_by_celery(
    yard: Backyard, queue: str, lane: Lane, kwargs: dict[str, Any] | None = None, **options: Any
) -> dict[str, Any]:
    """Send through Celery's own composer and kombu's envelope, and return what stands in the queue."""
    yard.celery.send_task(
        "add",
        (),
        {"a": 1, "b": "ä"} if kwargs is None else kwargs,
        task_id=TASK_ID,
        queue=queue,
        priority=PRIORITY[lane],
        ignore_result=False,
        **options,
    )
    client: Any = yard.ledger.client
    ((_, fields),) = client.xrange(yard.ledger.keys.queue(queue, lane))
    message: dict[str, Any] = message_in(fields[b"m"])
    return message


@pytest.mark.parametrize(("queue", "lane"), [("default", "normal"), ("reports", "high"), ("default", "low")])
def test_composed_message_is_celerys_own(new_yard: Backyard, queue: str, lane: Lane) -> None:
    theirs = stored_by_celery(new_yard, queue, lane, time_limit=7.5, soft_time_limit=2.5)
    payload = json.dumps({"a": 1, "b": "ä"}).encode()
    ours = message_in(compose(TASK_ID, "add", payload, queue=queue, lane=lane, timelimit=(7.5, 2.5)))
    check_same(ours, theirs)
    new_yard.celery.close()


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"text": 'a "quoted" \\ back\x00slash,\n a line, \u2028 and \U0001f600'},
        {"ä": [None, True, 1.5, -1, {"deep": [{"er": ""}]}]},
        {"long": "xä" * 2_000},
        {"key": "sealed:1:01234567:abc", "more": "y" * 2_000},
        {"looks": '", "headers": {"id": "other"}', "like": "\\u0000"},
    ],
)
@pytest.mark.parametrize("family", [None, {"parent_id": "p-1", "root_id": "r-1"}])
def test_whatever_the_input_is_the_message_is_celerys(
    new_yard: Backyard, kwargs: dict[str, Any], family: dict[str, str] | None
) -> None:
    options: dict[str, Any] = {**(family or {})}
    theirs = stored_by_celery(new_yard, "default", "normal", kwargs, **options)
    for ascii_only in (True, False):
        payload = json.dumps(kwargs, ensure_ascii=ascii_only, separators=(",", ":")).encode()
        text = compose(TASK_ID, "add", payload, queue="default", lane="normal", timelimit=(None, None), family=family)
        ours = message_in(text)
        shown = ours["headers"]["kwargsrepr"]
        assert "sealed:" not in shown
        assert masked(payload.decode()).startswith(shown.rstrip("\ufffd"))
        check_same(ours, copy.deepcopy(theirs))
    new_yard.celery.close()


def check_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Compare our message with Celery's, field by field."""
    assert set(ours) == set(theirs)
    for place in ("headers", "properties"):
        assert set(ours[place]) == set(theirs[place])
    assert json.loads(ours.pop("body")) == json.loads(theirs.pop("body"))
    # These are for people, or name one sending: of the same type, not of the same text.
    for place, name in (("headers", "argsrepr"), ("headers", "kwargsrepr"), ("properties", "delivery_tag")):
        assert type(ours[place].pop(name)) is type(theirs[place].pop(name))
    # Answers go to the result backend; the queue of Celery's rpc backend is of no use.
    assert isinstance(theirs["properties"].pop("reply_to"), str)
    assert ours["properties"].pop("reply_to") == ""
    # A queue is found by its own name, through whichever exchange.
    info = theirs["properties"]["delivery_info"]
    assert info.pop("exchange") in ("", "default", info["routing_key"])
    assert ours["properties"]["delivery_info"].pop("exchange") == ""
    assert ours["headers"] == theirs["headers"]
    assert ours == theirs


def test_composed_message_of_a_typed_submit_equals_celerys_delay(new_yard: Backyard) -> None:
    @new_yard.task(timeout=3)
    def add(a: int, b: int = 2) -> int:
        return a + b

    first = add.submit_sync(1).task_id
    second = add.apply_async((1,)).id
    client: Any = new_yard.ledger.client
    rows = client.xrange(new_yard.ledger.keys.queue("default", "normal"))
    ours, theirs = (message_in(fields[b"m"]) for _, fields in rows)
    assert json.loads(ours["body"]) == json.loads(theirs["body"])
    assert (ours["headers"]["id"], theirs["headers"]["id"]) == (first, second)
    assert set(ours["headers"]) == set(theirs["headers"])
    assert new_yard.ledger.record(first).json("input") == new_yard.ledger.record(second).json("input")
    new_yard.celery.close()


def test_a_message_of_celerys_loses_eta_and_expiry_to_the_ledger(new_yard: Backyard) -> None:
    new_yard.celery.send_task("add", (1,), task_id=TASK_ID, countdown=3_600, expires=7_200)
    record = new_yard.ledger.record(TASK_ID)
    assert record.state == "SCHEDULED"
    headers = json.loads(record.fields["message"])["headers"]
    assert (headers["eta"], headers["expires"]) == (None, None)
    assert record.number("expires") - record.number("due") == pytest.approx(3_600_000, abs=5)
    new_yard.celery.close()


def test_only_protocol_two_is_a_task() -> None:
    assert is_task({"headers": {"task": "a", "id": "b"}})
    assert not is_task({"headers": {"task": "a"}})
    assert not is_task({"headers": None})


def test_submission_keeps_family_and_attempt() -> None:
    message = {
        "body": "[[1], {}, {}]", "content-type": "application/json", "properties": {},
        "headers": {"id": "x", "task": "t", "parent_id": "p", "root_id": "r", "group": "g"},
    }  # fmt: skip
    submission = submission_of(message, "q", 0, 60, attempt=3, plain=False)
    family = {"parent_id": "p", "root_id": "r", "group_id": "g"}
    assert submission.fields == {"input": '{"args":[1],"kwargs":{}}', "canvas": "", **family}
    assert submission.words()[1] == "again 3"
    assert Settings(redis_url="redis://127.0.0.1:1").redis_url == "redis://127.0.0.1:1"


@pytest.mark.parametrize(
    ("body", "canvas"),
    [
        ('[[], {}, {"chord": null, "chain": [], "errbacks": null, "callbacks": [{}]}]', ""),
        ('[[], {}, {"chord": {"task": "x"}}]', "1"),
        ('[[], {}, {"chain": [{"task": "x"}]}]', "1"),
        ('[[], {}, {"errbacks": [{"task": "x"}]}]', "1"),
        ("unreadable", "1"),
    ],
)
def test_submission_says_whether_a_canvas_has_to_hear_of_a_cancel(body: str, canvas: str) -> None:
    message = {"body": body, "content-type": "application/json", "properties": {}, "headers": {"id": "x", "task": "t"}}
    assert submission_of(dict(message), "q", 0, 60, attempt=None, plain=False).fields["canvas"] == canvas
    assert submission_of(dict(message), "q", 0, 60, attempt=None, plain=True).fields["canvas"] == ""


def test_what_is_submitted_from_inside_a_task_names_its_family() -> None:
    options: dict[str, Any] = {"queue": "q", "lane": "normal", "timelimit": (None, None)}
    alone = message_in(compose(TASK_ID, "add", b"{}", **options))["headers"]
    assert (alone["parent_id"], alone["root_id"]) == (None, TASK_ID)
    set_current(Attempt("p", 1, "w", root_id="r"))
    try:
        assert lineage("p") == {}, "its own retry"
        child = message_in(compose(TASK_ID, "add", b"{}", **options, family=lineage(TASK_ID)))["headers"]
    finally:
        set_current(None)
    assert (child["parent_id"], child["root_id"]) == ("p", "r")


@pytest.mark.parametrize(
    "change",
    [
        {"id": 7}, {"task": ["x"]}, {"retries": "2"}, {"timelimit": 3}, {"timelimit": [1]}, {"timelimit": ["1", None]},
        {"eta": "soon"}, {"expires": "2026-99-99"}, {"stamps": []}, {"stamped_headers": "x"}, {"group_index": "0"},
    ],
)  # fmt: skip
def test_headers_that_would_end_a_worker_are_refused(change: dict[str, Any]) -> None:
    message = message_in(compose(TASK_ID, "add", b"{}", queue="q", lane="normal", timelimit=(None, None)))
    assert read_message(json.dumps(message).encode(), tag="q/normal/1-0", entry="normal/1-0", again=True)["headers"][
        "redelivered"
    ]
    message["headers"].update(change)
    with pytest.raises(ValueError, match="not a task message: header"):
        read_message(json.dumps(message).encode(), tag="q/normal/1-0", entry="normal/1-0", again=False)

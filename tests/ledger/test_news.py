"""What the stream tells of a record is what the record holds, and what is published is what somebody can wait for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backyard.core.states import State, Verb
from support.bench import Bench

BORN = (
    "name", "queue", "lane", "created", "due", "expires", "input", "tags", "rerun_of", "parent_id", "root_id",
    "group_id", "schedule", "operation", "webhook", "cancel",
)  # fmt: skip
ENDED = ("result", "failure", "started", "finished", "cancel", "cancel_seen", "cancel_by", "cancel_reason")
LONG = "x" * 4_097


def said(bench: Bench, task_id: str, names: tuple[str, ...]) -> None:
    """Check the newest event of a task against its record."""
    news = bench.events(task_id)[-1]
    held = {name: value for name, value in bench.raw(task_id).items() if name in names and value}
    assert news.fields == {name: value for name, value in held.items() if len(value) < len(LONG)}
    assert set(news.left_out) == {name for name, value in held.items() if len(value) >= len(LONG)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"due": "+60000", "expires": ">5000"},
        {"expires": "+60000", "unique": "until_done f:1"},
        {
            "fields": {
                "input": "{}",
                "tags": '["a"]',
                "schedule": "s",
                "webhook": "http://x",
                "canvas": "",
                "door": "celery",
            }
        },
        {"fields": {"input": LONG, "tags": LONG, "rerun_of": "", "parent_id": "p", "root_id": "r", "group_id": "g"}},
    ],
)
def test_birth(bench: Bench, options: dict[str, Any]) -> None:
    bench.submit("t", **options)
    said(bench, "t", BORN)


def test_birth_of_a_task_that_runs_anew_tells_what_is_left_of_its_record(bench: Bench) -> None:
    _, taken = bench.running("t", expires="+60000", fields={"input": '{"a":1}', "tags": '["old"]', "group_id": "g"})
    bench.cancel("t")
    bench.move(Verb.SUCCEED, "t", 1, fields={"result": "1"})
    bench.run(bench.calls.acknowledge([taken.place]))
    bench.submit("t", again=True, fields={"input": LONG})
    said(bench, "t", BORN)
    assert bench.events("t")[-1].fields["tags"] == '["old"]'


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize(
    ("verb", "fields"),
    [
        (Verb.SUCCEED, {"result": "1"}), (Verb.SUCCEED, {"result": LONG, "ignored": "1"}), (Verb.SUCCEED, {}),
        (Verb.FAIL, {"failure": '{"kind":"error"}'}), (Verb.FAIL, {"failure": LONG, "result": "2"}), (Verb.STOP, {}),
    ],
)  # fmt: skip
def test_end(bench: Bench, verb: Verb, fields: dict[str, str], *, cancelled: bool) -> None:
    _, taken = bench.running("t", fields={"input": "{}"})
    assert bench.events("t")[-1].fields == {"started": bench.raw("t")["started"]}
    # What an attempt before has left stands in the record, too.
    bench.client.hset(bench.keys.task("t"), "failure", '{"kind":"before"}')
    if cancelled:
        bench.cancel("t")
        bench.move(Verb.PROGRESS, "t", 1)
    assert bench.move(verb, "t", 1, fields=fields).outcome == "moved"
    said(bench, "t", ENDED)
    assert ("cancel_by" in bench.events("t")[-1].fields) is cancelled
    bench.run(bench.calls.acknowledge([taken.place]))


def test_all_news_is_published_but_that_of_a_birth(bench: Bench) -> None:
    channels = (bench.keys.task("t"), "celery-task-meta-t")
    with bench.client.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(*channels)
        for _ in channels:
            heard.get_message(timeout=60)
        _, taken = bench.running("t")
        bench.move(Verb.SUCCEED, "t", 1)
        bench.run(bench.calls.acknowledge([taken.place]))
        rows = [heard.get_message(timeout=60) for _ in range(4)]
        assert heard.get_message(timeout=0) is None
    states = ["PENDING", "STARTED", "SUCCESS"]
    assert bench.states("t") == states
    for channel in channels:
        assert [json.loads(row["data"])["state"] for row in rows if row["channel"] == channel] == states[1:]


@pytest.mark.parametrize("kinds", [("log",), ("children",), ("log", "children")])
def test_what_lives_beside_a_record_ends_with_it(bench: Bench, kinds: tuple[str, ...]) -> None:
    _, taken = bench.running("t")
    if "children" in kinds:
        bench.submit("child", fields={"parent_id": "t"})
    for _ in range(2 if "log" in kinds else 0):
        bench.run(bench.calls.add_lines("t", 1, ["{}"]))
    beside = [f"{bench.keys.prefix}{kind}:t" for kind in kinds]
    assert {bench.client.ttl(key) for key in beside} == {-1}
    bench.move(Verb.SUCCEED, "t", 1)
    left = bench.client.ttl(bench.keys.task("t"))
    assert all(0 <= left - bench.client.ttl(key) <= 60 for key in beside), "they are read one after the other"
    bench.run(bench.calls.acknowledge([taken.place]))


def test_an_attempt_begins_without_the_progress_of_the_one_before(bench: Bench) -> None:
    bench.running("t")
    bench.move(Verb.PROGRESS, "t", 1, event="progress", fields={"progress": "{}", "label": "half"})
    bench.retry("t", 1)
    bench.run(bench.calls.promote(1))
    for taken in bench.take(most=2):
        bench.start("t", taken.tag)
    raw = bench.raw("t")
    assert (raw["state"], raw["attempt"], "progress" in raw, "label" in raw) == ("STARTED", "2", False, False)


def test_a_queue_is_named_with_its_first_entry(bench: Bench) -> None:
    names = f"{bench.keys.prefix}queues"
    bench.submit("a")
    assert bench.client.smembers(names) == {"q"}
    bench.client.delete(names, bench.keys.queue("q", "normal"), bench.keys.task("a"), f"{bench.keys.prefix}tasks")
    bench.submit("b")
    assert bench.client.smembers(names) == {"q"}


@pytest.mark.parametrize("settled", [False, True])
def test_a_lifetime_that_comes_with_the_end_counts(bench: Bench, *, settled: bool) -> None:
    _, taken = bench.running("t")
    fields = {"failure": '{"kind":"error"}', "lifetime": "60"}
    if settled:
        bench.run(bench.calls.settle("t", State.FAILURE, attempt=1, lifetime=None, data="null", fields=fields))
    else:
        bench.move(Verb.FAIL, "t", 1, fields=fields)
    assert bench.client.ttl(bench.keys.task("t")) <= int(fields["lifetime"])
    bench.run(bench.calls.acknowledge([taken.place]))

"""A task's text is what its model would be, for every record there can be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backyard.api.view_text import view_text
from backyard.ledger.record import Record

CREATED = b"1764083057123"
PLAIN = {
    "name": b"add", "state": b"PENDING", "queue": b"default", "lane": b"high", "attempt": b"0", "created": CREATED,
    "input": b'{"a":1}', "lifetime": b"60", "entry": b"high/1-0", "message": b"{}",
}  # fmt: skip

texts = some.text().map(str.encode)
values = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**63), 2**63) | some.floats(allow_nan=False) | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    max_leaves=5,
)
written = values.map(lambda value: json.dumps(value, ensure_ascii=False).encode())
moments = some.integers(0, 4_000_000_000_000).map(lambda number: b"%d" % number)
records = some.fixed_dictionaries(
    {"name": texts, "state": some.sampled_from([b"SCHEDULED", b"PENDING", b"STARTED", b"SUCCESS"]), "queue": texts},
    optional={
        "lane": some.sampled_from([b"high", b"normal", b"low"]),
        "attempt": some.integers(0, 10**6).map(lambda number: b"%d" % number),
        "worker": texts, "input": written | some.binary(max_size=5), "result": written | some.binary(max_size=5),
        "tags": some.lists(some.text()).map(lambda tags: json.dumps(tags).encode()),
        "created": moments, "due": moments | some.just(b""), "started": moments, "finished": moments,
        "rerun_of": texts, "parent_id": texts, "root_id": texts, "group_id": texts, "schedule": texts,
        "failure": some.just(b'{"kind":"error","type":"E","message":"of the attempt before"}'), "token": texts,
    },
)  # fmt: skip


def modelled(record: Record) -> list[tuple[str, Any]]:
    """Return what the model says, in its order."""
    return list(json.loads(record.view().model_dump_json()).items())


@given(task_id=some.text(), fields=records)
def test_the_text_is_the_models(task_id: str, fields: dict[str, bytes]) -> None:
    record = Record(task_id, fields)
    text = view_text(record)
    if text is not None:
        assert list(json.loads(text).items()) == modelled(record)


@pytest.mark.parametrize("state", ["SCHEDULED", "PENDING", "STARTED", "SUCCESS"])
def test_the_usual_task_has_a_text(state: str) -> None:
    record = Record("x", {**PLAIN, "state": state.encode(), "worker": b"w", "result": b"[1]", "due": CREATED})
    text = view_text(record)
    assert text is not None
    assert text.decode() == record.view().model_dump_json()


@pytest.mark.parametrize(
    "more",
    [
        {"state": b"FAILURE"}, {"state": b"RETRY"}, {"state": b"REVOKED"}, {"state": b"PROGRESS"},
        {"progress": b'{"current":1}'}, {"cancel": CREATED},
        {"artifact:a.txt": b'{"name":"a.txt","size":1,"content_type":"text/plain","url":"/x"}'},
        {"input": b'{"key":"sealed:1:01234567:abc"}'}, {"input": b"no JSON"}, {"result": b"NaN"}, {"result": b"[1"},
        {"result": b'"\\ud800"'}, {"created": b"1764083057123.5"},
    ],
)  # fmt: skip
def test_what_has_more_to_show_is_left_to_the_model(more: dict[str, bytes]) -> None:
    assert view_text(Record("x", {**PLAIN, **more})) is None

"""A task as JSON text, put together of what its record holds, for most of that is JSON already.

What a task looks like is said by :class:`~backyard.core.models.TaskView`. To build one and write it takes some times as
long, so that it is done for those alone that have to show more than most.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring as quoted

from pydantic_core import from_json

from backyard.ledger.record import ARTIFACT, Record

#: By state, how far a task is without having said so.
_PROGRESS = {b"SCHEDULED": b"null", b"PENDING": b"null", b"STARTED": b"null", b"SUCCESS": b"100.0"}


def view_text(record: Record) -> bytes | None:
    """Return a task as JSON text; None where there is more to show than is written here.

    Args:
        record: The task's record.
    """
    fields = record.fields
    progress = _PROGRESS.get(fields["state"])
    if progress is None or "progress" in fields or "cancel" in fields or ARTIFACT in "\n".join(fields):
        return None
    given, result, tags = fields.get("input"), fields.get("result"), fields.get("tags")
    try:
        for value in (given, result, tags):
            if value:
                from_json(value, allow_inf_nan=False)  # as strict as what is written from a model
        if given and b"sealed:" in given:
            return None
        return (
            b'{"task_id":%b,"name":%b,"state":"%b","progress":%b,"progress_message":null,"queue":%b,"priority":%b,'
            b'"attempt":%b,"worker":%b,"input":%b,"result":%b,"failure":null,"reason":null,"retries_left":null,'
            b'"artifacts":[],"tags":%b,"date_created":%b,"date_due":%b,"date_started":%b,"date_done":%b,'
            b'"cancel_requested":false,"cancel":null,"rerun_of":%b,"parent_id":%b,"root_id":%b,"group_id":%b,'
            b'"schedule_id":%b}'
        ) % (
            quoted(record.task_id).encode(), _text(fields, "name", b'""'), fields["state"], progress,
            _text(fields, "queue", b'""'), _text(fields, "lane", b'"normal"'), fields.get("attempt") or b"0",
            _text(fields, "worker"), given or b"null", result or b"null", tags or b"[]",
            _moment(fields.get("created") or b"0"), _moment(fields.get("due")), _moment(fields.get("started")),
            _moment(fields.get("finished")), _text(fields, "rerun_of"), _text(fields, "parent_id"),
            _text(fields, "root_id"), _text(fields, "group_id"), _text(fields, "schedule"),
        )  # fmt: skip
    except ValueError:
        return None


def _text(fields: Mapping[str, bytes], name: str, instead: bytes = b"null") -> bytes:
    value = fields.get(name)
    return _quoted(value) if value else instead


@lru_cache(maxsize=1024)
def _quoted(value: bytes) -> bytes:
    return quoted(value.decode()).encode()


def _moment(value: bytes | None) -> bytes:
    """Return milliseconds since 1970 as JSON text, in UTC."""
    if not value:
        return b"null"
    seconds, rest = divmod(int(value), 1000)
    return b'"%b.%03d000Z"' % (_second(seconds), rest) if rest else b'"%bZ"' % _second(seconds)


@lru_cache(maxsize=64)
def _second(seconds: int) -> bytes:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19].encode()

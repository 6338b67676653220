"""News as it stands on the stream, and as it is published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from backyard.core.news import News
from backyard.ledger.record import Record


def read_entry(event_id: bytes, fields: Any) -> News:
    """Read an event from the stream; its fields come as a map or as a flat list.

    What the record held stands there with a dot before its name.
    """
    pairs: Mapping[bytes, bytes] = (
        fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
    )
    data = pairs[b"data"]
    return News(
        event_id.decode(),
        pairs[b"task"].decode(),
        pairs[b"event"].decode(),
        pairs[b"state"].decode(),
        int(pairs[b"attempt"]),
        None if data == b"null" else json.loads(data),
        # What another serializer of Celery's wrote need not be text; it must not keep the others from the history.
        {name[1:].decode(): value.decode(errors="replace") for name, value in pairs.items() if name[:1] == b"."},
        tuple(pairs[b"left_out"].decode().split()) if b"left_out" in pairs else (),
    )


def read_published(payload: bytes | str) -> News:
    """Read an event from a task's channel.

    Raises:
        ValueError: It is no JSON.
    """
    row = json.loads(payload)
    fields = row.get("fields")
    return News(
        row["event_id"], row["task_id"], row["event"], row["state"], int(row["attempt"]), row["data"],
        fields or {}, () if fields is not None else ("result", "failure"),
    )  # fmt: skip


def read_ending(payload: bytes | str) -> tuple[bool, Record | None]:
    """Read an event from the channel of a task whose end somebody waits for.

    Returns:
        Whether the task may be final now, and what the event says of its record: state, result and failure; None where
        the record has to be read.
    """
    try:
        news = read_published(payload)
    except ValueError:  # a result that is no text
        return True, None
    return news.final, ending_in(news)


def ending_in(news: News) -> Record | None:
    """Return what final news says of the record; None where it does not say all."""
    if news.left_out:
        return None
    fields = {name: value.encode() for name, value in news.fields.items()}
    return Record(news.task_id, {"state": news.state.encode(), **fields})

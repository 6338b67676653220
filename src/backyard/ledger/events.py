"""News as it stands on the stream, and as it is published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from backyard.core.news import News


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
        {name[1:].decode(): value.decode() for name, value in pairs.items() if name[:1] == b"."},
        tuple(pairs[b"left_out"].decode().split()) if b"left_out" in pairs else (),
    )


def read_published(payload: bytes | str) -> News:
    """Read an event from a task's channel."""
    row = json.loads(payload)
    return News(row["event_id"], row["task_id"], row["event"], row["state"], int(row["attempt"]), row["data"])

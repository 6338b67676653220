"""Tasks as JSON text, with links that lead to where the client sees the routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from backyard.api.bodies import aside
from backyard.api.view_text import view_text
from backyard.desk.links import base_of, linked
from backyard.ledger.record import Record

if TYPE_CHECKING:
    from backyard.app import Backyard


async def write_view(yard: Backyard, connection: HTTPConnection, record: Record) -> bytes:
    """Return a task as the client sees it, with links that lead there, as JSON text."""
    base = base_of(yard, connection)
    return await aside(_size(record), lambda: _written(record, base))


async def write_views(yard: Backyard, connection: HTTPConnection, records: Sequence[Record]) -> bytes:
    """Return tasks as the client sees them, as the JSON text of a list."""
    base = base_of(yard, connection)
    return await aside(
        sum(map(_size, records)), lambda: b"[%b]" % b",".join(_written(record, base) for record in records)
    )


def _size(record: Record) -> int:
    return sum(map(len, record.fields.values()))


def _written(record: Record, base: str) -> bytes:
    return view_text(record) or linked(record.view(), base).model_dump_json().encode()

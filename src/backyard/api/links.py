"""Where things are, as the client that asks sees it: behind its proxy, and under the yard's prefix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from backyard.api.bodies import aside
from backyard.api.view_text import view_text
from backyard.core.models import TaskView
from backyard.ledger.record import Record

if TYPE_CHECKING:
    from backyard.app import Backyard


def base_of(yard: Backyard, connection: HTTPConnection) -> str:
    """Return what the paths of the yard's routes begin with, for this client.

    Args:
        yard: The yard.
        connection: The request; its ``root_path`` is what a proxy, or an app around this one, has taken away.
    """
    root: str = connection.scope.get("root_path", "")
    return root.rstrip("/") + yard.prefix


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


def linked(view: TaskView, base: str) -> TaskView:
    """Return a task with links that lead to where the client sees the routes.

    Args:
        view: The task.
        base: What the paths begin with.
    """
    if not base or not view.artifacts:
        return view
    artifacts = [one.model_copy(update={"url": base + one.url}) for one in view.artifacts]
    return view.model_copy(update={"artifacts": artifacts})

"""How large the history is: what it holds, and the room that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select, text

from backyard.history.database import History
from backyard.history.tables import audit, counts, deliveries, error_groups, webhooks


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a history is.

    Args:
        place: Where it is, without a password.
        size: Bytes on disk; None where nobody can tell.
        tasks: Tasks that it knows.
        causes: Groups of failures.
        webhooks: The yard's webhooks.
        waiting: Messages to webhooks that wait to be sent.
        oldest: The first event of the audit trail that is kept, as a number; None where there is none.
    """

    place: str
    size: int | None
    tasks: int
    causes: int
    webhooks: int
    waiting: int
    oldest: int | None


def sizes_of(history: History) -> Sizes:
    """Return how large a history is; nothing is counted one by one but what is always few.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        waiting = select(func.count()).select_from(deliveries).where(deliveries.c.next_at.is_not(None))
        return Sizes(
            place=str(history),
            size=_size(history, connection),
            tasks=int(connection.execute(select(func.coalesce(func.sum(counts.c.number), 0))).scalar_one()),
            causes=connection.execute(select(func.count()).select_from(error_groups)).scalar_one(),
            webhooks=connection.execute(select(func.count()).select_from(webhooks)).scalar_one(),
            waiting=connection.execute(waiting).scalar_one(),
            oldest=connection.execute(select(func.min(audit.c.event))).scalar_one(),
        )


def _size(history: History, connection: Connection) -> int | None:
    if history.is_sqlite:
        path = str(history.url.database)
        files = (Path(path + ending) for ending in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.is_file())
    of_schema = text(
        "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = :schema AND c.relkind = 'r'"
    )
    found = connection.execute(of_schema, {"schema": history.schema}).scalar_one_or_none()
    return None if found is None else int(found)

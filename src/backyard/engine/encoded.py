"""Values as Celery encodes them for its results: read, and written where the ledger has only its own."""

from __future__ import annotations

from typing import Any

from celery.exceptions import TaskRevokedError

from backyard.core.models import Progress


def terminated(result: Any) -> bool:
    """Whether the process of a revoked task was killed, as Celery encodes that."""
    return isinstance(result, dict) and tuple(result.get("exc_message") or ()) == ("terminated",)


def revoked(reason: str) -> dict[str, Any]:
    """Return what Celery keeps of a task that was revoked."""
    return {"exc_type": TaskRevokedError.__name__, "exc_message": [reason], "exc_module": TaskRevokedError.__module__}


def progress_in(meta: Any) -> Progress | None:
    """Read the habit of Celery's users: ``update_state(state="PROGRESS", meta={"current": 3, "total": 10})``."""
    if not isinstance(meta, dict) or not isinstance(meta.get("current"), int | float):
        return None
    total = meta.get("total")
    message = meta.get("message") or meta.get("status")
    return Progress.of(
        meta["current"], total if isinstance(total, int | float) else None, str(message) if message else None
    )

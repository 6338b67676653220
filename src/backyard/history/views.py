"""Rows of the history as the API shows them: the same task looks the same, from the ledger and from here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, select

from backyard.core.models import Artifact, Cancel, CancelStage, Failure, Progress, TaskView
from backyard.core.secrets import masked
from backyard.core.states import State
from backyard.history.tables import artifacts

_ARTIFACT = TypeAdapter(Artifact)


def moment(milliseconds: int | None) -> datetime | None:
    """Return milliseconds since 1970 as a time in UTC."""
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def loaded(value: str | None) -> Any:
    """Return a column that holds JSON; None where it holds none, or something that is not JSON."""
    if not value:
        return None
    try:
        return json.loads(value)
    except ValueError:
        return None


def view_of(row: Mapping[Any, Any], saved: Sequence[Artifact] = ()) -> TaskView:
    """Return a task as the API shows it.

    Args:
        row: Its row.
        saved: Its artifacts, by name.
    """
    state = State(row["state"])
    progress = Progress.model_validate_json(row["progress"]) if row["progress"] else None
    percent = 100.0 if state is State.SUCCESS else progress.percent if progress else None
    failed = row["failure"] and state in (State.FAILURE, State.RETRY)
    return TaskView(
        task_id=row["task_id"],
        name=row["name"],
        state=state,
        progress=percent,
        progress_message=progress.message if progress else None,
        queue=row["queue"],
        priority=row["lane"] or "normal",
        attempt=row["attempt"],
        worker=row["worker"],
        input=masked(loaded(row["input"])),
        result=loaded(row["result"]),
        failure=Failure.model_validate_json(row["failure"]) if failed else None,
        reason=(loaded(row["reason"]) or {}).get("message") if state is State.RETRY else None,
        retries_left=row["retries_left"] if state is State.RETRY else None,
        artifacts=list(saved),
        tags=loaded(row["tags"]) or [],
        date_created=moment(row["created"]) or datetime.fromtimestamp(0, UTC),
        date_due=moment(row["due"]),
        date_started=moment(row["started"]),
        date_done=moment(row["finished"]),
        cancel_requested=bool(row["cancel"]),
        cancel=_cancel(row),
        rerun_of=row["rerun_of"],
        parent_id=row["parent_id"],
        root_id=row["root_id"],
        group_id=row["group_id"],
        schedule_id=row["schedule"],
    )


def views_of(connection: Connection, rows: Iterable[Mapping[Any, Any]]) -> list[TaskView]:
    """Return tasks as the API shows them, with their artifacts.

    Args:
        connection: From the history.
        rows: Their rows.
    """
    found = list(rows)
    wanted = select(artifacts).where(artifacts.c.number.in_([row["number"] for row in found]))
    saved: dict[int, list[Artifact]] = {}
    for one in connection.execute(wanted.order_by(artifacts.c.number, artifacts.c.name)).mappings():
        saved.setdefault(one["number"], []).append(_ARTIFACT.validate_json(one["data"]))
    return [view_of(row, saved.get(row["number"], ())) for row in found]


def _cancel(row: Mapping[Any, Any]) -> Cancel | None:
    requested, seen = moment(row["cancel"]), moment(row["cancel_seen"])
    if requested is None:
        return None
    stage = row["cancel_by"] or (CancelStage.SEEN if seen else CancelStage.REQUESTED)
    return Cancel(stage=CancelStage(stage), requested_at=requested, seen_at=seen, reason=row["cancel_reason"])

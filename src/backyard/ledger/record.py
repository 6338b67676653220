"""A task's record, as the ledger keeps it and as people see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from pydantic import TypeAdapter

from backyard.core.models import Artifact, Cancel, CancelStage, Failure, Lane, Progress, TaskView
from backyard.core.secrets import masked
from backyard.core.states import FINAL, State

ARTIFACT = "artifact:"
_ARTIFACT = TypeAdapter(Artifact)


@dataclass(frozen=True, slots=True)
class Record:
    """One hash of the ledger.

    Args:
        task_id: The task's id.
        fields: The hash as it is, by name.
    """

    task_id: str
    fields: Mapping[str, bytes]

    def text(self, name: str) -> str | None:
        """Return a field as text, or None where the record has none or an empty one."""
        value = self.fields.get(name)
        return value.decode() if value else None

    def number(self, name: str) -> int:
        """Return a field as a whole number; 0 where the record has none."""
        return int(self.fields.get(name) or 0)

    def moment(self, name: str) -> datetime | None:
        """Return a field that holds milliseconds since 1970 as a time in UTC."""
        value = self.fields.get(name)
        return datetime.fromtimestamp(float(value) / 1000, UTC) if value else None

    @property
    def state(self) -> State:
        """The task's state."""
        return State(self.fields["state"].decode())

    @property
    def final(self) -> bool:
        """Whether the state is a final one."""
        return self.state in FINAL

    @property
    def failure(self) -> Failure | None:
        """The failure of the task, or of its latest attempt."""
        value = self.fields.get("failure")
        return Failure.model_validate_json(value) if value else None

    @property
    def progress(self) -> Progress | None:
        """The latest progress report."""
        value = self.fields.get("progress")
        return Progress.model_validate_json(value) if value else None

    @property
    def artifacts(self) -> list[Artifact]:
        """What the task saved, by name."""
        names = sorted(name for name in self.fields if name.startswith(ARTIFACT))
        return [_ARTIFACT.validate_json(self.fields[name]) for name in names]

    @property
    def cancel(self) -> Cancel | None:
        """How far the task's cancel has come; None where nobody has asked for it."""
        requested, seen = self.moment("cancel"), self.moment("cancel_seen")
        if requested is None:
            return None
        stage = self.text("cancel_by") or (CancelStage.SEEN if seen else CancelStage.REQUESTED)
        reason = self.text("cancel_reason")
        return Cancel(stage=CancelStage(stage), requested_at=requested, seen_at=seen, reason=reason)

    def json(self, name: str) -> Any:
        """Return a field that holds JSON; None where it holds none, or something that is not JSON."""
        value = self.fields.get(name)
        if not value:
            return None
        try:
            return json.loads(value)
        except ValueError:  # another serializer of Celery's; AsyncResult reads it
            return None

    def view(self) -> TaskView:
        """Return the task as the API shows it."""
        progress = self.progress
        state = self.state
        percent = 100.0 if state is State.SUCCESS else progress.percent if progress else None
        failure = self.failure if state in (State.FAILURE, State.RETRY) else None
        return TaskView(
            task_id=self.task_id,
            name=self.text("name") or "",
            state=state,
            progress=percent,
            progress_message=progress.message if progress else None,
            queue=self.text("queue") or "",
            priority=cast("Lane", self.text("lane") or "normal"),
            attempt=self.number("attempt"),
            worker=self.text("worker"),
            input=masked(self.json("input")),
            result=self.json("result"),
            failure=failure,
            reason=(self.json("reason") or {}).get("message") if state is State.RETRY else None,
            retries_left=self.number("retries_left") if state is State.RETRY and self.text("retries_left") else None,
            artifacts=self.artifacts,
            tags=self.json("tags") or [],
            date_created=self.moment("created") or datetime.fromtimestamp(0, UTC),
            date_due=self.moment("due"),
            date_started=self.moment("started"),
            date_done=self.moment("finished"),
            cancel_requested=bool(self.fields.get("cancel")),
            cancel=self.cancel,
            rerun_of=self.text("rerun_of"),
            parent_id=self.text("parent_id"),
            root_id=self.text("root_id"),
            group_id=self.text("group_id"),
            schedule_id=self.text("schedule"),
        )


def read_record(task_id: str, fields: Mapping[bytes, bytes]) -> Record | None:
    """Make a record of a hash as the server returned it; None where there is none."""
    return Record(task_id, {name.decode(): value for name, value in fields.items()}) if fields else None

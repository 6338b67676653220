"""News as the ledger writes it, for tests of the history alone."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

from backyard.core.news import News


class Teller:
    """Tells of tasks, with a clock of its own.

    Args:
        start: Its first millisecond.
    """

    def __init__(self, start: int = 1_800_000_000_000) -> None:
        self.now = start
        self._numbers = itertools.count(1)

    def later(self, milliseconds: int) -> None:
        self.now += milliseconds

    def say(
        self, task_id: str, event: str, state: str, attempt: int, data: Any = None, *,
        fields: Mapping[str, str] | None = None, left_out: tuple[str, ...] = (),
    ) -> News:  # fmt: skip
        return News(
            f"{self.now}-{next(self._numbers)}", task_id, event, state, attempt, data, dict(fields or {}), left_out
        )

    def born(self, task_id: str, name: str = "f", **fields: Any) -> News:
        told = {"name": name, "queue": "default", "lane": "normal", "created": str(self.now), "input": "{}"}
        told |= {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
        return self.say(task_id, "state", "PENDING", 0, fields=told)

    def started(self, task_id: str, attempt: int = 1, worker: str = "w@h") -> News:
        return self.say(task_id, "state", "STARTED", attempt, {"worker": worker}, fields={"started": str(self.now)})

    def ended(self, task_id: str, state: str = "SUCCESS", attempt: int = 1, **fields: Any) -> News:
        told = {"finished": str(self.now)}
        told |= {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
        return self.say(task_id, "state", state, attempt, fields=told)

    def whole(self, task_id: str, name: str = "f", state: str = "SUCCESS", **fields: Any) -> list[News]:
        """Tell of a whole life: 10 ms of waiting, 100 ms of running."""
        told = [self.born(task_id, name, **fields)]
        self.later(10)
        told.append(self.started(task_id))
        self.later(100)
        failure = {"kind": "error", "type": "ValueError", "message": "no such customer", "fingerprint": "f00"}
        more: dict[str, Any] = {"failure": failure} if state == "FAILURE" else {"result": 1}
        told.append(self.ended(task_id, state, **more))
        return told

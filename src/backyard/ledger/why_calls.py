"""What can be asked of a task that is not running: what it waits for."""

from __future__ import annotations

from typing import Any

from backyard.core.why import Facts
from backyard.ledger.call import Call, CallBuilder

#: Entries and events that are looked at for one answer.
MOST = 500


class WhyCalls(CallBuilder):
    """Calls about what a task waits for."""

    def why(self, task_id: str) -> Call[Facts | None]:
        """Read at one moment what a task may be waiting for; None for an unknown one. Its workers are read apart."""
        return self._run("why", [task_id, MOST], lambda row: _facts(task_id, row))


def _facts(task_id: str, row: list[Any]) -> Facts | None:
    if not row:
        return None
    found = {name.decode(): value for name, value in zip(row[::2], row[1::2], strict=True)}
    texts = {name: _text(value) for name, value in found.items() if isinstance(value, bytes)}
    paused = {kind: texts[f"paused_{kind}"] for kind in ("queue", "definition") if f"paused_{kind}" in texts}
    return Facts(
        task_id=task_id,
        now=float(found["now"]),
        record=texts,
        place=texts.get("place", ""),
        lease=float(texts["lease"]) if "lease" in texts else None,
        ahead=int(found.get("ahead", 0)),
        at_least="at_least" in found,
        starts=int(found.get("starts", 0)),
        starts_since=float(found.get("starts_since", 0)),
        due_at=float(texts["due_at"]) if "due_at" in texts else None,
        paused=paused,
        holders=int(found.get("holders", 0)),
        holding=[_text(one) for one in found.get("holding", [])],
        parked_before=int(found["parked_before"]) if "parked_before" in found else None,
        grace=float(texts.get("grace", 0)),
    )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")

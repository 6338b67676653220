"""How long it took until the tasks of dead workers ran again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backyard.core.states import State
from backyard.ledger.record import Record
from faults.journal import Line
from faults.site import Death


def recoveries(
    deaths: Sequence[Death],
    outages: Sequence[tuple[float, float]],
    lines: Mapping[str, list[Line]],
    records: Mapping[str, Record],
) -> list[tuple[str, str, float]]:
    """Return task, dead worker and seconds for each task that was running when its worker died.

    Where the server was away in between, or every worker was dead, the time counts from the return of the first: nobody
    could have done anything before.

    Args:
        deaths: The workers' deaths.
        outages: When the server was away, or no worker was there.
        lines: The journal by task.
        records: The records by task.
    """
    found = []
    for task_id, own in lines.items():
        record = records.get(task_id)
        for death in deaths:
            running = _running(own, death)
            if running is None:
                continue
            later = [line.at for line in own if line.what == "start" and line.attempt > running.attempt]
            if later:
                found.append((task_id, death.worker, max(0.0, min(later) - _from(death.at, min(later), outages))))
            elif record is not None and record.state is State.SUCCESS:
                found.append((task_id, death.worker, float("inf")))
    return found


def _running(own: Sequence[Line], death: Death) -> Line | None:
    """Return the start that a death cut off."""
    ended = {line.attempt for line in own if line.what == "end"}
    for line in own:
        if line.what == "start" and line.pid in death.pids and line.at <= death.at + 0.5 and line.attempt not in ended:
            return line
    return None


def _from(at: float, until: float, outages: Sequence[tuple[float, float]]) -> float:
    return max([at, *(up for down, up in outages if down < until and up > at)])

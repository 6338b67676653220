"""Numbers for charts and tables: what happened in a time, to each definition, and why things failed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import from_json
from sqlalchemy import Table, select

from backyard.history.batch import COUNTED, RESOLUTIONS
from backyard.history.database import History
from backyard.history.histogram import percentile
from backyard.history.tables import audit, error_groups, event_text, event_time, rollups, yard_rollups
from backyard.history.views import loaded, moment

#: Points of a chart at most, about.
POINTS: Final = 200
#: The longest time, in seconds, that is answered by minutes, by hours; longer ones by days.
_FINE: Final = ((RESOLUTIONS[0], 2 * 3_600), (RESOLUTIONS[1], 8 * 86_400))
#: The same where there is one row a period: six hours are no seven bars.
_FINER: Final = ((RESOLUTIONS[0], 6 * 3_600), _FINE[1])
_SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(slots=True)
class Sum:
    """What happened in some time. Its histograms have their buckets as texts, as rows do: there are many of these."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    waits: dict[str, int] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row of the rollups."""
        self._add(row, *(from_json(row[name]) if row[name] != "{}" else {} for name in ("waits", "runs")))

    def merge(self, other: Sum) -> None:
        """Add another sum."""
        self._add(other.counts, other.waits, other.runs)

    def _add(self, counts: Mapping[str, int], waits: Mapping[str, int], runs: Mapping[str, int]) -> None:
        for name in COUNTED:
            self.counts[name] += counts[name]
        for histogram, more in ((self.waits, waits), (self.runs, runs)):
            for bucket, number in more.items():
                histogram[bucket] = histogram.get(bucket, 0) + number

    def shown(self) -> dict[str, Any]:
        """Return the sum for people: counts, share of failures, and seconds within which most waited and ran."""
        ended = self.counts["succeeded"] + self.counts["failed"]
        return {
            **self.counts,
            "failure_share": round(self.counts["failed"] / ended, 4) if ended else None,
            "wait": _percentiles(self.waits),
            "run": _percentiles(self.runs),
        }


def _percentiles(histogram: Mapping[str, int]) -> dict[str, float | None]:
    buckets = {int(bucket): number for bucket, number in histogram.items()}
    found = {name: percentile(buckets, share) for name, share in _SHARES.items()}
    return {name: None if value is None else round(value / 1000, 4) for name, value in found.items()}


def resolution_for(seconds: float, *, fine: bool = False) -> int:
    """Return the seconds of the periods by which a time is answered.

    Args:
        seconds: How long it is.
        fine: Whether of the yard as a whole or of one definition, which takes one row a period.
    """
    longest = _FINER if fine else _FINE
    return next((resolution for resolution, most in longest if seconds <= most), RESOLUTIONS[-1])


def series_of(history: History, since: int, until: int, names: Sequence[str] = ()) -> tuple[int, list[dict[str, Any]]]:
    """Return what happened in a time, point by point; also the seconds of a point.

    Args:
        history: The history.
        since: Its beginning, in milliseconds since 1970.
        until: Its end.
        names: Of these definitions; none is all.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    # By the same periods as the sums of definitions that are shown beside it.
    _, step, points = total_and_series(history, since, until, names, fine=len(names) == 1)
    return step, points


def total_and_series(
    history: History, since: int, until: int, names: Sequence[str] = (), most: int = POINTS, *, fine: bool = True
) -> tuple[dict[str, Any], int, list[dict[str, Any]]]:
    """Return what happened in a time as :func:`series_of` does, and the sum of its points before that.

    Args:
        history: The history.
        since: Its beginning, in milliseconds since 1970.
        until: Its end.
        names: Of these definitions; none is all.
        most: Points at most, about.
        fine: See :func:`resolution_for`.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    resolution = resolution_for((until - since) / 1000, fine=fine)
    step = resolution * max(1, -(-(until - since) // (resolution * 1000 * most))) * 1000
    first = since // step * step
    points = {at: Sum() for at in range(first, until, step)}
    for row in _rows(history, rollups if names else yard_rollups, resolution, first, until, names):
        points[row["start"] // step * step].add(row)
    whole = _merged(points.values())
    return _rated(whole, since, until), step // 1000, [{"at": moment(at), **one.shown()} for at, one in points.items()]


def definitions_of(
    history: History, since: int, until: int, names: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return what happened in a time: to all tasks, and to those of each definition; arguments as for series_of.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    resolution = resolution_for((until - since) / 1000, fine=len(names) == 1)
    sums = defaultdict[str, Sum](Sum)
    for row in _rows(history, rollups, resolution, since // (resolution * 1000) * resolution * 1000, until, names):
        sums[row["name"]].add(row)
    whole = _merged(sums.values())
    return _rated(whole, since, until), {name: _rated(sums[name], since, until) for name in sorted(sums)}


def _merged(sums: Iterable[Sum]) -> Sum:
    whole = Sum()
    for one in sums:
        whole.merge(one)
    return whole


def _rated(one: Sum, since: int, until: int) -> dict[str, Any]:
    ended = sum(one.counts[name] for name in ("succeeded", "failed", "revoked"))
    return {**one.shown(), "ended_per_second": round(ended / max((until - since) / 1000, 1.0), 4)}


def _rows(history: History, table: Table, resolution: int, since: int, until: int, names: Sequence[str]) -> list[Any]:
    wanted = select(table).where(table.c.resolution == resolution, table.c.start >= since, table.c.start < until)
    if names:
        wanted = wanted.where(table.c.name.in_(names))
    with history.reading() as connection:
        return list(connection.execute(wanted).mappings())


def errors_of(
    history: History, *, name: str | None = None, fingerprint: str | None = None, since: int = 0, limit: int = 50
) -> list[dict[str, Any]]:
    """Return groups of failures of the same cause, those that came last first.

    Args:
        history: The history.
        name: Of that definition.
        fingerprint: That group alone.
        since: Those that came at that millisecond or later.
        limit: Groups at most.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    wanted = select(error_groups).where(error_groups.c.last >= since)
    if name is not None:
        wanted = wanted.where(error_groups.c.name == name)
    if fingerprint is not None:
        wanted = wanted.where(error_groups.c.fingerprint == fingerprint)
    order = (error_groups.c.last.desc(), error_groups.c.fingerprint)
    with history.reading() as connection:
        return [group_of(row) for row in connection.execute(wanted.order_by(*order).limit(limit)).mappings()]


def group_of(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a group of failures as people see it.

    Args:
        row: Its row.
    """
    return {
        "fingerprint": row["fingerprint"], "name": row["name"], "kind": row["kind"], "type": row["type"],
        "message": row["message"], "first_seen": moment(row["first"]), "last_seen": moment(row["last"]),
        "count": row["count"], "sample_task_id": row["sample"],
    }  # fmt: skip


def audit_of(
    history: History, *, kind: str | None = None, subject: str | None = None, actor: str | None = None,
    verb: str | None = None, before: int | None = None, limit: int = 50,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return what operators did, newest first.

    Args:
        history: The history.
        kind: Done to things of that kind.
        subject: Done to that one.
        actor: Done by that one.
        verb: What was done.
        before: Earlier than that event, see :func:`~backyard.history.tables.event_number`.
        limit: Lines at most.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    wanted = select(audit)
    given = {"kind": kind, "subject": subject, "actor": actor, "verb": verb}
    for name, value in given.items():
        if value is not None:
            wanted = wanted.where(audit.c[name] == value)
    if before is not None:
        wanted = wanted.where(audit.c.event < before)
    with history.reading() as connection:
        return [
            {
                "event_id": event_text(row["event"]), "at": moment(event_time(row["event"])), "actor": row["actor"],
                "verb": row["verb"], "kind": row["kind"], "subject": row["subject"], "details": loaded(row["details"]),
            }
            for row in connection.execute(wanted.order_by(audit.c.event.desc()).limit(limit)).mappings()
        ]  # fmt: skip

"""Groups of failures over time: how many came when, and which groups rise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Connection, Select, Subquery, case, func, select

from backyard.core.models import FailureKind, TaskView
from backyard.core.states import State
from backyard.history.database import History
from backyard.history.statistics import group_of, resolution_for
from backyard.history.tables import error_groups, error_rollups, tasks
from backyard.history.views import moment, views_of

#: Which groups come first: those that came last, those that came most often in the time, or those that came more often
#: in its second half than in its first.
Order = Literal["last", "count", "rising"]


def causes_in(
    history: History, since: int, until: int, *, order: Order = "last", name: str | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Return groups of failures of a time, with ``recent``, how many came in it, and ``points``, those of each period.

    Args:
        history: The history.
        since: Its beginning, in milliseconds since 1970.
        until: Its end.
        order: Which come first.
        name: Of that definition.
        limit: Groups at most.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        rows = connection.execute(_chosen(since, until, order, name).limit(limit)).mappings().all()
        points = _points(connection, [row["fingerprint"] for row in rows], since, until)
    return [
        {**group_of(row), "recent": sum(points[row["fingerprint"]]), "points": points[row["fingerprint"]]}
        for row in rows
    ]  # fmt: skip


def trend_of(history: History, fingerprint: str, since: int, until: int) -> tuple[int, list[dict[str, Any]]]:
    """Return how many failures of a group came in a time, point by point; also the seconds of a point.

    Args:
        history: The history.
        fingerprint: The group.
        since: Its beginning, in milliseconds since 1970.
        until: Its end.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        counted = _points(connection, [fingerprint], since, until)[fingerprint]
    step = _step(since, until)
    first = since // step * step
    return step // 1000, [{"at": moment(first + at * step), "count": number} for at, number in enumerate(counted)]


def causes_named(history: History, most: int = 500) -> list[str]:
    """Return the definitions that have failed, by name.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        names = connection.execute(select(error_groups.c.name).distinct().order_by(error_groups.c.name).limit(most))
        return [str(name) for name in names.scalars()]


def quarantined_in(history: History, limit: int) -> list[TaskView]:
    """Return tasks that were quarantined, since the processes that ran them died; the newest first.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    groups = select(error_groups.c.fingerprint).where(error_groups.c.kind == str(FailureKind.QUARANTINED))
    newest = groups.order_by(error_groups.c.last.desc()).limit(limit)
    with history.reading() as connection:
        fingerprints = connection.execute(newest).scalars().all()
        wanted = select(tasks).where(tasks.c.fingerprint.in_(fingerprints), tasks.c.state == str(State.FAILURE))
        rows = (
            connection.execute(wanted.order_by(tasks.c.number.desc()).limit(limit)).mappings() if fingerprints else ()
        )
        return views_of(connection, rows)


def _chosen(since: int, until: int, order: Order, name: str | None) -> Select[Any]:
    wanted = select(error_groups)
    if order != "last":
        sums = _sums(since, until)
        wanted = wanted.join(sums, sums.c.fingerprint == error_groups.c.fingerprint)
        wanted = wanted.order_by((sums.c.total if order == "count" else sums.c.rise).desc())
    if name is not None:
        wanted = wanted.where(error_groups.c.name == name)
    latest = wanted.where(error_groups.c.last >= since)
    return latest.order_by(error_groups.c.last.desc(), error_groups.c.fingerprint)


def _sums(since: int, until: int) -> Subquery:
    middle = (since + until) // 2
    count = error_rollups.c.count
    rise = func.sum(case((error_rollups.c.start >= middle, count), else_=-count))
    return (
        select(error_rollups.c.fingerprint, func.sum(count).label("total"), rise.label("rise"))
        .where(*_periods(since, until))
        .group_by(error_rollups.c.fingerprint)
        .subquery()
    )


def _points(connection: Connection, fingerprints: Sequence[str], since: int, until: int) -> dict[str, list[int]]:
    step = _step(since, until)
    first = since // step * step
    found = {fingerprint: [0] * -(-(until - first) // step) for fingerprint in fingerprints}
    wanted = select(error_rollups).where(*_periods(since, until), error_rollups.c.fingerprint.in_(fingerprints))
    for row in connection.execute(wanted).mappings() if fingerprints else ():
        found[row["fingerprint"]][(row["start"] - first) // step] += row["count"]
    return found


def _periods(since: int, until: int) -> tuple[Any, ...]:
    step = _step(since, until)
    start = error_rollups.c.start
    return error_rollups.c.resolution == step // 1000, start >= since // step * step, start < until


def _step(since: int, until: int) -> int:
    return resolution_for((until - since) / 1000) * 1000

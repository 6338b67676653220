"""What waited in each queue over time: samples, and the most that they showed in longer periods."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import delete, func, select

from backyard.core.queue import Queue
from backyard.history.database import History, insert_into
from backyard.history.statistics import POINTS
from backyard.history.tables import queue_samples
from backyard.history.views import moment

#: Seconds of the periods, each with the seconds that it is kept: longer times are answered by longer periods, so that
#: a queue never has more than some four thousand rows.
KEPT: Final = {10: 7_200, 60: 43_200, 600: 2 * 86_400, 3_600: 100 * 86_400}
#: Seconds between two samples.
EVERY: Final = min(KEPT)
#: The longest time, in seconds, that is answered by each of the short periods.
_ANSWERS: Final = {10: 3_600, 60: 21_600, 600: 86_400}
#: Seconds, and their period, of the curves that stand beside the names of queues.
LATELY, _LATELY_BY = 3_600, 60
_MEASURED: Final = ("depth", "running", "parked", "oldest")


def record_queues(history: History, at: int, queues: Sequence[Queue]) -> None:
    """Keep what queues held at a time. Of several samples of a period, the most counts, whoever else takes them.

    Args:
        history: The history.
        at: Milliseconds since 1970.
        queues: The queues.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    if not queues:
        return
    with history.writing() as connection:
        statement = insert_into(connection, queue_samples)
        larger = func.max if history.is_sqlite else func.greatest
        most = {name: larger(queue_samples.c[name], statement.excluded[name]) for name in _MEASURED}
        keys = [column.name for column in queue_samples.primary_key]
        connection.execute(
            statement.on_conflict_do_update(index_elements=keys, set_=most),
            [_row(resolution, at, one) for resolution in KEPT for one in queues],
        )


def _row(resolution: int, at: int, queue: Queue) -> dict[str, Any]:
    return {
        "resolution": resolution, "start": at - at % (resolution * 1000), "queue": queue.name, "depth": queue.depth,
        "running": queue.running, "parked": queue.parked, "oldest": int((queue.oldest or 0) * 1000),
    }  # fmt: skip


def queue_series(history: History, queue: str, since: int, until: int) -> tuple[int, list[dict[str, Any]]]:
    """Return what a queue held in a time, point by point; also the seconds of a point.

    Each point is the most of its period; where nobody looked, its values are None.

    Args:
        history: The history.
        queue: The queue's name.
        since: Milliseconds since 1970.
        until: The end.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    seconds = (until - since) / 1000
    resolution = next((one for one, most in _ANSWERS.items() if seconds <= most), max(KEPT))
    step = resolution * max(1, -(-(until - since) // (resolution * 1000 * POINTS))) * 1000
    first = since // step * step
    points: dict[int, dict[str, Any]] = {at: dict.fromkeys(_MEASURED) for at in range(first, until, step)}
    for row in _rows(history, resolution, first, until, queue):
        point = points[row["start"] // step * step]
        for name in _MEASURED:
            point[name] = max(row[name], point[name] or 0)
    return step // 1000, [{"at": moment(at), **_shown(point)} for at, point in points.items()]


def _shown(point: Mapping[str, Any]) -> dict[str, Any]:
    waited = point["oldest"]
    return {**point, "oldest": None if waited is None else waited / 1000}


def depths_lately(history: History, until: int) -> dict[str, list[int | None]]:
    """Return the depth of each queue in the last hour, minute by minute; None where nobody looked.

    Args:
        history: The history.
        until: The end, in milliseconds since 1970.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    step, number = _LATELY_BY * 1000, LATELY // _LATELY_BY
    first = until // step * step - (number - 1) * step
    found: dict[str, list[int | None]] = defaultdict(lambda: [None] * number)
    for row in _rows(history, _LATELY_BY, first, until):
        found[row["queue"]][(row["start"] - first) // step] = row["depth"]
    return dict(found)


def _rows(history: History, resolution: int, since: int, until: int, queue: str | None = None) -> list[Any]:
    place = (queue_samples.c.resolution == resolution, queue_samples.c.start >= since, queue_samples.c.start < until)
    wanted = select(queue_samples).where(*place)
    if queue is not None:
        wanted = wanted.where(queue_samples.c.queue == queue)
    with history.reading() as connection:
        return list(connection.execute(wanted).mappings())


def drop_samples(history: History, now: int) -> int:
    """Drop samples that have been kept long enough; returns how many.

    Args:
        history: The history.
        now: Milliseconds since 1970.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.writing() as connection:
        old = [
            delete(queue_samples).where(
                queue_samples.c.resolution == resolution, queue_samples.c.start < now - kept * 1000
            )
            for resolution, kept in KEPT.items()
        ]
        return sum(connection.execute(one).rowcount for one in old)

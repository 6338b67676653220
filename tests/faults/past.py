"""What must hold of the history after faults: it is what ledger and news say, and nothing counts twice."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select

from backyard.core.news import News
from backyard.core.states import State
from backyard.history.batch import COUNTED
from backyard.history.database import History
from backyard.history.tables import counts, error_groups, event_text, events, rollups, tasks, yard_rollups
from backyard.ledger.ledger import Ledger
from support.keepers import await_recorded, different

#: Seconds that the history may take to have everything.
PATIENCE = 60.0
#: News by task, in order.
Told = Mapping[str, Sequence[News]]


def whole_stream(ledger: Ledger) -> bool:
    """Whether the stream still has every event that was ever put onto it."""
    client: Any = ledger.client
    about = client.xinfo_stream(ledger.keys.events)
    return bool(about["length"] == about["entries-added"])


def remembered(history: History) -> dict[str, list[News]]:
    """Return the changes of state that the history holds, by task."""
    found: dict[str, list[News]] = defaultdict(list)
    columns = (events.c.event, tasks.c.task_id, events.c.state, events.c.attempt, events.c.data)
    wanted = select(*columns).join(tasks, tasks.c.number == events.c.number).where(events.c.kind == "state")
    with history.reading() as connection:
        for event, task_id, state, attempt, data in connection.execute(wanted.order_by(events.c.event)):
            found[task_id].append(News(event_text(event), task_id, "state", state, attempt, json.loads(data)))
    return found


def flaws(ledger: Ledger, history: History, told: Told) -> Iterator[str]:
    """Wait until the history has everything, and say what in it is not as it was.

    Args:
        ledger: The yard's ledger.
        history: Its history.
        told: The changes of state that were told.
    """
    try:
        await_recorded(ledger, PATIENCE)
    except AssertionError as error:
        yield str(error)
        return
    yield from different(ledger, history)
    yield from _of_rows(ledger, history)
    yield from _of_news(history, told)
    yield from _of_sums(history, told)


def _of_rows(ledger: Ledger, history: History) -> Iterator[str]:
    """Each task has one row, and the counts are the rows'."""
    client: Any = ledger.client
    with history.reading() as connection:
        rows = list(connection.execute(select(tasks.c.task_id, tasks.c.name, tasks.c.queue, tasks.c.state)))
        kept = {tuple(row[:3]): row[3] for row in connection.execute(select(counts))}
    ids = Counter(row.task_id for row in rows)
    known = {task_id.decode() for task_id in client.zrange(f"{ledger.keys.prefix}tasks", 0, -1)}
    yield from (f"{task_id} has {number} rows" for task_id, number in ids.items() if number > 1)
    yield from (f"{task_id} is no task of the ledger" for task_id in ids if task_id not in known)
    real = Counter((row.name, row.queue, row.state) for row in rows)
    yield from (
        f"{kept.get(key, 0)} tasks are counted as {key}, there are {real[key]}"
        for key in {*kept, *real}
        if kept.get(key, 0) != real[key]
    )


def _of_news(history: History, told: Told) -> Iterator[str]:
    """Each change of state is kept once."""
    kept = remembered(history)
    for task_id in {*kept, *told}:
        ours = [(one.event_id, one.state, one.attempt, one.data) for one in kept.get(task_id, ())]
        theirs = [(one.event_id, one.state, one.attempt, one.data) for one in told.get(task_id, ())]
        if ours != theirs:
            yield f"the history has of {task_id}: {ours}, told were {theirs}"


def _of_sums(history: History, told: Told) -> Iterator[str]:
    """What is added up was added once: tasks of each minute, hour and day, and failures of each cause."""
    news = Counter(one.state for own in told.values() for one in own)
    real = {
        "submitted": len(told), "started": news[State.STARTED], "succeeded": news[State.SUCCESS],
        "failed": news[State.FAILURE], "revoked": news[State.REVOKED], "retried": news[State.RETRY],
    }  # fmt: skip
    with history.reading() as connection:
        for table in (rollups, yard_rollups):
            sums = [func.sum(table.c[name]).label(name) for name in COUNTED]
            wanted = select(table.c.resolution, *sums).group_by(table.c.resolution)
            for row in connection.execute(wanted).mappings():
                wrong = {name: row[name] for name, number in real.items() if row[name] != number}
                if wrong:
                    yield f"the sums of {row['resolution']} s in {table.name} are {wrong}, told were {real}"
        failures = connection.execute(select(func.sum(error_groups.c.count))).scalar() or 0
    if failures != news[State.FAILURE] + news[State.RETRY]:
        yield f"{failures} failures are counted, {news[State.FAILURE]} and {news[State.RETRY]} to be retried were told"

"""Every table of the history. Times are milliseconds since 1970 by the ledger's clock; JSON is kept as text.

Tasks are numbered in the order in which they were accepted, so that a number is also a place in time: lists go by it,
and no page is ever counted through. An event's number is its id on the stream as one number, see :func:`event_number`.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, SmallInteger, String, Table, Text

from backyard.core.news import event_order

#: In SQLite only a column that is called INTEGER can be the row's own number, which costs no index.
Number: Final = BigInteger().with_variant(Integer, "sqlite")
#: A stream gives at most so many ids in one millisecond.
IN_A_MILLISECOND = 1 << 20

metadata = MetaData()

#: One row: the last event that is recorded, and the number of the next task. Whoever records moves it in the same
#: transaction, from where it was: so each event counts once, whoever else records or dies.
position = Table(
    "position",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("event", BigInteger, nullable=False),
    Column("next_number", BigInteger, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("task_id", String(128), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("state", String(16), nullable=False),
    Column("queue", String(255), nullable=False),
    Column("lane", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", String(255)),
    Column("created", BigInteger, nullable=False),
    #: Since when it could be taken; waits are counted from there.
    Column("ready", BigInteger),
    Column("due", BigInteger),
    Column("expires", BigInteger),
    Column("started", BigInteger),
    Column("finished", BigInteger),
    Column("progress", Text),
    Column("input", Text),
    Column("result", Text),
    Column("failure", Text),
    Column("fingerprint", String(255)),
    Column("reason", Text),
    Column("retries_left", Integer),
    Column("tags", Text),
    Column("cancel", BigInteger),
    Column("cancel_seen", BigInteger),
    Column("cancel_by", String(16)),
    Column("cancel_reason", Text),
    Column("rerun_of", String(128)),
    Column("parent_id", String(128)),
    Column("root_id", String(128)),
    Column("group_id", String(128)),
    Column("schedule", String(128)),
    Column("operation", String(128)),
    Column("webhook", Text),
)
#: What a list may be filtered by; each of them goes on by number within itself.
Index("tasks_state", tasks.c.state, tasks.c.number)
#: Has what a definition's tasks are filtered by most often, so that the tasks need not be read for it.
Index(
    "tasks_name_state", tasks.c.name, tasks.c.state, tasks.c.number, tasks.c.worker, tasks.c.queue, tasks.c.fingerprint
)
Index("tasks_name", tasks.c.name, tasks.c.number)
Index("tasks_queue", tasks.c.queue, tasks.c.number)
Index("tasks_worker", tasks.c.worker, tasks.c.number)
Index("tasks_created", tasks.c.created)
Index("tasks_finished", tasks.c.state, tasks.c.finished)
for _column in ("fingerprint", "rerun_of", "parent_id", "root_id", "group_id", "schedule", "operation"):
    _known = tasks.c[_column].is_not(None)
    Index(f"tasks_{_column}", tasks.c[_column], tasks.c.number, sqlite_where=_known, postgresql_where=_known)

tags = Table(
    "tags",
    metadata,
    Column("tag", String(100), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
Index("tags_number", tags.c.number)

attempts = Table(
    "attempts",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("worker", String(255)),
    Column("ready", BigInteger),
    Column("started", BigInteger),
    Column("ended", BigInteger),
    #: A final state, RETRY, or why it was cut off: ``worker_lost``, ``crashed``, ``shutdown`` ...
    Column("outcome", String(32)),
    Column("failure", Text),
    sqlite_with_rowid=False,
)

#: The news of tasks, log lines among them; progress reports are not kept one by one.
events = Table(
    "events",
    metadata,
    Column("event", Number, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("data", Text, nullable=False),
)
Index("events_number", events.c.number, events.c.event)

artifacts = Table(
    "artifacts",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(255), primary_key=True),
    Column("data", Text, nullable=False),
    sqlite_with_rowid=False,
)

#: How many tasks there are of each sort, kept with each change: counting a million rows takes too long.
counts = Table(
    "counts",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("queue", String(255), primary_key=True),
    Column("state", String(16), primary_key=True),
    Column("number", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: Failures of the same cause, by fingerprint; each failed attempt counts.
error_groups = Table(
    "error_groups",
    metadata,
    Column("fingerprint", String(255), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("type", String(255), nullable=False),
    Column("message", Text, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("sample", String(128), nullable=False),
)
Index("error_groups_last", error_groups.c.last)

#: How many failures of each group came in each minute, hour and day.
error_rollups = Table(
    "error_rollups",
    metadata,
    Column("resolution", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("fingerprint", String(255), primary_key=True),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)
Index(
    "error_rollups_fingerprint",
    error_rollups.c.fingerprint,
    error_rollups.c.resolution,
    error_rollups.c.start,
    error_rollups.c.count,
)


def _happened() -> tuple[Column[Any], ...]:
    """Columns of what happened in a period: counts, and ``waits`` and ``runs``, which are histograms.

    These are JSON objects of counts by bucket, see :mod:`backyard.history.histogram`.
    """
    counted = ("submitted", "started", "succeeded", "failed", "revoked", "retried", "lost")
    return (
        *(Column(name, Integer, nullable=False) for name in counted),
        Column("waits", Text, nullable=False),
        Column("runs", Text, nullable=False),
    )


#: What happened in each minute, hour and day to the tasks of each definition.
rollups = Table(
    "rollups",
    metadata,
    Column("resolution", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(255), primary_key=True),
    *_happened(),
    sqlite_with_rowid=False,
)

#: The same of all tasks together: a yard of many definitions would have too much to add up for each look.
yard_rollups = Table(
    "yard_rollups",
    metadata,
    Column("resolution", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    *_happened(),
    sqlite_with_rowid=False,
)

#: What queues held: a sample every ten seconds, and the most that samples showed in each longer period.
queue_samples = Table(
    "queue_samples",
    metadata,
    Column("resolution", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("queue", String(255), primary_key=True),
    Column("depth", Integer, nullable=False),
    Column("running", Integer, nullable=False),
    Column("parked", Integer, nullable=False),
    #: Milliseconds that the first of its ready tasks had been there; 0 where there was none.
    Column("oldest", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

audit = Table(
    "audit",
    metadata,
    Column("event", Number, primary_key=True, autoincrement=False),
    Column("actor", String(255), nullable=False),
    Column("verb", String(64), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("details", Text, nullable=False),
)
Index("audit_subject", audit.c.kind, audit.c.subject, audit.c.event)
Index("audit_actor", audit.c.actor, audit.c.event)
Index("audit_verb", audit.c.verb, audit.c.event)

#: A verb on all tasks that match a filter, done in the background by the keeper.
operations = Table(
    "operations",
    metadata,
    Column("operation_id", String(128), primary_key=True),
    Column("created", BigInteger, nullable=False),
    Column("verb", String(16), nullable=False),
    #: ``waiting``, ``running``, ``stopping``; at the end ``done``, ``stopped`` or ``failed``.
    Column("state", String(16), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("filter", Text, nullable=False),
    Column("options", Text, nullable=False),
    #: The number of the newest task that belongs to it, and of the last one that was dealt with.
    Column("newest", BigInteger, nullable=False),
    Column("place", BigInteger),
    Column("total", BigInteger),
    Column("done", BigInteger, nullable=False),
    Column("report", Text, nullable=False),
    #: When it goes on; empty is at once. That is how it keeps to a rate, and waits for its canary.
    Column("next_at", BigInteger),
    Column("started", BigInteger),
    Column("finished", BigInteger),
)
Index("operations_created", operations.c.created)

webhooks = Table(
    "webhooks",
    metadata,
    Column("webhook_id", String(128), primary_key=True),
    Column("created", BigInteger, nullable=False),
    Column("url", Text, nullable=False),
    #: Sealed or plain key of its signatures.
    Column("secret", Text, nullable=False),
    #: Definitions and states that it is told of, as JSON lists; empty is all.
    Column("names", Text, nullable=False),
    Column("states", Text, nullable=False),
    Column("enabled", Integer, nullable=False),
)

#: A message to a webhook, made in the transaction that records what it tells of, and kept for the log.
deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", String(128), primary_key=True),
    Column("event", BigInteger, nullable=False),
    Column("task_id", String(128), nullable=False),
    Column("webhook_id", String(128)),
    Column("url", Text, nullable=False),
    Column("body", Text, nullable=False),
    #: ``waiting``, ``delivered`` or ``given_up``.
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("next_at", BigInteger),
    Column("status", Integer),
    Column("error", Text),
    Column("seconds", Float),
    Column("finished", BigInteger),
)
_waiting = deliveries.c.next_at.is_not(None)
Index("deliveries_next", deliveries.c.next_at, sqlite_where=_waiting, postgresql_where=_waiting)
Index("deliveries_webhook", deliveries.c.webhook_id, deliveries.c.created)
Index("deliveries_task", deliveries.c.task_id)
Index("deliveries_created", deliveries.c.created)


def event_number(event_id: str) -> int:
    """Return an event's id as one number that sorts as ids do."""
    return order_number(event_order(event_id))


def order_number(order: tuple[int, int]) -> int:
    """Return an event's order as that number."""
    return order[0] * IN_A_MILLISECOND + order[1]


def event_text(number: int) -> str:
    """Return the id of an event that is known by its number."""
    milliseconds, rest = divmod(number, IN_A_MILLISECOND)
    return f"{milliseconds}-{rest}"


def event_time(number: int) -> int:
    """Return the millisecond of an event that is known by its number."""
    return number // IN_A_MILLISECOND

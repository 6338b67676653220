"""Messages to webhooks: made with what they tell of, in one transaction, and kept for the log."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Table, insert, select, tuple_, update

from backyard.core.errors import UnknownDeliveryError
from backyard.core.models import TaskView
from backyard.core.webhooks import DeliveryState, DeliveryView
from backyard.history.database import History, insert_into
from backyard.history.tables import deliveries, event_time, webhooks
from backyard.history.views import moment, views_of

Row = Mapping[Any, Any]

#: Bytes that a message may have; what a longer one tells of is left to be asked for.
LONGEST_BODY = 262_144
#: Tasks that are read for messages at once.
TOGETHER = 500
_LONG: Final = ("input", "result")
#: What the log shows of a message; its body may be long.
_SHOWN: Final = tuple(column for column in deliveries.columns if column.name != "body")


@dataclass(frozen=True, slots=True)
class Due:
    """A message to be sent now.

    Args:
        delivery_id: Its id.
        url: Where to.
        body: The message.
        attempts: Attempts before this one.
        webhook_id: The yard's webhook; None where definition or submit name the URL.
        secret: That webhook's key, as it is kept; None where it has none of its own.
        enabled: Whether that webhook is there, and wants messages.
        claimed: Until when it is ours, in milliseconds since 1970; says whether it still is.
    """

    delivery_id: str
    url: str
    body: str
    attempts: int
    webhook_id: str | None
    secret: str | None
    enabled: bool
    claimed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt.

    Args:
        state: ``delivered``, ``given_up``, or ``waiting`` for another one.
        status: The answer's status, where there was an answer.
        error: Why it failed.
        seconds: How long it took.
        at: When it ended, in milliseconds since 1970.
        next_at: When to send the message again.
        gone: Whether the receiver wants no messages any more.
        attempted: Whether anything was sent, or tried to be.
    """

    state: DeliveryState
    status: int | None
    error: str | None
    seconds: float | None
    at: int
    next_at: int | None = None
    gone: bool = False
    attempted: bool = True


# -- made ---------------------------------------------------------------------------------------------------------


def enqueue(connection: Connection, finals: Sequence[tuple[int, Row]]) -> None:
    """Make the messages of a batch's final states; an outbox of :class:`~backyard.history.recorder.Recorder`.

    Args:
        connection: The transaction that records the states.
        finals: The numbers of their events, and the tasks' rows.
    """
    wanted = _recipients(connection, finals)
    rows: list[dict[str, Any]] = []
    for at in range(0, len(wanted), TOGETHER):
        some = wanted[at : at + TOGETHER]
        views = views_of(connection, [row for _, row, _ in some])
        for (event, row, targets), view in zip(some, views, strict=True):
            body = _body(f"task.{row['state'].lower()}", event_time(event), view)
            rows += [_new(event, row["task_id"], webhook_id, url, body) for webhook_id, url in targets]
    _insert(connection, deliveries, rows)


def _recipients(
    connection: Connection, finals: Sequence[tuple[int, Row]]
) -> list[tuple[int, Row, list[tuple[str | None, str]]]]:
    """Return who hears of which states: webhooks of the yard, and the URL that the task itself names."""
    hooks = [
        (row["webhook_id"], row["url"], json.loads(row["names"]), json.loads(row["states"]))
        for row in connection.execute(select(webhooks).where(webhooks.c.enabled == 1)).mappings()
    ]
    found = []
    for event, row in finals:
        targets: list[tuple[str | None, str]] = [
            (webhook_id, url)
            for webhook_id, url, names, states in hooks
            if (not names or row["name"] in names) and (not states or row["state"] in states)
        ]
        if row["webhook"]:
            targets.append((None, row["webhook"]))
        if targets:
            found.append((event, row, targets))
    return found


def _new(event: int, task_id: str, webhook_id: str | None, url: str, body: str) -> dict[str, Any]:
    """Return a message's row; its id is the same whoever makes it, and however often."""
    digest = hashlib.sha256((webhook_id or url).encode()).hexdigest()[:16]
    return _row(f"msg_{event}_{digest}", (event, task_id), (webhook_id, url), body, event_time(event))


def _row(delivery_id: str, of: tuple[int, str], to: tuple[str | None, str], body: str, at: int) -> dict[str, Any]:
    event, task_id, webhook_id, url = *of, *to
    return {
        "delivery_id": delivery_id, "event": event, "task_id": task_id, "webhook_id": webhook_id, "url": url,
        "body": body, "state": "waiting", "attempts": 0, "created": at, "next_at": at,
    }  # fmt: skip


def _body(kind: str, at: int, view: TaskView) -> str:
    """Return a message: what happened, when, and the task as the API shows it."""
    message: dict[str, Any] = {"type": kind, "timestamp": _iso(at), "data": view.model_dump(mode="json")}
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode("utf-8", "replace")) <= LONGEST_BODY:
        return text
    message["data"] |= dict.fromkeys(_LONG)
    message["left_out"] = list(_LONG)
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert the rows that are not there yet."""
    if rows:
        connection.execute(insert_into(connection, table).on_conflict_do_nothing(), rows)


def enqueue_test(history: History, webhook_id: str, url: str, at: int) -> DeliveryView:
    """Make a message that tells of nothing, for its receiver to be tried.

    Args:
        history: The history.
        webhook_id: The yard's webhook.
        url: Where it goes.
        at: Now, in milliseconds since 1970.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    body = json.dumps({"type": "ping", "timestamp": _iso(at), "data": {"webhook_id": webhook_id}})
    row = _row(f"msg_{uuid.uuid4().hex}", (0, ""), (webhook_id, url), body, at)
    with history.writing() as connection:
        connection.execute(insert(deliveries), [row])
    return delivery_of(history, row["delivery_id"])


# -- sent ---------------------------------------------------------------------------------------------------------


def claim(history: History, now: int, until: int, limit: int, busy: Iterable[str] = ()) -> list[Due]:
    """Take messages that are to be sent now; nobody else takes them for a while.

    Args:
        history: The history.
        now: Milliseconds since 1970.
        until: When others may take them, if nothing came of it.
        limit: Messages at most.
        busy: URLs that get enough already.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    due = select(deliveries).where(deliveries.c.next_at <= now, deliveries.c.url.not_in(list(busy)))
    with history.reading() as connection:
        rows = connection.execute(due.order_by(deliveries.c.next_at).limit(limit)).mappings().all()
    if not rows:
        return []
    with history.writing() as connection:
        ours = []
        for row in rows:
            place = (deliveries.c.delivery_id == row["delivery_id"], deliveries.c.next_at == row["next_at"])
            if connection.execute(update(deliveries).where(*place).values(next_at=until)).rowcount == 1:
                ours.append(row)
        ids = {row["webhook_id"] for row in ours if row["webhook_id"]}
        found = connection.execute(select(webhooks).where(webhooks.c.webhook_id.in_(ids))).mappings()
        known = {row["webhook_id"]: row for row in found}
    return [_due(row, known.get(row["webhook_id"]), until) for row in ours]


def _due(row: Row, hook: Row | None, until: int) -> Due:
    enabled = row["webhook_id"] is None or (hook is not None and (bool(hook["enabled"]) or not row["event"]))
    return Due(
        delivery_id=row["delivery_id"], url=row["url"], body=row["body"], attempts=row["attempts"],
        webhook_id=row["webhook_id"], secret=hook["secret"] if hook else None, enabled=enabled, claimed=until,
    )  # fmt: skip


def settle(history: History, due: Due, outcome: Outcome) -> bool:
    """Write what came of an attempt; returns whether the message was still ours.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    place = (deliveries.c.delivery_id == due.delivery_id, deliveries.c.next_at == due.claimed)
    change = update(deliveries).where(*place).values(
        state=outcome.state, attempts=due.attempts + outcome.attempted, status=outcome.status, error=outcome.error,
        seconds=outcome.seconds, next_at=outcome.next_at,
        finished=None if outcome.state == "waiting" else outcome.at,
    )  # fmt: skip
    with history.writing() as connection:
        ours = connection.execute(change).rowcount == 1
        if outcome.gone and due.webhook_id is not None:
            connection.execute(update(webhooks).where(webhooks.c.webhook_id == due.webhook_id).values(enabled=0))
    return ours


# -- log ----------------------------------------------------------------------------------------------------------


def deliveries_of(
    history: History,
    limit: int,
    *,
    task_id: str | None = None,
    webhook_id: str | None = None,
    state: str | None = None,
    after: tuple[int, str] | None = None,
) -> tuple[list[DeliveryView], tuple[int, str] | None]:
    """Return a page of the log, newest first, and the place to go on from; None at the end.

    Args:
        history: The history.
        limit: Messages on a page.
        task_id: Only those that tell of that task.
        webhook_id: Only those to that webhook.
        state: Only those in that state.
        after: Where the page before has ended.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    wanted = select(*_SHOWN)
    for column, value in (
        (deliveries.c.task_id, task_id), (deliveries.c.webhook_id, webhook_id), (deliveries.c.state, state),
    ):  # fmt: skip
        if value is not None:
            wanted = wanted.where(column == value)
    if after is not None:
        # The first bound is one that an index has.
        key = tuple_(deliveries.c.created, deliveries.c.delivery_id)
        wanted = wanted.where(deliveries.c.created <= after[0], key < after)
    newest = wanted.order_by(deliveries.c.created.desc(), deliveries.c.delivery_id.desc()).limit(limit + 1)
    with history.reading() as connection:
        rows = connection.execute(newest).mappings().all()
    shown, more = rows[:limit], len(rows) > limit
    last = (shown[-1]["created"], shown[-1]["delivery_id"]) if more else None
    return [_view(row) for row in shown], last


def delivery_of(history: History, delivery_id: str) -> DeliveryView:
    """Return a message.

    Raises:
        UnknownDeliveryError: There is none of that id.
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        found = select(deliveries).where(deliveries.c.delivery_id == delivery_id)
        row = connection.execute(found).mappings().one_or_none()
    if row is None:
        raise UnknownDeliveryError(f"No message has the id '{delivery_id}'. GET /webhooks/deliveries lists them.")
    return _view(row)


def body_of(history: History, delivery_id: str) -> str:
    """Return what a message says, as JSON text; empty where there is none of that id.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        found = select(deliveries.c.body).where(deliveries.c.delivery_id == delivery_id)
        return str(connection.execute(found).scalar_one_or_none() or "")


def redeliver(history: History, delivery_id: str, at: int) -> DeliveryView:
    """Send a message again, whatever came of it before, and with as many attempts as a new one.

    Args:
        history: The history.
        delivery_id: The message.
        at: Now, in milliseconds since 1970.

    Raises:
        UnknownDeliveryError: There is none of that id.
        HistoryUnavailableError: The database is away.
    """
    fresh = {"state": "waiting", "attempts": 0, "next_at": at, "finished": None}
    with history.writing() as connection:
        connection.execute(update(deliveries).where(deliveries.c.delivery_id == delivery_id).values(fresh))
    return delivery_of(history, delivery_id)


def _view(row: Row) -> DeliveryView:
    return DeliveryView(
        delivery_id=row["delivery_id"], task_id=row["task_id"] or None, webhook_id=row["webhook_id"], url=row["url"],
        state=row["state"], attempts=row["attempts"], status=row["status"], error=row["error"],
        seconds=row["seconds"], date_created=moment(row["created"]) or datetime.fromtimestamp(0, UTC),
        date_next=moment(row["next_at"]), date_done=moment(row["finished"]),
    )  # fmt: skip

"""What a worker answers when it is asked what runs and what waits for its time: Celery knows but a part of both."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

from celery.worker.control import Panel

from backyard.engine.batches import hosted, running_in_batches
from backyard.engine.message import ETA, MalformedMessageError, read_message
from backyard.ledger.record import Record

MOST = 200


def install() -> None:
    """Teach Celery's remote control to look into the ledger, for workers that read from one."""
    answer = Panel.data["active"]
    if not isinstance(answer, partial):
        Panel.data["active"] = Panel.data["dump_active"] = partial(active, answer)
    answer = Panel.data["scheduled"]
    if not isinstance(answer, partial):
        Panel.data["scheduled"] = Panel.data["dump_schedule"] = partial(scheduled, answer)


def active(answer: Any, state: Any, **options: Any) -> list[dict[str, Any]]:
    """List what runs: what Celery knows of, and of each batch the task that it is at, and coroutines.

    Args:
        answer: Celery's own answer.
        state: The worker, as Celery shows it to its remote control.
        options: As for Celery.
    """
    rows: list[dict[str, Any]] = answer(state, **options)
    return rows + [
        {
            "id": one.task_id, "name": one.name, "type": one.name, "args": [], "kwargs": {},
            "hostname": state.consumer.hostname, "time_start": None, "acknowledged": False, "delivery_info": {},
            "worker_pid": one.pid,
        }
        for one in (*running_in_batches(), *hosted())[:MOST]
    ]  # fmt: skip


def scheduled(answer: Any, state: Any, **options: Any) -> list[dict[str, Any]]:
    """List what waits for its time in the worker's queues, the first to come first.

    Args:
        answer: Celery's own answer.
        state: The worker, as Celery shows it to its remote control.
        options: As for Celery.
    """
    rows: list[dict[str, Any]] = answer(state, **options)
    channel = getattr(state.consumer.task_consumer, "channel", None)
    calls = getattr(channel, "calls", None)
    if channel is None or calls is None:
        return rows
    queues = {queue.name for queue in state.consumer.task_consumer.queues}
    found = channel.send(calls.records(channel.send(calls.due(MOST))))
    return rows + [row for record in found if record.text("queue") in queues and (row := _row(record, channel, state))]


def _row(record: Record, channel: Any, state: Any) -> dict[str, Any] | None:
    """Return one line as Celery's worker writes it; None for a message that cannot be read."""
    try:
        payload = read_message(record.fields.get("message", b""), tag="", entry="", again=False)
        message = channel.Message(payload, channel=channel)
        args, kwargs, _ = message.decode()
    except (MalformedMessageError, ValueError, TypeError):
        return None
    headers, info = message.headers, message.delivery_info
    due = record.moment("due")
    eta = headers.get(ETA) or (due.isoformat() if due else None)
    return {
        "eta": dt.datetime.fromisoformat(eta).isoformat() if eta else None,
        "priority": 6,  # of Celery's timer, the same for all
        "request": {
            "id": record.task_id, "name": headers.get("shadow") or headers["task"], "args": args, "kwargs": kwargs,
            "type": headers["task"], "hostname": state.consumer.hostname, "time_start": None, "acknowledged": False,
            "delivery_info": {
                "exchange": info.get("exchange"), "routing_key": info.get("routing_key"),
                "priority": message.properties.get("priority"), "redelivered": False,
            },
            "worker_pid": None,
        },
    }  # fmt: skip

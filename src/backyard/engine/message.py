"""Task messages: Celery's protocol 2, composed for the submit script and read back from it.

Source: "Message Protocol", Celery documentation, version 2; and ``celery.app.amqp.AMQP.as_task_v2``.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kombu.utils.json import dumps, loads

from backyard.ledger.call import Word
from backyard.ledger.keys import PRIORITY, lane_of
from backyard.ledger.submission import Submission

ORIGIN = f"gen{os.getpid()}@{socket.gethostname()}"
_EMBED = b', {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'


#: Where a task finds its own ETA, which Celery's worker is not to see.
ETA = "yard_eta"


class MalformedMessageError(ValueError):
    """A message that no worker can take; it is set aside, and the text says why."""


def compose(
    task_id: str, name: str, payload: bytes, *, queue: str, lane: str, timelimit: tuple[float | None, float | None]
) -> bytes:
    """Compose the message of a typed task.

    Args:
        task_id: The task's id.
        name: The definition's name.
        payload: The input as JSON text: an object, which becomes the keyword arguments.
        queue: Queue it goes to.
        lane: Its lane: high, normal or low.
        timelimit: Hard and soft limit in seconds.
    """
    headers: dict[str, Any] = {
        "lang": "py", "task": name, "id": task_id, "shadow": None, "eta": None, "expires": None, "group": None,
        "group_index": None, "retries": 0, "timelimit": list(timelimit), "root_id": task_id, "parent_id": None,
        "argsrepr": "()", "kwargsrepr": payload[:1024].decode("utf-8", "replace"), "origin": ORIGIN,
        "ignore_result": False, "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
    }  # fmt: skip
    message = {
        "body": (b"[[], " + payload + _EMBED).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": task_id,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": PRIORITY[lane],
            "body_encoding": "utf-8",
            "delivery_tag": task_id,
        },
    }
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def is_task(message: Mapping[str, Any]) -> bool:
    """Whether a kombu message is a Celery task of protocol 2."""
    headers = message.get("headers") or {}
    return bool(headers.get("task") and headers.get("id"))


def submission_of(
    message: dict[str, Any], queue: str, priority: int, lifetime: int, attempt: int | None = None
) -> Submission:
    """Read a message that Celery itself composed.

    Args:
        message: The kombu message; its ETA and expiry are taken out, since only the server's clock decides.
        queue: Queue it is for.
        priority: Its Celery priority, 0 to 9, 0 being the most urgent.
        lifetime: Seconds its record is kept once final.
        attempt: The running attempt that sends its own task anew, if it is one.
    """
    headers = message["headers"]
    eta, headers["eta"] = headers.get("eta"), None
    headers.pop(ETA, None)  # of the attempt before, where this is a retry
    if eta:
        headers[ETA] = eta
    expires, headers["expires"] = _moment(headers.get("expires")), None
    fields: dict[str, Word] = {"input": _input(message)}
    for field, header in (("parent_id", "parent_id"), ("root_id", "root_id"), ("group_id", "group")):
        if headers.get(header):
            fields[field] = str(headers[header])
    return Submission(
        task_id=str(headers["id"]),
        name=str(headers["task"]),
        queue=queue,
        lane=lane_of(priority),
        message=dumps(message).encode(),
        lifetime=lifetime,
        due=_moment(eta),
        expires=expires,
        again=True,
        attempt=attempt,
        fields=fields,
    )


def _moment(text: str | None) -> str:
    """Return an ISO 8601 time as milliseconds since 1970; Celery writes times without a zone in UTC."""
    if not text:
        return ""
    moment = datetime.fromisoformat(str(text))
    return str(int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000))


def _input(message: Mapping[str, Any]) -> str:
    """Return the arguments for people to read: the keyword arguments, and the positional ones if there are any."""
    if (
        message.get("content-type") != "application/json"
        or message.get("properties", {}).get("body_encoding") == "base64"
    ):
        return ""
    try:
        args, kwargs, _ = json.loads(message["body"])
    except (ValueError, TypeError):
        return ""
    return json.dumps({"args": args, "kwargs": kwargs} if args else kwargs, separators=(",", ":"))


def read_message(text: bytes, *, tag: str, entry: str, again: bool) -> dict[str, Any]:
    """Read a message as a worker takes it.

    Args:
        text: The message as it stood in the queue.
        tag: What acknowledges it.
        entry: The queue entry, which alone may start the task (``<lane>/<entry id>``).
        again: Whether it was handed out before.

    Raises:
        MalformedMessageError: It is not a message; the text says why.
    """
    try:
        message = loads(text)
        message["properties"]["delivery_tag"] = tag
        message["properties"].setdefault("delivery_info", {})
        headers = message.setdefault("headers", {})
        if again:
            headers["redelivered"] = True
            message["properties"]["delivery_info"]["redelivered"] = True
        task = is_task(message)
    except (TypeError, KeyError, AttributeError, ValueError, RecursionError) as error:
        raise MalformedMessageError(f"not a kombu message: {type(error).__name__}: {error}") from error
    if "body" not in message:
        raise MalformedMessageError("not a kombu message: it has no body")
    if task:
        check_task(message)
        headers["entry"] = entry
    return dict(message)


def check_task(message: Mapping[str, Any]) -> None:
    """Refuse what would end or jam a Celery worker, which takes these for granted.

    Raises:
        MalformedMessageError: A part is missing or of another type; the text says which.
    """
    headers, info = message["headers"], message["properties"]["delivery_info"]
    for name, kinds in _HEADERS.items():
        if not isinstance(headers.get(name), kinds):
            raise MalformedMessageError(f"not a task message: header '{name}' is {type(headers.get(name)).__name__}")
    limits = headers.get("timelimit") or [None, None]
    if len(limits) != len("hs") or not all(limit is None or isinstance(limit, int | float) for limit in limits):
        raise MalformedMessageError("not a task message: header 'timelimit' is not a pair of numbers")
    if not isinstance(info, dict):
        raise MalformedMessageError("not a task message: 'delivery_info' is no object")
    for name in ("eta", "expires"):
        try:
            _moment(headers.get(name))
        except (ValueError, OverflowError) as error:
            raise MalformedMessageError(f"not a task message: header '{name}' is no time: {error}") from error


_NONE = type(None)
#: The headers that Celery's worker reads without looking, and what each may be.
_HEADERS: Mapping[str, tuple[type, ...]] = {
    "id": (str,), "task": (str,), "retries": (int, _NONE), "timelimit": (list, _NONE), "eta": (str, _NONE),
    "expires": (str, _NONE), "root_id": (str, _NONE), "parent_id": (str, _NONE), "group": (str, _NONE),
    "group_index": (int, _NONE), "shadow": (str, _NONE), "argsrepr": (str, _NONE), "kwargsrepr": (str, _NONE),
    "origin": (str, _NONE), "ignore_result": (bool, _NONE), "replaced_task_nesting": (int, _NONE),
    "stamped_headers": (list, _NONE), "stamps": (dict, _NONE), "compression": (str, _NONE),
}  # fmt: skip


def check_body(payload: Any) -> None:
    """Refuse a decoded task body that Celery's worker could not unpack.

    Raises:
        MalformedMessageError: It is not what protocol 2 says.
    """
    shape = (list | tuple, dict, dict)
    if not isinstance(payload, list | tuple) or len(payload) != len(shape):
        raise MalformedMessageError(
            "not a task message: its body is not a list of arguments, keyword arguments and callbacks"
        )
    for part, kind in zip(payload, shape, strict=True):
        if not isinstance(part, kind):
            raise MalformedMessageError(f"not a task message: its body has {type(part).__name__} in a place of {kind}")

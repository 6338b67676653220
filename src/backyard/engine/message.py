"""Task messages: Celery's protocol 2, composed for the submit script and read back from it.

Source: "Message Protocol", Celery documentation, version 2; and ``celery.app.amqp.AMQP.as_task_v2``.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring as quoted
from typing import Any

from kombu.utils.json import dumps, loads
from pydantic_core import from_json

from backyard.core.secrets import masked
from backyard.engine.current import current_attempt
from backyard.ledger.call import Word
from backyard.ledger.keys import PRIORITY, lane_of
from backyard.ledger.submission import Submission

ORIGIN = f"gen{os.getpid()}@{socket.gethostname()}"
#: How a message in brief begins: a line that says what is not the same in all messages of typed tasks, then the input.
#: Whole, one would take three times the memory.
_BRIEF = b'{"brief":1,'
_EMBED = ', {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'


#: Where a task finds its own ETA, which a yard's worker is not to see.
ETA = "yard_eta"
#: Where a plain Celery app's worker finds when a task expires; a yard's leaves that to the ledger.
EXPIRES = "yard_expires"
#: Seconds until a task is due, and after which it starts no more, from when the ledger gets it; see ``engine/amqp.py``.
COUNTDOWN = "yard_countdown"
LASTS = "yard_lasts"


#: Bytes of an input that Celery's events carry.
SHOWN = 1024
#: What a task that is in the way of others like it says of that; it stays with the submitter.
UNIQUE, WINDOW = "yard_unique", "yard_window"
#: Who is told when the task ends; it stays with the submitter as well.
WEBHOOK = "yard_webhook"


class MalformedMessageError(ValueError):
    """A message that no worker can take; it is set aside, and the text says why."""


def compose(
    task_id: str,
    name: str,
    payload: bytes,
    *,
    queue: str,
    lane: str,
    timelimit: tuple[float | None, float | None],
    family: Mapping[str, str] | None = None,
) -> bytes:
    """Compose the message of a typed task, in brief; :func:`message_in` makes a kombu message of it.

    Args:
        task_id: The task's id.
        name: The definition's name.
        payload: The input as JSON text: an object, which becomes the keyword arguments.
        queue: Queue it goes to.
        lane: Its lane: high, normal or low.
        timelimit: Hard and soft limit in seconds.
        family: ``parent_id`` and ``root_id`` of what is submitted from inside a task.
    """
    head = _head(name, queue, lane, timelimit)
    kin = "".join(f",{quoted(field)}:{quoted(value)}" for field, value in (family or {}).items())
    return f"{head}{quoted(task_id)}{kin}}}\n".encode() + payload


@lru_cache(maxsize=1024)
def _head(name: str, queue: str, lane: str, timelimit: tuple[float | None, float | None]) -> str:
    """Return how the messages of a definition begin, up to the place of the id."""
    said = {"task": name, "queue": queue, "priority": PRIORITY[lane], "timelimit": timelimit, "origin": ORIGIN}
    return f'{_BRIEF.decode()}{json.dumps(said, ensure_ascii=False, separators=(",", ":"))[1:-1]},"id":'


def message_in(text: bytes) -> dict[str, Any]:
    """Return the kombu message that a text stands for: as it stands in a queue, a record or on the list of the dead.

    Args:
        text: What :func:`compose` made, or a kombu message itself.

    Raises:
        ValueError: It is neither; so may KeyError and RecursionError be.
    """
    if not text.startswith(_BRIEF):
        message: dict[str, Any] = loads(text)
        return message
    head, _, payload = text.partition(b"\n")
    said = from_json(head)
    task_id = said["id"]
    headers: dict[str, Any] = {
        "lang": "py", "task": said["task"], "id": task_id, "shadow": None, "eta": None, "expires": None, "group": None,
        "group_index": None, "retries": 0, "timelimit": said["timelimit"], "root_id": said.get("root_id", task_id),
        "parent_id": said.get("parent_id"), "argsrepr": "()", "kwargsrepr": _shown(payload), "origin": said["origin"],
        "ignore_result": False, "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
    }  # fmt: skip
    return {
        "body": f"[[], {payload.decode()}{_EMBED}",
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": task_id,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": said["queue"]},
            "priority": said["priority"],
            "body_encoding": "utf-8",
            "delivery_tag": task_id,
        },
    }


def brief_in(text: bytes) -> dict[str, Any] | None:
    """Return what a message in brief says beside its input: ``task``, ``id``, ``timelimit`` and more; None for others.

    Args:
        text: A message as it stands in a queue.

    Raises:
        ValueError: It begins as such a message, and is none.
    """
    return from_json(text.partition(b"\n")[0]) if text.startswith(_BRIEF) else None


def task_in(text: bytes) -> tuple[str, str]:
    """Return the name of a message's definition and its input as JSON text, each empty where it cannot be read.

    Args:
        text: A message as it stands in a queue.
    """
    try:
        message = message_in(text)
        name = str(message["headers"]["task"])
        payload = text.partition(b"\n")[2].decode() if text.startswith(_BRIEF) else _input(_parts(message))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", ""
    return name, payload


def _shown(payload: bytes) -> str:
    """Return what Celery's tools show of an input: its beginning, without its secrets."""
    if b"sealed:" in payload:
        return str(masked(payload.decode("utf-8", "replace")))[:SHOWN]
    return payload[:SHOWN].decode("utf-8", "replace")


def is_task(message: Mapping[str, Any]) -> bool:
    """Whether a kombu message is a Celery task of protocol 2."""
    headers = message.get("headers") or {}
    return bool(headers.get("task") and headers.get("id"))


def submission_of(
    message: dict[str, Any],
    queue: str,
    priority: int,
    lifetime: int,
    *,
    attempt: int | None,
    plain: bool,
    most: int | None = None,
) -> Submission:
    """Read a message that Celery itself composed.

    Args:
        message: The kombu message; its ETA and expiry are taken out, since only the server's clock decides.
        queue: Queue it is for.
        priority: Its Celery priority, 0 to 9, 0 being the most urgent.
        lifetime: Seconds its record is kept once final.
        attempt: The running attempt that sends its own task anew, if it is one.
        most: Tasks that the queue may hold; what a task sends on has no such limit.
        plain: Whether a plain Celery app sends it, which is no yard.
    """
    headers = message["headers"]
    due, expires = _times(headers)
    unique, window = headers.pop(UNIQUE, ""), headers.pop(WINDOW, None)
    parts = _parts(message)
    fields: dict[str, Word] = {"input": _input(parts), "canvas": _canvas(parts, plain=plain)}
    if attempt is None:
        fields["door"] = "celery"  # such a message may say more than a record does: it cannot be composed anew
    elif (speaker := current_attempt(headers["id"])) is not None:
        fields.update(speaker.farewell or {})
    fields |= {**_family(headers, again=attempt is not None), **_webhook(headers)}
    return Submission(
        task_id=str(headers["id"]),
        name=str(headers["task"]),
        queue=queue,
        lane=lane_of(priority),
        message=dumps(message).encode(),
        lifetime=lifetime,
        due=due,
        expires=expires,
        again=True,
        attempt=attempt,
        plain=plain,
        unique=str(unique),
        window=window,
        most=None if headers.get("parent_id") or headers.get("retries") else most,
        fields=fields,
    )


def _times(headers: dict[str, Any]) -> tuple[str, str]:
    """Take ETA and expiry out of a message, and return them as the ledger reads them."""
    countdown, lasts = headers.pop(COUNTDOWN, None), headers.pop(LASTS, None)
    eta, headers["eta"] = headers.get("eta"), None
    headers.pop(ETA, None)  # of the attempt before, where this is a retry
    if eta:
        headers[ETA] = eta
    expires, headers["expires"] = headers.get("expires"), None
    headers.pop(EXPIRES, None)
    if expires:
        headers[EXPIRES] = expires
    return _from_now(countdown) or _moment(eta), _from_now(lasts) or _moment(expires)


def _family(headers: Mapping[str, Any], *, again: bool) -> dict[str, Word]:
    """Return what a task came from; Celery calls one that sends itself anew its own parent, or its own root."""
    found: dict[str, Word] = {}
    for field, header in (("parent_id", "parent_id"), ("root_id", "root_id"), ("group_id", "group")):
        itself = headers.get(header) == headers["id"] and (field == "parent_id" or again)
        if headers.get(header) and not itself:
            found[field] = str(headers[header])
    return found


def _webhook(headers: dict[str, Any]) -> dict[str, Word]:
    """Take out of a message who is told when the task ends."""
    url = headers.pop(WEBHOOK, None)
    return {"webhook": str(url)} if url else {}


def _from_now(seconds: float | None) -> str:
    """Return a number of seconds as the ledger counts it from its own now."""
    return "" if seconds is None else f"+{max(int(seconds * 1000), 0)}"


def _moment(text: str | None) -> str:
    """Return an ISO 8601 time as milliseconds since 1970; Celery writes times without a zone in UTC."""
    if not text:
        return ""
    moment = datetime.fromisoformat(str(text))
    return str(int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000))


def _parts(message: Mapping[str, Any]) -> list[Any] | None:
    """Return arguments, keyword arguments and canvas of a message; None where its body is not plain JSON."""
    if (
        message.get("content-type") != "application/json"
        or message.get("properties", {}).get("body_encoding") == "base64"
    ):
        return None
    try:
        args, kwargs, embed = json.loads(message["body"])
    except (ValueError, TypeError):
        return None
    return [args, kwargs, embed]


def _input(parts: list[Any] | None) -> str:
    """Return the arguments for people to read: the keyword arguments, and the positional ones if there are any."""
    if parts is None:
        return ""
    args, kwargs, _ = parts
    return json.dumps({"args": args, "kwargs": kwargs} if args else kwargs, separators=(",", ":"))


def _canvas(parts: list[Any] | None, *, plain: bool) -> str:
    """Say whether others have to hear of it if the task is cancelled; a plain app's workers tell them themselves."""
    if plain:
        return ""
    embed = parts[2] if parts and isinstance(parts[2], dict) else {}
    return "1" if parts is None or any(embed.get(name) for name in ("chord", "chain", "errbacks")) else ""


def read_message(text: bytes, *, tag: str, entry: str, again: bool, plain: bool = False) -> dict[str, Any]:
    """Read a message as a worker takes it.

    Args:
        text: The message as it stood in the queue.
        tag: What acknowledges it.
        entry: The queue entry, which alone may start the task (``<lane>/<entry id>``).
        again: Whether it was handed out before.
        plain: Whether the worker is a plain Celery app's, which looks itself at a task's ETA and expiry.

    Raises:
        MalformedMessageError: It is not a message; the text says why.
    """
    try:
        message = message_in(text)
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
        if plain:
            headers.update(eta=headers.get(ETA), expires=headers.get(EXPIRES))
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


_BODY: tuple[type | tuple[type, ...], ...] = ((list, tuple), dict, dict)


def check_body(payload: Any) -> None:
    """Refuse a decoded task body that Celery's worker could not unpack.

    Raises:
        MalformedMessageError: It is not what protocol 2 says.
    """
    if not isinstance(payload, (list, tuple)) or len(payload) != len(_BODY):
        raise MalformedMessageError(
            "not a task message: its body is not a list of arguments, keyword arguments and callbacks"
        )
    for part, kind in zip(payload, _BODY, strict=True):
        if not isinstance(part, kind):
            raise MalformedMessageError(f"not a task message: its body has {type(part).__name__} in a place of {kind}")

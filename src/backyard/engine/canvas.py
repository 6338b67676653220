"""Tells Celery's canvas of tasks that no worker spoke for: their chord, the rest of their chain, their errbacks.

The ledger keeps word of each of them, wherever it ended: in a queue with no worker near, under a worker that was lost,
or killed. A worker takes it on and strikes it out when it was told. Who dies over that is taken over from, so errbacks
may be called twice; chords count each part once.
"""

from __future__ import annotations

import base64
import logging
from typing import Any

from celery import maybe_signature, states
from celery.app.task import Context
from celery.exceptions import TaskRevokedError
from kombu.compression import decompress
from kombu.serialization import loads as deserialize
from kombu.serialization import prepare_accept_content

from backyard.core.errors import LedgerUnavailableError
from backyard.engine.message import message_in
from backyard.ledger.away import unavailable
from backyard.ledger.cancel_calls import Untold
from backyard.ledger.ledger import Ledger

logger = logging.getLogger("backyard.canvas")

TOLD_AT_ONCE = 10
#: Seconds one may take to tell of them; then another does.
PATIENCE = 30.0


def tell_untold(app: Any, ledger: Ledger) -> int:
    """Tell of some tasks that nobody has told of yet, and return how many those were.

    Args:
        app: The yard's Celery app.
        ledger: The yard's ledger.

    Raises:
        LedgerUnavailableError: The server is away.
    """
    taken = ledger.run(ledger.calls.untold(TOLD_AT_ONCE, PATIENCE))
    for task in taken:
        try:
            told = tell(app, task)
        except LedgerUnavailableError:
            raise
        except Exception as error:
            if unavailable(error):
                raise LedgerUnavailableError(f"Redis went away while the canvas was told: {error}") from error
            # It would fail the next time as well, for ever.
            logger.exception("Could not tell the canvas of task %s, which ended as %s", task.task_id, task.state)
            told = True
        if told:
            ledger.run(ledger.calls.told([task.task_id]))
    return len(taken)


def tell(app: Any, task: Untold) -> bool:
    """Do for a task that ended without a worker what a worker does; False where that is to be looked at again."""
    request = request_of(app, task)
    backend = app.backend
    if task.state == states.SUCCESS:
        # Its chain and its callbacks were sent before it was recorded as a success; only its chord may be left.
        return join(app, request)
    revoked = task.state == states.REVOKED
    error = TaskRevokedError("cancelled") if revoked else backend.get_result(task.task_id)
    if request.chord:
        backend.on_chord_part_return(request, task.state, error)
    # Nothing of the chain will be sent: whoever waits for its end would wait for ever.
    backend._fail_chain(request.chain, error, state=task.state)  # noqa: SLF001 - Celery's own, no public name
    if request.errbacks:
        backend._call_task_errbacks(request, error, None)  # noqa: SLF001 - Celery's own, no public name
    logger.info("Told the canvas of task %s, which ended as %s", task.task_id, task.state)
    return True


def join(app: Any, request: Context) -> bool:
    """Count a part of a chord, which may have been counted; False while somebody else has taken on to send its body.

    Who died over that keeps the right to it for some seconds (the claim in ``celery.backends.redis``), then loses it.
    """
    if not request.chord or not request.group:
        return True
    body = maybe_signature(request.chord, app=app).id
    if body and app.backend.send(app.backend.calls.record(body)) is not None:
        return True  # sent, before its sender died
    app.backend.on_chord_part_return(request, states.SUCCESS, app.backend.get_result(request.id))
    return app.backend.client.get(app.backend.get_key_for_group(request.group, ".c")) in (None, b"done")


def request_of(app: Any, task: Untold) -> Context:
    """Make of a task's message the request that a worker would have had."""
    message = message_in(task.message)
    headers, properties = message["headers"], message["properties"]
    body = message["body"]
    if properties.get("body_encoding") == "base64":
        body = base64.b64decode(body)
    if headers.get("compression"):
        body = decompress(body, headers["compression"])
    args, kwargs, embed = deserialize(
        body,
        message["content-type"],
        message["content-encoding"],
        accept=prepare_accept_content(app.conf.accept_content),
    )
    return Context(
        {
            **headers,
            "args": args,
            "kwargs": kwargs,
            "delivery_info": properties.get("delivery_info") or {},
            "called_directly": False,
        },
        **(embed or {}),
    )

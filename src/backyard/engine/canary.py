"""The canary: a task that every yard's workers know, small and harmless, with which a drill tries a deployment out."""

from __future__ import annotations

import time

from celery import Celery

from backyard.engine.message import compose
from backyard.ledger.submission import Submission

#: Its name. Names of the user's own definitions do not begin like this by chance.
CANARY = "backyard.canary"
#: Seconds its record is kept: for the drill, and for somebody to look at.
LIFETIME = 3_600


def sing(seconds: float = 0.0) -> float:
    """Wait, and return how long.

    Args:
        seconds: How long, so that a fault may meet a running one.
    """
    time.sleep(seconds)
    return seconds


def add_canary(app: Celery) -> None:
    """Let the workers of a yard know the canary.

    Args:
        app: The yard's Celery app.
    """
    app.task(name=CANARY, shared=False)(sing)


def canary(task_id: str, queue: str, seconds: float) -> Submission:
    """Return a canary to be submitted.

    Args:
        task_id: Its id.
        queue: Queue it goes to.
        seconds: How long it waits.
    """
    payload = f'{{"seconds":{seconds:g}}}'.encode()
    message = compose(task_id, CANARY, payload, queue=queue, lane="normal", timelimit=(None, None))
    return Submission(task_id, CANARY, queue, "normal", message, LIFETIME, fields={"input": payload})

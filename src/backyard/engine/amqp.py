"""Celery's own messages: times kept relative, so that the server's clock alone decides, and secrets sealed."""

from __future__ import annotations

from numbers import Real
from typing import Any

from celery.app.amqp import AMQP

from backyard.engine.message import COUNTDOWN, LASTS
from backyard.engine.reconnect import PromptConnection
from backyard.engine.sealing import seal_message


class YardAMQP(AMQP):  # type: ignore[misc]  # Celery ships no types
    """Composes messages as Celery does, which turns a countdown into a time by the sender's clock.

    Whatever a yard's Celery app sends comes through here: delayed, linked, retried, or sent by name.
    """

    Connection = PromptConnection

    def as_task_v2(  # noqa: PLR0913, PLR0917 - Celery's signature
        self,
        task_id: str,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        countdown: Any = None,
        eta: Any = None,
        group_id: Any = None,
        group_index: Any = None,
        expires: Any = None,
        *rest: Any,
        **options: Any,
    ) -> Any:
        """Compose a message of protocol 2; arguments as for Celery."""
        message = super().as_task_v2(
            task_id, name, args, kwargs, countdown, eta, group_id, group_index, expires, *rest, **options
        )
        if countdown:
            message.headers[COUNTDOWN] = countdown
        if isinstance(expires, Real):
            message.headers[LASTS] = expires
        return seal_message(self.app, name, message, self.kwargsrepr_maxsize)

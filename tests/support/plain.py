"""A plain Celery app on our transport and result backend: no yard, no class of ours, Celery's own settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from celery import Celery, chain


def make_app(environment: Mapping[str, str], **settings: Any) -> Celery:
    """Return the app as a program makes it that knows no more of us than two names."""
    url = environment.get("BACKYARD_REDIS_URL", "redis://")
    yard = environment.get("TEST_YARD", "plain")
    app = Celery("plain", set_as_current=False)
    app.conf.update(
        broker_url=url,
        broker_transport="backyard.engine.broker:Transport",
        broker_transport_options={"yard": yard, "lease": 2},
        broker_connection_retry_on_startup=True,
        result_backend=f"backyard.engine.backend:LedgerBackend+{url}",
        worker_hijack_root_logger=True,
        **settings,
    )

    @app.task(name="add", shared=False)
    def add(x: Any, y: Any) -> Any:
        return x + y

    @app.task(name="fail", shared=False)
    def fail() -> None:
        raise ValueError("on purpose")

    @app.task(name="retrying", bind=True, shared=False, max_retries=5)
    def retrying(self: Any, times: int) -> int:
        if self.request.retries < times:
            raise self.retry(countdown=0.01)
        return int(self.request.retries)

    @app.task(name="replacing", bind=True, shared=False)
    def replacing(self: Any) -> Any:
        raise self.replace(chain(add.s(1, 2), add.s(3)))

    @app.task(name="eta", bind=True, shared=False)
    def eta(self: Any) -> Any:
        return self.request.eta

    @app.task(name="ignoring", bind=True, shared=False)
    def ignoring(self: Any) -> None:
        self.app.backend.client.set(self.request.id, "ran")
        from celery.exceptions import Ignore  # noqa: PLC0415 - as users write it

        raise Ignore

    return app


app = make_app(os.environ)

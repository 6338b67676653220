"""The Celery app of a yard, with each setting argued."""

from __future__ import annotations

import inspect
from typing import Any

from celery import Celery

from backyard.engine import dotted
from backyard.engine.attempt import Services
from backyard.engine.batches import Batching
from backyard.engine.canary import add_canary
from backyard.engine.cancelling import Cancelling
from backyard.engine.control import Control
from backyard.engine.duty import Duty
from backyard.engine.queues import DEFAULT_QUEUE, make_queue
from backyard.engine.steps import RollCall, SetAside
from backyard.engine.task import BackyardTask, adopted
from backyard.engine.telling import Telling, YardEvents
from backyard.engine.worker_log import YardLogging
from backyard.ledger.keys import PRIORITY
from backyard.settings import Settings

dotted.install()


class YardCelery(Celery):
    """A Celery app whose tasks are all started, fenced and recorded by the ledger, whatever class they are of."""

    amqp_cls = "backyard.engine.amqp:YardAMQP"
    log_cls = YardLogging
    events_cls = YardEvents

    def _task_from_fun(self, fun: Any, name: str | None = None, base: type | None = None, **options: Any) -> Any:
        return super()._task_from_fun(fun, name=name, base=base and adopted(base), **options)

    def register_task(self, task: Any, **options: Any) -> Any:
        """Register a task written as a class.

        Args:
            task: The class, or an instance of it.
            options: As for Celery.
        """
        if inspect.isclass(task):
            task = adopted(task)
        else:
            task.__class__ = adopted(type(task))
        return super().register_task(task, **options)


def make_celery(yard: str, url: str, settings: Settings, services: Services) -> Celery:
    """Make the Celery app of a yard.

    Args:
        yard: The yard's name.
        url: URL of the ledger's Redis server.
        settings: The yard's settings.
        services: What attempts work with.
    """
    app = YardCelery(yard, task_cls=BackyardTask, control=Control, set_as_current=False)
    app.services = services
    app.yard_settings = settings
    app.steps["consumer"].update((SetAside, RollCall, Cancelling, Batching, Telling))
    app.steps["worker"].add(Duty)
    app.conf.update(configuration(yard, url, settings))
    add_canary(app)
    return app


def configuration(yard: str, url: str, settings: Settings) -> dict[str, Any]:
    """Return Celery's settings for a yard."""
    return {
        "broker_url": url,
        "broker_transport": "backyard.engine.broker:Transport",
        "broker_transport_options": transport_options(yard, settings),
        # A worker waits for its server, however long; giving up would need a person to start it again.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "result_backend": f"backyard.engine.backend:LedgerBackend+{url}",
        "result_backend_transport_options": {"yard": yard, "events_kept": settings.events_kept, "fenced": True},
        "result_expires": settings.result_expires,
        # An outcome that cannot be stored now is stored later, not turned into a failure.
        "result_backend_always_retry": True,
        "result_backend_max_sleep_between_retries_ms": 1_000,
        # The entry is acknowledged after the outcome is stored, never before.
        "task_acks_late": True,
        "task_acks_on_failure_or_timeout": True,
        "task_reject_on_worker_lost": True,
        # One entry ahead for each process: a long task never holds others up in one worker while another idles.
        "worker_prefetch_multiplier": 1,
        # The ledger's own start script says STARTED, with worker and attempt; Celery's would be a second one.
        "task_track_started": False,
        # Results and inputs are JSON on the wire, and nothing else is read: unpickling would run a stranger's code.
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_default_queue": DEFAULT_QUEUE,
        "task_queues": [make_queue(DEFAULT_QUEUE)],
        "task_create_missing_queues": True,
        "task_default_priority": PRIORITY["normal"],
        # Flower shows a task from the moment it is sent. Where nobody listens, nothing is sent: see telling.py.
        "task_send_sent_event": True,
        "worker_send_task_events": True,
        # Running tasks go on when the connection breaks: their lease is renewed, and nobody starts them twice.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Standard output belongs to whoever started the worker.
        "worker_redirect_stdouts": False,
        "worker_hijack_root_logger": True,
        "enable_utc": True,
        "timezone": "UTC",
    }


def transport_options(yard: str, settings: Settings) -> dict[str, Any]:
    """Return what the transport is told of a yard."""
    return {
        "yard": yard,
        # The yard's tasks are started by the ledger, one attempt at a time; a plain Celery app's are not.
        "fenced": True,
        "lease": settings.lease,
        "events_kept": settings.events_kept,
        "result_expires": settings.result_expires,
        "max_queued": settings.max_queued,
        "queue_limits": dict(settings.queue_limits),
        # Control messages of two yards on one database must not meet.
        "fanout_prefix": f"/{{db}}:{yard}.",
        # Without it a silent cut of the network holds a worker for ever. Longer than a blocking read lasts.
        "socket_timeout": 5.0,
        "socket_connect_timeout": 2.0,
    }

"""A yard with the trials in it, as a program that submits sees it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from backyard import Backyard
from backyard.ledger.ledger import Ledger
from support.trials import define_celery, define_typed, make_yard

TARGET = "support.trials:yard.celery"


class Stage(SimpleNamespace):
    """A yard with its trials: ``typed`` definitions and ``plain`` Celery tasks."""

    yard: Backyard
    ledger: Ledger
    typed: SimpleNamespace
    plain: SimpleNamespace
    environment: dict[str, str]


@contextmanager
def staged(environment: dict[str, str]) -> Iterator[Stage]:
    """Set up a yard, and close its connections afterwards."""
    yard = make_yard(environment)
    stage = Stage(
        yard=yard, ledger=yard.ledger, typed=define_typed(yard), plain=define_celery(yard), environment=environment
    )
    yield stage
    yard.ledger.close()
    yard.celery.backend.result_consumer.stop()
    yard.celery.backend.client.connection_pool.disconnect()
    yard.celery.close()
    gc.collect()

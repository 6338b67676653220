"""A yard whose program sets up logging by itself, as users of Celery do."""

from __future__ import annotations

import logging
import sys
from typing import Any

from celery import signals

from support.chatty import yard

__all__ = ["yard"]


def set_up(**_: Any) -> None:
    """Have lines of another form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("OWN %(name)s %(message)s"))
    logging.getLogger().handlers = [handler]
    logging.getLogger().setLevel(logging.INFO)


signals.setup_logging.connect(set_up, weak=False)

"""Remote control commands that bring parts of a worker to a standstill."""

from __future__ import annotations

import threading
import time
from typing import Any

from celery.backends.redis import RedisBackend
from celery.worker.control import control_command


@control_command(args=[("seconds", float)])  # type: ignore[untyped-decorator]
def trial_hang(_: Any, seconds: float = 0) -> None:
    """Hold up a worker's main loop."""
    time.sleep(seconds)


@control_command()  # type: ignore[untyped-decorator]
def trial_jam(state: Any) -> None:
    """Keep a worker from reading its queues, as a fault in the transport would."""
    state.consumer.task_consumer.channel._brpop_start = lambda *_, **__: None


@control_command()  # type: ignore[untyped-decorator]
def trial_look(_: Any) -> None:
    """Let a thread hold the lock of a cached property, as one does that looks at it; for a minute."""
    lock = vars(RedisBackend)["client"].lock
    held = threading.Event()

    def look() -> None:
        with lock:
            held.set()
            time.sleep(60)

    threading.Thread(target=look, daemon=True).start()
    held.wait()

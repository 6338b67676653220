"""Processes that are forked while another thread of the worker holds a lock."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from celery import chord

from support.clean import wait_until
from support.family import children, command_of
from support.processes import Process
from support.stage import Stage


def test_a_new_process_waits_for_no_lock_of_its_parents_threads(stage: Stage, workers: Callable[..., Process]) -> None:
    """A chord is joined through a property with a lock, which its parent's threads hold as they tell the canvas."""
    worker = workers("--concurrency=1", "--hostname=w@h")
    main = worker.child.pid

    def pool() -> list[int]:
        return [pid for pid in children(main) if "engine.guardian" not in command_of(pid)]

    (first,) = wait_until(pool, "it has a process")
    looked = stage.yard.celery.control.broadcast
    wait_until(lambda: looked("trial_look", reply=True, limit=1, timeout=5), "a thread holds the lock")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: [pid for pid in pool() if pid != first], "it has another process")
    result = chord([stage.plain.multiply.s(n, 2) for n in range(2)])(stage.plain.total.s())
    assert result.get(timeout=50) == 2

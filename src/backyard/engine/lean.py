"""How a typed task runs whose success nobody but the ledger would hear of: without Celery's tracer around it.

That tracer takes as long as everything else around a short task. What it does beside running the function is for
receivers of signals, for hooks of task classes, and for a canvas. Where there are none, there is nothing of it to be
seen. Whatever a task raises goes to it all the same, and it sees to that as it always does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from celery import signals
from celery._state import _task_stack
from celery.app import trace
from celery.app.task import Context
from celery.loaders.base import BaseLoader

from backyard.engine import flight
from backyard.engine.attempt import run_attempt
from backyard.engine.current import current_attempt, raised_before, settled_later
from backyard.engine.task import BackyardTask

#: Runs a task; takes its id, its arguments and its request, and returns what Celery's tracer returns.
Tracer = Callable[[str, Any, Any, dict[str, Any]], Any]

#: What a task class may have to say before its function is called, and after its success.
HOOKS = ("before_start", "on_success", "after_return")
#: What Celery does not take for a header of a user's own; see ``Context._get_custom_headers``.
_CELERYS = frozenset({*vars(Context), "lang", "task", "argsrepr", "kwargsrepr", "compression"})
_CALL = BackyardTask.__call__
_DONE = trace.trace_ok_t(None, None, None, None)
_quiet: dict[Any, Tracer] = {}


def quiet_tracer(app: Any, task: Any, hostname: str) -> Tracer:
    """Return how a task runs without a line in the log for each success: Celery's way, or a leaner one."""
    found = _quiet.get(task)
    if found is None:
        level = trace.logger.level
        trace.logger.setLevel(logging.WARNING)  # looked at once, when it is built
        try:
            tracer = trace.build_tracer(task.name, task, app.loader, hostname, app=app)
        finally:
            trace.logger.setLevel(level)
        found = _quiet[task] = lean(app, task, tracer)
    return found


def lean(app: Any, task: Any, tracer: Tracer) -> Tracer:
    """Return the leanest way to run a task.

    Args:
        app: The yard's Celery app.
        task: The task.
        tracer: Celery's way.
    """
    return Lean(task, tracer) if is_fit(app, task) else tracer


def is_fit(app: Any, task: Any) -> bool:
    """Whether nothing of a task, or around it, has a say in how its function is called and its success is told."""
    return (
        task.yard_definition is not None
        and _is_celerys(trace.build_tracer)
        and type(task).__call__ is _CALL
        and not any(trace.task_has_custom(task, hook) for hook in HOOKS)
        and not task.track_started
        and all(
            getattr(type(app.loader), name) is getattr(BaseLoader, name)
            for name in ("on_task_init", "on_process_cleanup")
        )
    )


def _is_celerys(function: Any) -> bool:
    """Whether nobody has put something of their own in its place, as those do who measure tasks."""
    return type(function) is FunctionType and function.__code__.co_filename == trace.__file__


class Lean:
    """Runs one sort of task.

    Args:
        task: The task.
        tracer: Celery's way, for what is seen by others.
    """

    def __init__(self, task: Any, tracer: Tracer) -> None:
        self._task = task
        self._tracer = tracer

    def __call__(self, task_id: str, args: Any, kwargs: Any, request: dict[str, Any]) -> Any:
        """Run the task, as Celery's tracer does."""
        if is_seen(request):
            return self._tracer(task_id, args, kwargs, request)
        task, context = self._task, Context(request, called_directly=False)
        tasks, contexts = _task_stack.push(task), task.request_stack.push(context)
        try:
            result = run_attempt(task, args, kwargs)
            attempt = current_attempt(task_id)
            if attempt is None or not settled_later(task_id, task.backend.success(attempt, context)):
                task.backend.mark_as_done(task_id, result, context)
        except Exception as error:  # noqa: BLE001 - Celery's tracer catches as much
            raised = error
        else:
            return _DONE
        finally:
            flight.end()
            tasks.pop()
            contexts.pop()
        try:
            with raised_before(task_id, raised):
                return self._tracer(task_id, args, kwargs, vars(context))
        finally:
            del raised  # which leads to this frame


def is_seen(request: Mapping[str, Any]) -> bool:
    """Whether anybody would see that Celery's tracer has not run a task."""
    asks = request.get
    return bool(
        signals.task_prerun.receivers or signals.task_postrun.receivers or signals.task_success.receivers
        or asks("callbacks") or asks("errbacks") or asks("chain") or asks("chord") or asks("group")
        or asks("ignore_result") is not False
    )  # fmt: skip


def own_headers(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a request Celery's context takes for headers of a user's own, and would take long to find."""
    return {key: request[key] for key in request if key not in _CELERYS}

"""Backyard: the background-task platform for FastAPI."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backyard.app import Backyard
    from backyard.context import Context
    from backyard.core.errors import BackyardError, TaskCancelledError, TaskFailedError
    from backyard.core.models import File
    from backyard.core.states import State
    from backyard.core.wishes import GiveUp, Retry, Snooze
    from backyard.handle import TaskHandle
    from backyard.settings import Settings

__all__ = [
    "Backyard",
    "BackyardError",
    "Context",
    "File",
    "GiveUp",
    "Retry",
    "Settings",
    "Snooze",
    "State",
    "TaskCancelledError",
    "TaskFailedError",
    "TaskHandle",
]

#: Where each public name lives. It is imported when it is first asked for, so that ``backyard --help`` need not wait.
_HOMES = {
    "Backyard": "backyard.app",
    "BackyardError": "backyard.core.errors",
    "Context": "backyard.context",
    "File": "backyard.core.models",
    "GiveUp": "backyard.core.wishes",
    "Retry": "backyard.core.wishes",
    "Settings": "backyard.settings",
    "Snooze": "backyard.core.wishes",
    "State": "backyard.core.states",
    "TaskCancelledError": "backyard.core.errors",
    "TaskFailedError": "backyard.core.errors",
    "TaskHandle": "backyard.handle",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'backyard' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})

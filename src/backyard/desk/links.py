"""Where things are, as the client that asks sees it: behind its proxy, and under the yard's prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from backyard.core.models import TaskView

if TYPE_CHECKING:
    from backyard.app import Backyard


def base_of(yard: Backyard, connection: HTTPConnection) -> str:
    """Return what the paths of the yard's routes begin with, for this client.

    Args:
        yard: The yard.
        connection: The request; its ``root_path`` is what a proxy, or an app around this one, has taken away.
    """
    root: str = connection.scope.get("root_path", "")
    return root.rstrip("/") + yard.prefix


def linked(view: TaskView, base: str) -> TaskView:
    """Return a task with links that lead to where the client sees the routes.

    Args:
        view: The task.
        base: What the paths begin with.
    """
    if not base or not view.artifacts:
        return view
    artifacts = [one.model_copy(update={"url": base + one.url}) for one in view.artifacts]
    return view.model_copy(update={"artifacts": artifacts})

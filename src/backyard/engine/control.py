"""Celery's remote control, with the ledger told as well."""

from __future__ import annotations

from typing import Any

from celery.app.control import Control as CeleryControl


class Control(CeleryControl):
    """Remote control of a yard's workers."""

    def revoke(self, task_id: Any, *args: Any, **options: Any) -> Any:
        """Cancel tasks in the ledger, where it holds with no worker up as well; then tell the workers, as Celery does.

        As everywhere in Celery, what the tasks have submitted is left alone, and one that runs is told, and killed only
        where ``terminate`` asks for it.

        Args:
            task_id: An id, or a list of ids.
            args: As for Celery.
            options: ``terminate``, ``signal`` and others, as for Celery.

        Raises:
            LedgerUnavailableError: The server is away.
        """
        ids = [str(one) for one in (task_id if isinstance(task_id, list | tuple | set) else [task_id])]
        if ids:
            self.app.services.ledger.cancel(ids, children=False, gentle=True)
        return super().revoke(task_id, *args, **options)

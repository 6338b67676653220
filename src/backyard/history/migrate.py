"""The history's tables brought up to date, step by step; the steps are in ``migrations/versions``.

Steps are progressive: what an older version needs stays as long as one may run beside the newer.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from backyard.history.database import History

_LOCK = 0x6261636B  # any number, the same for all that migrate


def migrate(history: History) -> list[str]:
    """Bring a history up to date; returns the steps that were made.

    Args:
        history: The history; a new database is given all its tables.

    Raises:
        HistoryUnavailableError: The database is away, or allows no tables to be made.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with history.writing() as connection:
        if history.schema is not None:
            # One at a time, also where a database has several yards.
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{history.schema}"'))
        before = _current(connection)
        config = _config(connection)
        command.upgrade(config, "head")
        made = [step.revision for step in ScriptDirectory.from_config(config).iterate_revisions("head", before)]
        return [str(one) for one in reversed(made)]


def is_current(history: History) -> bool:
    """Whether a history is up to date.

    Raises:
        HistoryUnavailableError: The database is away.
    """
    with history.reading() as connection:
        return _current(connection) == ScriptDirectory.from_config(_config(connection)).get_current_head()


def _current(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection)
    return context.get_current_revision()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    attributes: dict[str, Any] = config.attributes
    attributes["connection"] = connection
    return config

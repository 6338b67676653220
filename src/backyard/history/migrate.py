"""The history's tables brought up to date, step by step; the steps are in ``migrations/versions``.

Steps are progressive: what an older version needs stays as long as one may run beside the newer.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, column, inspect, select, table, text

from backyard.history.database import History

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK = 0x6261636B  # any number, the same for all that migrate
_STEPS = Path(__file__).parent / "migrations"
#: Where Alembic keeps the step that a database is at.
_AT = table("alembic_version", column("version_num"))


def migrate(history: History) -> list[str]:
    """Bring a history up to date; returns the steps that were made.

    Args:
        history: The history; a new database is given all its tables.

    Raises:
        HistoryUnavailableError: The database is away, or allows no tables to be made.
    """
    if is_current(history):
        return []
    # It takes a tenth of a second and 9 MB, and keepers seldom find a step to make.
    from alembic import command  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    logging.getLogger("alembic").setLevel(logging.WARNING)
    with history.writing() as connection:
        if history.schema is not None:
            # One at a time, also where a database has several yards.
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{history.schema}"'))
        before = _step_of(connection)
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
        return _step_of(connection) == newest_step()


def newest_step() -> str:
    """Return the last step: files are named after their steps, which are numbered."""
    return max(path.name for path in (_STEPS / "versions").glob("[0-9]*.py")).partition("_")[0]


def _step_of(connection: Connection) -> str | None:
    """Return the step that a database is at; None where it has no tables."""
    if not inspect(connection).has_table(_AT.name):
        return None
    step = connection.execute(select(_AT.c.version_num)).scalar_one_or_none()
    return None if step is None else str(step)


def _config(connection: Connection) -> Config:
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(_STEPS).replace("%", "%%"))
    attributes: dict[str, Any] = config.attributes
    attributes["connection"] = connection
    return config

"""Run by Alembic for each migration; the connection comes from :mod:`backyard.history.migrate`."""

from __future__ import annotations

from alembic import context

from backyard.history.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()

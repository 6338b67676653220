"""The durable past, in SQL: SQLite by default, PostgreSQL by URL. SQLAlchemy is spoken here and nowhere else."""

from __future__ import annotations

from backyard.history.database import History

__all__ = ["History"]

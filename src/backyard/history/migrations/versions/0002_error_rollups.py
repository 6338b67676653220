"""What each error group did over time; the trail by actor, by verb."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table, which begins empty, and the indexes."""
    op.create_table(
        "error_rollups",
        sa.Column("resolution", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.String(length=255), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("resolution", "start", "fingerprint"),
        sqlite_with_rowid=False,
    )
    of_one = ["fingerprint", "resolution", "start", "count"]
    op.create_index("error_rollups_fingerprint", "error_rollups", of_one, unique=False)
    op.create_index("audit_actor", "audit", ["actor", "event"], unique=False)
    op.create_index("audit_verb", "audit", ["verb", "event"], unique=False)

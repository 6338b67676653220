"""What happened in each period to all tasks together."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_COUNTED = ("submitted", "started", "succeeded", "failed", "revoked", "retried", "lost")
_HISTOGRAMS = ("waits", "runs")


def upgrade() -> None:
    """Make the table, and fill it from the sums of each definition.

    A keeper of an older version adds nothing to it: what such a one still records is missing there.
    """
    made = op.create_table(
        "yard_rollups",
        sa.Column("resolution", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _COUNTED),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _HISTOGRAMS),
        sa.PrimaryKeyConstraint("resolution", "start"),
        sqlite_with_rowid=False,
    )
    rows = _summed()
    if rows:
        op.bulk_insert(made, rows)


def _summed() -> list[dict[str, Any]]:
    names = (*_COUNTED, *_HISTOGRAMS)
    of_definitions = sa.table("rollups", *map(sa.column, ("resolution", "start", *names)))
    counts: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    histograms: dict[tuple[int, int, str], Counter[str]] = defaultdict(Counter)
    for row in op.get_bind().execute(sa.select(of_definitions)).mappings():
        period = row["resolution"], row["start"]
        counts[period].update({name: row[name] for name in _COUNTED})
        for name in _HISTOGRAMS:
            histograms[*period, name].update(json.loads(row[name]))
    return [
        {
            "resolution": resolution, "start": start, **{name: count[name] for name in _COUNTED},
            **{name: json.dumps(histograms[resolution, start, name], separators=(",", ":")) for name in _HISTOGRAMS},
        }
        for (resolution, start), count in counts.items()
    ]  # fmt: skip

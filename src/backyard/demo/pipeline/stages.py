"""The stages of the pipeline, in order: read, clean, join, group, publish."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import polars as pl

from backyard import Context
from backyard.core.errors import InvalidInputError
from backyard.demo.pipeline.cleaning import label
from backyard.demo.pipeline.models import Group, PipelineResult
from backyard.demo.pipeline.reference import countries
from backyard.demo.pipeline.source import COLUMNS, open_table, readable

STAGES = 5


@dataclass(frozen=True)
class Tables:
    """Where each stage leaves its table."""

    labelled: Path
    orders: Path
    rejected: Path
    summary: Path

    @classmethod
    def within(cls, folder: Path) -> Self:
        """Name the tables of one run."""
        return cls(
            folder / "labelled.parquet", folder / "orders.parquet", folder / "rejected.parquet", folder / "summary.csv"
        )


def run(ctx: Context, source: Path, folder: Path) -> PipelineResult:
    """Take a table through all stages.

    Args:
        ctx: The running task.
        source: The input, CSV or Parquet.
        folder: An empty folder for what lies between the stages.

    Raises:
        InvalidInputError: The input is no usable table.
    """
    tables = Tables.within(folder)
    ctx.progress(0, STAGES, "Reading")
    table, rows_in = open_table(source)
    ctx.progress(1, STAGES, f"Cleaning {rows_in:,} rows")
    with readable():
        label(table).sink_parquet(tables.labelled)
    ctx.progress(2, STAGES, "Joining with countries")
    join(tables)
    ctx.progress(3, STAGES, "Grouping by region, country and month")
    group(tables)
    reasons = set_aside(tables)
    rows_out = count(tables.orders)
    rows_rejected = check_accounts(rows_in, rows_out, reasons, tables)
    regions = totals(tables)
    ctx.progress(4, STAGES, "Publishing")
    result = PipelineResult(
        rows_in=rows_in,
        rows_out=rows_out,
        rows_rejected=rows_rejected,
        rejected=reasons,
        regions=regions,
        revenue=round(sum(region.revenue for region in regions), 4),
        orders_url=ctx.save("orders.parquet", tables.orders),
        summary_url=ctx.save("summary.csv", tables.summary, content_type="text/csv"),
        rejected_url=ctx.save("rejected.parquet", tables.rejected),
    )
    ctx.progress(STAGES, STAGES, f"{rows_out:,} rows passed, {rows_rejected:,} rejected")
    return result


def join(tables: Tables) -> None:
    """Write the clean rows, typed, each with its country's name, region and tax."""
    clean = pl.scan_parquet(tables.labelled).filter(pl.col("reason").is_null())
    typed = clean.select(
        "order_id",
        pl.col("day").alias("ordered_on"),
        pl.col("code"),
        "category",
        pl.col("units").alias("quantity"),
        pl.col("price").alias("unit_price"),
        revenue=pl.col("units") * pl.col("price"),
    )
    joined = typed.join(countries().lazy(), on="code", how="left", maintain_order="left", validate="m:1")
    vat = (pl.col("revenue") * pl.col("vat_percent") / 100).round(2)
    joined.with_columns(vat=vat).rename({"code": "country_code"}).sink_parquet(tables.orders)


def group(tables: Tables) -> None:
    """Write orders, units, revenue and tax by region, country and month."""
    month = pl.col("ordered_on").dt.to_string("%Y-%m").alias("month")
    grouped = pl.scan_parquet(tables.orders).group_by("region", "country", month)
    summary = grouped.agg(
        orders=pl.len(), units=pl.col("quantity").sum(), revenue=pl.col("revenue").sum(), vat=pl.col("vat").sum()
    )
    summary.sort("region", "country", "month").sink_csv(tables.summary)


def set_aside(tables: Tables) -> dict[str, int]:
    """Write the rejected rows as they came, and count them by reason, most frequent first."""
    rejected = pl.scan_parquet(tables.labelled).filter(pl.col("reason").is_not_null())
    rejected.select("row", "reason", *COLUMNS).sink_parquet(tables.rejected)
    counts = pl.scan_parquet(tables.rejected).group_by("reason").len().sort(["len", "reason"], descending=[True, False])
    return dict(counts.collect(engine="streaming").iter_rows())


def totals(tables: Tables) -> list[Group]:
    """Add up orders and revenue by region, largest revenue first."""
    by_region = pl.scan_parquet(tables.orders).group_by("region").agg(orders=pl.len(), revenue=pl.col("revenue").sum())
    rows = by_region.sort(["revenue", "region"], descending=[True, False]).collect(engine="streaming")
    return [Group(region=region, orders=orders, revenue=float(revenue)) for region, orders, revenue in rows.iter_rows()]


def count(path: Path) -> int:
    """Count the rows of a Parquet file from its own footer."""
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())


def check_accounts(rows_in: int, rows_out: int, reasons: dict[str, int], tables: Tables) -> int:
    """Check that no row was lost or doubled, by counting what was written rather than what was meant.

    Returns:
        The number of rejected rows.

    Raises:
        InvalidInputError: The counts do not add up: rows were read differently when counted and when cleaned.
    """
    rejected = count(tables.rejected)
    if rows_in != rows_out + rejected or rejected != sum(reasons.values()):
        raise InvalidInputError(
            f"{rows_in:,} rows came in, {rows_out:,} passed and {rejected:,} were rejected, which does not add up. "
            "Nothing was published. The file probably holds an unclosed quote; check it and submit it again."
        )
    return rejected

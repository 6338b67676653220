"""Which rows can be used, and why the others cannot: one reason a row, the first that applies."""

import polars as pl

from backyard.demo.pipeline.reference import countries
from backyard.demo.pipeline.source import COLUMNS

LONGEST_VALUE = 200
LARGEST_QUANTITY = 1_000_000
EARLIEST, LATEST = pl.date(1970, 1, 1), pl.date(2100, 12, 31)
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def label(table: pl.LazyFrame) -> pl.LazyFrame:
    """Add typed columns and a ``reason`` to every row; no row is dropped here.

    Args:
        table: The six columns as text, with their row number.

    Returns:
        The same rows with ``day``, ``units``, ``price`` and ``code``, and the reason why a row cannot be used or null.
    """
    trimmed = table.with_columns(pl.col(COLUMNS).str.strip_chars())
    judged = trimmed.with_columns(**_typed()).with_columns(reason=_reason())
    # A doubled order is one whose id an earlier usable row has: rows that fell out before do not count.
    key = pl.when(pl.col("reason").is_null()).then(pl.col("order_id"))
    doubled = pl.col("reason").is_null() & ~key.is_first_distinct()
    return judged.with_columns(reason=pl.when(doubled).then(pl.lit("duplicate_order")).otherwise(pl.col("reason")))


def _typed() -> dict[str, pl.Expr]:
    # Shapes are checked before casting: polars also reads 2025-1-2 and 1e5, and rounds what has too many places.
    day, quantity, price = pl.col("ordered_on"), pl.col("quantity"), pl.col("unit_price")
    return {
        "day": _matching(day, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$").str.to_date("%Y-%m-%d", strict=False),
        "units": _matching(quantity, r"^[0-9]{1,9}(\.0+)?$").str.extract("^([0-9]+)", 1).cast(pl.Int64, strict=False),
        "price": _matching(price, r"^[0-9]{1,9}(\.[0-9]{1,4})?$").cast(pl.Decimal(18, 4), strict=False),
        "code": pl.col("country").str.to_uppercase(),
    }


def _matching(column: pl.Expr, pattern: str) -> pl.Expr:
    return pl.when(column.str.contains(pattern)).then(column)


def _reason() -> pl.Expr:
    """Return the first reason that applies to a row, or null."""
    texts = pl.col(COLUMNS)
    known = countries().get_column("code").to_list()
    rules = {
        "empty_row": pl.all_horizontal(texts.is_null() | (texts == "")),
        "not_utf8": pl.any_horizontal(texts.str.contains(REPLACEMENT, literal=True)),
        "missing_value": pl.any_horizontal(texts.is_null() | (texts == "")),
        "too_long": pl.any_horizontal(texts.str.len_chars() > LONGEST_VALUE),
        "bad_date": pl.col("day").is_null() | ~pl.col("day").is_between(EARLIEST, LATEST),
        "bad_quantity": pl.col("units").is_null() | ~pl.col("units").is_between(1, LARGEST_QUANTITY),
        "bad_price": pl.col("price").is_null(),
        "unknown_country": ~pl.col("code").is_in(known),
    }
    # any_horizontal answers null where it saw a null and no true; such a rule did not apply.
    return pl.coalesce(pl.when(rule.fill_null(value=False)).then(pl.lit(name)) for name, rule in rules.items())

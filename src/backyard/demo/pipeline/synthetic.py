"""Orders that look real, three in a hundred of them bad, the same ones on every run."""

from pathlib import Path

import polars as pl

from backyard.demo.pipeline.reference import countries

CATEGORIES = ("books", "coffee", "garden", "kitchen", "lighting", "office", "outdoor", "toys")
FIRST_DAY = pl.date(2025, 1, 1)
DAYS = 365

#: One row in 200 is bad in each of these ways.
EVERY = 200


def write_orders(path: Path, rows: int) -> None:
    """Write generated orders as CSV.

    Row number i is bad when i modulo 200 is 7, 41, 77, 111, 149 or 183, each in a way of its own, so that the
    number of rows the pipeline has to reject is known beforehand.

    Args:
        path: Where to write.
        rows: How many rows, header not counted.
    """
    number = pl.int_range(rows, dtype=pl.UInt64)
    orders = pl.select(number=number).lazy().with_columns(slot=pl.col("number") % EVERY, **_draws())
    orders.select(**_columns()).sink_csv(path)


def _draws() -> dict[str, pl.Expr]:
    """Independent-looking numbers by row: the top bits of a multiplicative hash (Knuth, TAOCP 3, 6.4)."""
    multipliers = {"day": 2_654_435_761, "place": 2_246_822_519, "kind": 3_266_489_917, "count": 668_265_263}
    mixed = {name: (pl.col("number") * factor % 2**32) // 2**8 for name, factor in multipliers.items()}
    return {**mixed, "cents": (pl.col("number") * 374_761_393 % 2**32) // 2**8 % 19_900 + 100}


def _columns() -> dict[str, pl.Expr]:
    codes = pl.lit(pl.Series(countries().get_column("code").to_list()))
    categories = pl.lit(pl.Series(CATEGORIES))
    cents = pl.col("cents")
    price = pl.concat_str(cents // 100, pl.lit("."), (cents % 100).cast(pl.String).str.pad_start(2, "0"))
    day = (FIRST_DAY + pl.duration(days=pl.col("day") % DAYS)).dt.to_string("%Y-%m-%d")
    country = codes.gather(pl.col("place") % codes.len())
    previous = pl.when(_slot(7)).then(pl.col("number") - 1).otherwise(pl.col("number"))
    return {
        "order_id": pl.concat_str(pl.lit("A"), previous.cast(pl.String).str.pad_start(8, "0")),
        "ordered_on": pl.when(_slot(41)).then(pl.lit("2025-02-30")).otherwise(day),
        "country": pl.when(_slot(77)).then(pl.lit("XX")).otherwise(country),
        "category": pl.when(_slot(111)).then(None).otherwise(categories.gather(pl.col("kind") % len(CATEGORIES))),
        "quantity": pl.when(_slot(149)).then(pl.lit("0")).otherwise((pl.col("count") % 12 + 1).cast(pl.String)),
        "unit_price": pl.when(_slot(183)).then(pl.lit("n/a")).otherwise(price),
    }


def _slot(value: int) -> pl.Expr:
    return pl.col("slot") == value

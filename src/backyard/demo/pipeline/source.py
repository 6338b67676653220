"""Opening an uploaded table: what it is, whether it has the columns, how many rows it has."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from backyard.core.errors import InvalidInputError
from backyard.demo.pipeline.models import MAX_ROWS

COLUMNS = ("order_id", "ordered_on", "country", "category", "quantity", "unit_price")
PARQUET_MAGIC = b"PAR1"
#: Longest header line looked at, in bytes.
HEADER_LIMIT = 65_536


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Turn what polars says about a broken file into a sentence about the file.

    Raises:
        InvalidInputError: The file cannot be read as a table.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInputError(
            f"The file cannot be read as a table: {reason}. Upload a CSV with a header line, or a Parquet file."
        ) from error


def open_table(path: Path) -> tuple[pl.LazyFrame, int]:
    """Open a CSV or Parquet file, whatever its name.

    Args:
        path: The file.

    Returns:
        The rows with the six columns as text and their number as ``row``, from 1; and how many rows there are.

    Raises:
        InvalidInputError: The file is empty, is no table, lacks a column, or has more than a million rows.
    """
    with path.open("rb") as file:
        head = file.read(HEADER_LIMIT)
    if not head.strip():
        raise InvalidInputError("The file is empty. Upload a CSV with a header line, or a Parquet file.")
    with readable():
        table = _scan_parquet(path) if head.startswith(PARQUET_MAGIC) else _scan_csv(path, head)
        rows = int(table.select(pl.len()).collect(engine="streaming").item())
    if rows > MAX_ROWS:
        raise InvalidInputError(
            f"The file has {rows:,} rows and the limit is {MAX_ROWS:,}. Split it and submit the parts."
        )
    return table.with_row_index("row", offset=1), rows


def _scan_csv(path: Path, head: bytes) -> pl.LazyFrame:
    first = head.partition(b"\n")[0]
    separator = max(",;\t", key=lambda mark: first.count(mark.encode()))
    # Bytes that are no UTF-8 become U+FFFD, and rows that hold it are rejected one by one.
    table = pl.scan_csv(
        path, separator=separator, infer_schema=False, encoding="utf8-lossy", truncate_ragged_lines=True, glob=False
    )
    return _chosen(table)


def _scan_parquet(path: Path) -> pl.LazyFrame:
    table = _chosen(pl.scan_parquet(path, glob=False, hive_partitioning=False))
    return table.with_columns(_as_text(name, kind) for name, kind in table.collect_schema().items())


def _as_text(name: str, kind: pl.DataType) -> pl.Expr:
    """Write a typed column as the CSV would have it."""
    column = pl.col(name)
    if kind.is_temporal():
        column = column.cast(pl.Date, strict=False)
    elif kind.is_float():
        # A binary fraction such as 0.30000000000000004 means 0.3; four places are what a price may have.
        column = column.cast(pl.Decimal(24, 4), strict=False)
    elif kind.is_nested() or kind == pl.Binary:
        raise InvalidInputError(
            f"The column '{name}' holds {kind}, which is no plain value. Use text, numbers or dates."
        )
    return column.cast(pl.String)


def _chosen(table: pl.LazyFrame) -> pl.LazyFrame:
    """Keep the columns that are used, found under any capitalization."""
    found = list(table.collect_schema())
    names = [name.strip().lower() for name in found]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        shown = ", ".join(name[:40] for name in found[:12])
        raise InvalidInputError(f"The file lacks the columns {', '.join(missing)}. Its first line has: {shown}.")
    doubled = [name for name in COLUMNS if names.count(name) > 1]
    if doubled:
        raise InvalidInputError(f"The file has the columns {', '.join(doubled)} twice. Remove one of each.")
    return table.select(pl.col(found[names.index(name)]).alias(name) for name in COLUMNS)

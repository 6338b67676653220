"""``run_pipeline``: cleans, joins and groups up to a million orders."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from backyard import Context, File
from backyard.demo.demo_yard import yard
from backyard.demo.libraries import need
from backyard.demo.pipeline.models import MAX_ROWS, PipelineResult


@yard.task(timeout=300, example={"rows": 10_000})
def run_pipeline(
    ctx: Context,
    file: Annotated[
        File | None,
        Field(
            description="CSV or Parquet with the columns order_id, ordered_on, country, category, quantity and "
            "unit_price, at most 1,000,000 rows. Without one, orders are generated."
        ),
    ] = None,
    rows: Annotated[
        int, Field(ge=1, le=MAX_ROWS, description="Orders to generate when there is no file; 3 in 100 of them are bad")
    ] = 10_000,
) -> PipelineResult:
    """Clean, join and group a table of orders.

    Rows that cannot be used (missing values, impossible dates, quantities or prices, unknown countries, doubled
    orders) are set aside with their reason; the others are joined with their country's region and tax rate and
    grouped by region, country and month. Every row is accounted for. Runs on polars, streaming, within 1 GiB.
    """
    need("run_pipeline", "polars")
    from backyard.demo.pipeline import stages  # noqa: PLC0415 - needs polars, which only the worker must have

    with tempfile.TemporaryDirectory(prefix="backyard-pipeline-") as name, _source(ctx, file, rows, Path(name)) as path:
        return stages.run(ctx, path, Path(name))


@contextlib.contextmanager
def _source(ctx: Context, file: File | None, rows: int, folder: Path) -> Iterator[Path]:
    """Give the input as a local path: the uploaded file, or generated orders."""
    if file is not None:
        with ctx.path(file) as path:
            yield path
        return
    from backyard.demo.pipeline import synthetic  # noqa: PLC0415 - as above

    path = folder / "generated.csv"
    synthetic.write_orders(path, rows)
    yield path

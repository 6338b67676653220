"""The reference table that orders are joined with."""

import io
from importlib import resources

import polars as pl


def countries() -> pl.DataFrame:
    """Return the known countries: code, name, region and standard VAT rate in percent."""
    data = resources.files("backyard.demo.pipeline").joinpath("countries.csv").read_bytes()
    return pl.read_csv(io.BytesIO(data), schema_overrides={"vat_percent": pl.Decimal(5, 2)})

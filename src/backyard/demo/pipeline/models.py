"""What comes out of the pipeline."""

from pydantic import BaseModel, Field

MAX_ROWS = 1_000_000


class Group(BaseModel):
    """One line of the summary: a region's orders."""

    region: str
    orders: int
    revenue: float = Field(description="Sum of quantity times unit price, without tax")


class PipelineResult(BaseModel):
    """What became of the rows. ``rows_in`` is always ``rows_out`` plus ``rows_rejected``."""

    rows_in: int = Field(description="Rows of the input, header not counted")
    rows_out: int = Field(description="Rows that passed, all in orders.parquet")
    rows_rejected: int = Field(description="Rows that did not, all in rejected.parquet with their reason")
    rejected: dict[str, int] = Field(description="Rejected rows by reason; each row counts once, for its first reason")
    regions: list[Group] = Field(description="Totals by region, largest revenue first")
    revenue: float = Field(description="Total revenue of the rows that passed, without tax")
    orders_url: str = Field(description="Clean rows joined with their country, as Parquet")
    summary_url: str = Field(description="Orders, units and revenue by region, country and month, as CSV")
    rejected_url: str = Field(description="Rejected rows as they came, with row number and reason, as Parquet")

"""``build_report``: a table of sales becomes a PDF with charts and a workbook with formulas."""

from decimal import Decimal
from importlib import resources
from typing import Annotated

from pydantic import BaseModel, Field

from backyard import Context, File
from backyard.demo.demo_yard import yard
from backyard.demo.libraries import need
from backyard.demo.report import table


class ReportResult(BaseModel):
    """What the report says in short, and where it is."""

    rows: int = Field(description="Sales in the report")
    pages: int = Field(description="Pages of the PDF")
    units: int = Field(description="Units sold")
    revenue: Decimal = Field(description="Sum of quantity times unit price")
    revenue_by_region: dict[str, Decimal] = Field(description="The same by region, largest first")
    encoding: str = Field(description="How the file's bytes were read: utf-8 or latin-1")
    pdf_url: str = Field(description="Where to download report.pdf")
    workbook_url: str = Field(description="Where to download report.xlsx")


@yard.task(timeout=300, example={"title": "Garden shop 2025", "currency": "EUR"})
def build_report(
    ctx: Context,
    file: Annotated[
        File | None,
        Field(
            description="CSV with the columns date, region, product, quantity and unit_price, at most 20,000 rows. "
            "Without one, the bundled sales of a garden shop are used."
        ),
    ] = None,
    title: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")] = "Sales report",
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$", description="Currency code of the prices")] = "EUR",
) -> ReportResult:
    """Make a PDF with charts and an XLSX with formulas from a table of sales.

    Both are artifacts of the task. Progress is reported page by page. A file that cannot be used ends the task
    with the numbers of the lines that are wrong and what is wrong with them.
    """
    need("build_report", "reportlab", "matplotlib", "openpyxl")
    # These need the libraries, which only the worker must have.
    from backyard.demo.report import pdf, workbook  # noqa: PLC0415

    rows, encoding = table.parse(_content(ctx, file))
    sales = table.Sales.of(rows)
    pages = pdf.page_count(sales)
    steps = pages + 1
    document = pdf.render(sales, title, currency, lambda page: ctx.progress(page, steps, f"Page {page} of {pages}"))
    ctx.progress(pages, steps, "Writing the workbook")
    book = workbook.render(sales, title, currency)
    result = ReportResult(
        rows=len(rows),
        pages=pages,
        units=sales.units,
        revenue=sales.revenue,
        revenue_by_region=sales.by("region"),
        encoding=encoding,
        pdf_url=ctx.save("report.pdf", document, content_type="application/pdf"),
        workbook_url=ctx.save("report.xlsx", book, content_type=workbook.CONTENT_TYPE),
    )
    ctx.progress(steps, steps, f"{pages} pages and a workbook")
    return result


def _content(ctx: Context, file: File | None) -> bytes:
    """Read the uploaded file, one byte further than allowed, or the bundled one."""
    if file is None:
        return resources.files("backyard.demo.report").joinpath("sales.csv").read_bytes()
    with ctx.open(file) as stream:
        return stream.read(table.MAX_BYTES + 1)

"""The PDF: a page of key figures, a page of products, then every sale."""

import io
from collections.abc import Callable, Sequence
from decimal import Decimal

from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from backyard.demo.report import charts
from backyard.demo.report.pages import BOLD, HEIGHT, LEFT, REGULAR, RIGHT, TOP, Pages, fit, register_fonts, shrunk
from backyard.demo.report.periods import MONTHS_A_YEAR, Periods
from backyard.demo.report.style import ACCENT, BAND, INK, MOST_SERIES, MUTED, RULE, amount, largest
from backyard.demo.report.table import Sale, Sales

WIDE = RIGHT - LEFT
LINE = 5.1 * mm
ROWS_A_PAGE = 45
SUMMARY_PAGES = 2
MOST_ENTRIES = 12
NO_SHARE = Decimal(0)

#: Where the detail's columns begin (or end, for numbers), and how wide their texts may be, in points.
DAY, REGION, PRODUCT = LEFT + 2 * mm, LEFT + 26 * mm, LEFT + 60 * mm
REGION_WIDE, PRODUCT_WIDE, FIGURE_WIDE = 31 * mm, 45 * mm, 20 * mm
UNITS, PRICE, REVENUE = LEFT + 122 * mm, LEFT + 144 * mm, RIGHT - 2 * mm


def page_count(sales: Sales) -> int:
    """Return how many pages the document will have."""
    return SUMMARY_PAGES + -(-len(sales.rows) // ROWS_A_PAGE)


def render(sales: Sales, title: str, currency: str, done: Callable[[int], None]) -> bytes:
    """Make the document.

    Args:
        sales: The rows.
        title: Title of the document.
        currency: Currency code of the prices.
        done: Called with the number of each page that is finished.

    Returns:
        The PDF's bytes.
    """
    register_fonts()
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(RIGHT + LEFT, HEIGHT), pageCompression=1)
    canvas.setTitle(title)
    canvas.setSubject(f"Sales from {sales.first_day} to {sales.last_day}")
    canvas.setCreator("Backyard")
    pages = Pages(canvas, title, page_count(sales))
    for draw in (_summary, _products):
        draw(pages, sales, currency)
        pages.end()
        done(pages.number)
    so_far = Decimal(0)
    for start in range(0, len(sales.rows), ROWS_A_PAGE):
        rows = sales.rows[start : start + ROWS_A_PAGE]
        so_far += sum((row.revenue for row in rows), Decimal(0))
        last = start + len(rows) == len(sales.rows)
        if start == 0:
            pages.mark("All sales")
        _detail(pages, rows, ("Total" if last else "Carried forward", so_far), currency)
        pages.end()
        done(pages.number)
    canvas.save()
    return buffer.getvalue()


def _summary(pages: Pages, sales: Sales, currency: str) -> None:
    pages.begin("Summary")
    pages.mark("Summary")
    pages.box(LEFT, HEIGHT - 31 * mm, 2 * mm, 13 * mm, ACCENT)
    pages.text(LEFT + 6 * mm, HEIGHT - 24 * mm, fit(pages.title, BOLD, 20, WIDE - 6 * mm), size=20, bold=True)
    period = f"{_long(sales.first_day)} to {_long(sales.last_day)}"
    pages.text(LEFT + 6 * mm, HEIGHT - 30.5 * mm, f"{period} · amounts in {currency}", size=9, color=MUTED)
    _tiles(pages, sales, HEIGHT - 60 * mm)
    unit = "year" if Periods.of(sales).months == MONTHS_A_YEAR else "month"
    _heading(pages, HEIGHT - 74 * mm, f"Revenue by {unit} and region, in {currency}")
    _picture(pages, charts.revenue_over_time(sales, WIDE, 104 * mm), HEIGHT - 181 * mm, 104 * mm)
    _heading(pages, HEIGHT - 195 * mm, f"Revenue by region, in {currency}")
    _shares(pages, HEIGHT - 203 * mm, largest(sales.by("region"), MOST_SERIES), sales.revenue, "Region")


def _products(pages: Pages, sales: Sales, currency: str) -> None:
    pages.begin("Products")
    pages.mark("Products")
    rows = largest(sales.by("product"), MOST_ENTRIES)
    _heading(pages, TOP, f"Revenue by product, in {currency}")
    height = (12 + 10 * len(rows)) * mm
    _picture(pages, charts.ranking(rows, WIDE, height), TOP - height - 4 * mm, height)
    _shares(pages, TOP - height - 14 * mm, rows, sales.revenue, "Product")


def _tiles(pages: Pages, sales: Sales, y: float) -> None:
    """Draw the four key figures side by side."""
    figures = (
        ("Revenue", amount(sales.revenue)),
        ("Sales", f"{len(sales.rows):,}"),
        ("Units", f"{sales.units:,}"),
        ("Average sale", amount(sales.revenue / len(sales.rows))),
    )
    gap = 4 * mm
    wide = (WIDE - 3 * gap) / 4
    for place, (name, figure) in enumerate(figures):
        x = LEFT + place * (wide + gap)
        pages.box(x, y, wide, 20 * mm, BAND)
        pages.box(x, y + 20 * mm - 0.8 * mm, wide, 0.8 * mm, ACCENT)
        pages.text(x + 4 * mm, y + 13 * mm, name, size=8, color=MUTED)
        pages.text(x + 4 * mm, y + 5 * mm, figure, size=shrunk(figure, BOLD, 13, wide - 8 * mm), bold=True)


def _shares(pages: Pages, y: float, rows: Sequence[tuple[str, Decimal]], whole: Decimal, name: str) -> None:
    """Draw a table of amounts and shares of the whole, each share as a bar as well."""
    bar, most = LEFT + 118 * mm, 40 * mm
    pages.text(LEFT + 2 * mm, y, name, size=7.5, bold=True, color=MUTED)
    pages.text(LEFT + 110 * mm, y, "Revenue", size=7.5, bold=True, color=MUTED, align="right")
    pages.text(RIGHT - 2 * mm, y, "Share", size=7.5, bold=True, color=MUTED, align="right")
    pages.rule(y - 2 * mm, MUTED)
    for entry, value in rows:
        y -= 1.3 * LINE
        share = value / whole if whole else NO_SHARE
        pages.text(LEFT + 2 * mm, y, fit(entry, REGULAR, 8.5, 72 * mm), size=8.5)
        pages.text(LEFT + 110 * mm, y, amount(value), size=8.5, align="right")
        pages.box(bar, y - 0.4 * mm, most, 3 * mm, RULE)
        pages.box(bar, y - 0.4 * mm, most * float(share), 3 * mm, ACCENT)
        pages.text(RIGHT - 2 * mm, y, f"{share:.1%}", size=8.5, align="right")
    pages.rule(y - 2.4 * mm, MUTED)
    pages.text(LEFT + 2 * mm, y - 1.3 * LINE, "Total", size=8.5, bold=True)
    pages.text(LEFT + 110 * mm, y - 1.3 * LINE, amount(whole), size=8.5, bold=True, align="right")


def _detail(pages: Pages, rows: list[Sale], closing: tuple[str, Decimal], currency: str) -> None:
    """Draw one page of sales and its closing line."""
    pages.begin("All sales")
    _columns(pages, TOP, currency)
    for place, row in enumerate(rows):
        y = TOP - (place + 1) * LINE - 1 * mm
        if place % 2:
            pages.box(LEFT, y - 1.5 * mm, WIDE, LINE, BAND)
        _line(pages, y, row)
    y = TOP - (len(rows) + 1) * LINE - 1 * mm
    pages.rule(y + 3.6 * mm, MUTED)
    pages.text(DAY, y - 0.6 * mm, closing[0], bold=True)
    pages.text(REVENUE, y - 0.6 * mm, amount(closing[1]), bold=True, align="right")


def _columns(pages: Pages, y: float, currency: str) -> None:
    for x, name in ((DAY, "Date"), (REGION, "Region"), (PRODUCT, "Product")):
        pages.text(x, y, name, size=7.5, bold=True, color=MUTED)
    for x, name in ((UNITS, "Quantity"), (PRICE, "Unit price"), (REVENUE, f"Revenue ({currency})")):
        pages.text(x, y, name, size=7.5, bold=True, color=MUTED, align="right")
    pages.rule(y - 2 * mm, MUTED)


def _line(pages: Pages, y: float, row: Sale) -> None:
    pages.text(DAY, y, row.day.isoformat())
    pages.text(REGION, y, fit(row.region, REGULAR, 8, REGION_WIDE))
    pages.text(PRODUCT, y, fit(row.product, REGULAR, 8, PRODUCT_WIDE))
    for x, figure in ((UNITS, f"{row.quantity:,}"), (PRICE, amount(row.unit_price)), (REVENUE, amount(row.revenue))):
        pages.text(x, y, figure, size=shrunk(figure, REGULAR, 8, FIGURE_WIDE), align="right")


def _heading(pages: Pages, y: float, text: str) -> None:
    pages.text(LEFT, y, text, size=11, bold=True, color=INK)


def _picture(pages: Pages, png: bytes, y: float, height: float) -> None:
    pages.canvas.drawImage(ImageReader(io.BytesIO(png)), LEFT, y, width=WIDE, height=height)


def _long(day: object) -> str:
    return f"{day:%d %B %Y}".removeprefix("0")

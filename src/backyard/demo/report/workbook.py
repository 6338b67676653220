"""The workbook: every sale with its formula, and a summary that Excel works out itself."""

import io
from datetime import date
from decimal import Decimal

from openpyxl import Workbook
from openpyxl.cell.cell import Cell, MergedCell
from openpyxl.chart import BarChart, Reference
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet

from backyard.demo.report.periods import MONTHS_A_YEAR, Periods
from backyard.demo.report.style import ACCENT, MUTED
from backyard.demo.report.table import Sales

CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MONEY, COUNT, DAY = "#,##0.00", "#,##0", "yyyy-mm-dd"
FONT = "Calibri"
HEADER = Font(name=FONT, bold=True, color="FFFFFF")
HEADER_FILL = PatternFill("solid", fgColor=ACCENT.removeprefix("#"))
TOTAL = Font(name=FONT, bold=True)
LEFT, RIGHT = Alignment(horizontal="left"), Alignment(horizontal="right")
TOTAL_LINE = Border(top=Side(style="thin", color=MUTED.removeprefix("#")))
#: First characters by which spreadsheets know a formula.
FORMULA_STARTS = ("=", "+", "-", "@")

#: Regions with a row of their own; each costs the spreadsheet a look at every sale.
MOST_REGIONS = 30

FIGURES_ROW = 4
MATRIX_ROW = 11


def render(sales: Sales, title: str, currency: str) -> bytes:
    """Make the workbook.

    Args:
        sales: The rows.
        title: Title of the summary.
        currency: Currency code of the prices.

    Returns:
        The XLSX file's bytes.
    """
    book = Workbook()
    summary = book.worksheets[0]
    summary.title = "Summary"
    _sales_sheet(book.create_sheet("Sales"), sales, currency)
    _summary_sheet(summary, sales, title, currency)
    for sheet in book.worksheets:
        sheet.page_setup.orientation = "landscape" if sheet is summary else "portrait"
        sheet.page_setup.fitToHeight = 0
        sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    book.calculation.fullCalcOnLoad = True  # the formulas have no stored values: nobody has worked them out yet
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _sales_sheet(sheet: Worksheet, sales: Sales, currency: str) -> None:
    """Write one row a sale; its revenue is a formula."""
    names = ("Date", "Region", "Product", "Quantity", f"Unit price ({currency})", f"Revenue ({currency})")
    _header(sheet, 1, names, texts=3)
    for number, row in enumerate(sales.rows, start=2):
        _number(sheet.cell(number, 1), row.day, DAY)
        sheet.cell(number, 1).alignment = LEFT
        _text(sheet.cell(number, 2), row.region)
        _text(sheet.cell(number, 3), row.product)
        _number(sheet.cell(number, 4), row.quantity, COUNT)
        _number(sheet.cell(number, 5), row.unit_price, MONEY)
        _number(sheet.cell(number, 6), f"=D{number}*E{number}", MONEY)
    for column, width in enumerate((12, 20, 28, 11, 18, 18), start=1):
        sheet.column_dimensions[get_column_letter(column)].width = width
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = f"A1:F{len(sales.rows) + 1}"
    sheet.print_title_rows = "1:1"


def _summary_sheet(sheet: Worksheet, sales: Sales, title: str, currency: str) -> None:
    last = len(sales.rows) + 1
    _text(sheet["A1"], title)
    sheet["A1"].font = Font(name=FONT, bold=True, size=16)
    _text(sheet["A2"], f"{sales.first_day} to {sales.last_day}, amounts in {currency}")
    sheet["A2"].font = Font(name=FONT, color=MUTED.removeprefix("#"))
    figures = (
        ("Revenue", f"=SUM(Sales!F2:F{last})", MONEY),
        ("Sales", f"=COUNT(Sales!A2:A{last})", COUNT),
        ("Units", f"=SUM(Sales!D2:D{last})", COUNT),
        ("Average sale", f"=IF(B{FIGURES_ROW + 1}=0,0,B{FIGURES_ROW}/B{FIGURES_ROW + 1})", MONEY),
    )
    for row, (name, formula, number_format) in enumerate(figures, start=FIGURES_ROW):
        _text(sheet.cell(row, 1), name)
        _number(sheet.cell(row, 2), formula, number_format)
        sheet.cell(row, 2).font = TOTAL
    periods = Periods.of(sales)
    rows = _matrix(sheet, periods, list(sales.by("region")), last)
    _chart(sheet, len(periods.starts), rows, currency)
    sheet.column_dimensions["A"].width = 22
    for column in range(2, len(periods.starts) + 3):
        sheet.column_dimensions[get_column_letter(column)].width = 14
    sheet.freeze_panes = "B1"


def _matrix(sheet: Worksheet, periods: Periods, regions: list[str], last: int) -> int:
    """Write revenue by region and period with totals on both sides, all formulas, and return how many rows it has."""
    total = len(periods.starts) + 2
    _header(sheet, MATRIX_ROW, ("Revenue by region", *([""] * len(periods.starts)), "Total"))
    for column, start in enumerate(periods.starts, start=2):
        _number(sheet.cell(MATRIX_ROW, column), start, "yyyy" if periods.months == MONTHS_A_YEAR else "mmm yyyy")
    first_row = MATRIX_ROW + 1
    shown = regions if len(regions) <= MOST_REGIONS else regions[: MOST_REGIONS - 1]
    names = shown if shown is regions else [*shown, f"Other ({len(regions) - len(shown)})"]
    for row, name in enumerate(names, start=first_row):
        _text(sheet.cell(row, 1), name)
        other = row == first_row + len(shown)
        for column in range(2, total):
            _number(sheet.cell(row, column), _sum_formula(row, column, last, periods.months, other=other), MONEY)
        _number(sheet.cell(row, total), f"=SUM(B{row}:{get_column_letter(total - 1)}{row})", MONEY)
        sheet.cell(row, total).font = TOTAL
    bottom = first_row + len(names)
    _text(sheet.cell(bottom, 1), "Total")
    for column in range(2, total + 1):
        letter = get_column_letter(column)
        _number(sheet.cell(bottom, column), f"=SUM({letter}{first_row}:{letter}{bottom - 1})", MONEY)
    for column in range(1, total + 1):
        sheet.cell(bottom, column).font = TOTAL
        sheet.cell(bottom, column).border = TOTAL_LINE
    return len(names)


def _sum_formula(row: int, column: int, last: int, months: int, *, other: bool) -> str:
    """Return the formula of a region's revenue in a period; that of all other regions is what those above leave."""
    letter = get_column_letter(column)
    start = f"{letter}${MATRIX_ROW}"
    days, names, sums = (f"Sales!${name}$2:${name}${last}" for name in "ABF")
    within = f"({days}>={start})*({days}<EDATE({start},{months}))*{sums}"
    if other:
        return f"=SUMPRODUCT({within})-SUM({letter}{MATRIX_ROW + 1}:{letter}{row - 1})"
    # SUMIFS would read a region called ">5" or "N*" as a condition; comparing with = takes every name as it is.
    return f"=SUMPRODUCT(({names}=$A{row})*{within})"


def _chart(sheet: Worksheet, periods: int, regions: int, currency: str) -> None:
    """Add a stacked chart over the matrix, which follows its formulas."""
    chart = BarChart()
    chart.grouping, chart.overlap = "stacked", 100
    chart.title, chart.y_axis.title = "Revenue by region", currency
    chart.x_axis.number_format, chart.y_axis.number_format = "mmm yy", COUNT
    chart.x_axis.delete = chart.y_axis.delete = False
    data = Reference(sheet, min_col=1, max_col=periods + 1, min_row=MATRIX_ROW + 1, max_row=MATRIX_ROW + regions)
    chart.add_data(data, from_rows=True, titles_from_data=True)
    chart.set_categories(Reference(sheet, min_col=2, max_col=periods + 1, min_row=MATRIX_ROW))
    chart.height, chart.width = 9, 24
    sheet.add_chart(chart, f"A{MATRIX_ROW + regions + 4}")


def _header(sheet: Worksheet, row: int, names: tuple[str, ...], texts: int = 1) -> None:
    """Write the names of columns, the first of which hold texts."""
    for column, name in enumerate(names, start=1):
        cell = sheet.cell(row, column)
        _text(cell, name)
        cell.font, cell.fill = HEADER, HEADER_FILL
        cell.alignment = LEFT if column <= texts else RIGHT


def _number(cell: Cell | MergedCell, value: Decimal | date | str | int, number_format: str) -> None:
    """Write a value, or a formula of our own."""
    cell.value = value
    cell.number_format = number_format


def _text(cell: Cell | MergedCell, text: str) -> None:
    """Write a text that stays one: a name such as "=cmd" must not become a formula, nor when it is edited."""
    cell.value = text
    cell.data_type = "s"
    if text.startswith(FORMULA_STARTS):
        cell.quotePrefix = True

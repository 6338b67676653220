from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openpyxl
import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backyard.core.errors import InvalidInputError
from backyard.demo.report import pdf, table, workbook
from backyard.demo.report.definition import build_report
from backyard.demo.report.periods import Periods
from backyard.demo.report.style import largest
from backyard.demo.report.table import Sale, Sales

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from backyard.demo.report.definition import ReportResult
    from demo.conftest import Place

HEADER = "date,region,product,quantity,unit_price\n"
GOOD = "2025-03-01,North,Hammock,2,69.90\n"


def text_of(content: bytes) -> list[str]:
    return [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages]


def sheets_of(content: bytes) -> tuple[Any, Any]:
    book = openpyxl.load_workbook(io.BytesIO(content))
    assert book.sheetnames == ["Summary", "Sales"]
    return book["Summary"], book["Sales"]


@dataclass(frozen=True)
class Report:
    result: ReportResult
    document: bytes
    book: bytes
    names: list[str]
    reports: list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def bundled(new_place: Callable[[Path], Place], tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of the bundled sales, made once."""
    place = new_place(tmp_path_factory.mktemp("bundled"))
    reports: list[tuple[Any, ...]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place.ctx, "progress", lambda *report: reports.append(report))
        result = build_report(place.ctx, title="Garden shop 2025", currency="USD")
    return Report(result, place.artifact("report.pdf"), place.artifact("report.xlsx"), place.artifacts(), reports)


def test_the_bundled_sales_become_both_files(bundled: Report) -> None:
    result = bundled.result
    assert (result.rows, result.units, result.encoding) == (2_000, 7_407, "utf-8")
    assert result.revenue == Decimal("280628.89") == sum(result.revenue_by_region.values())
    assert list(result.revenue_by_region) == ["North", "South", "West", "East"]
    assert bundled.names == ["report.pdf", "report.xlsx"]
    assert result.pdf_url.endswith("/artifacts/report.pdf")
    assert bundled.document.startswith(b"%PDF-")


def test_the_pdf_has_every_page_with_its_number_and_every_sale_once(bundled: Report) -> None:
    reader = pypdf.PdfReader(io.BytesIO(bundled.document))
    pages = [page.extract_text() for page in reader.pages]
    assert len(pages) == bundled.result.pages == 2 + -(-2_000 // pdf.ROWS_A_PAGE)
    assert all(f"Page {number} of {len(pages)}" in page for number, page in enumerate(pages, start=1))
    assert all("Garden shop 2025" in page for page in pages)
    assert "280,628.89" in pages[0]
    assert "Revenue by month and region, in USD" in pages[0]
    assert [len(page.images) for page in reader.pages][:3] == [1, 1, 0]
    assert reader.metadata is not None
    assert reader.metadata.title == "Garden shop 2025"
    titles = [entry.title for entry in reader.outline if isinstance(entry, pypdf.generic.Destination)]
    assert titles == ["Summary", "Products", "All sales"]
    assert sum(page.count("\n2025-") for page in pages[2:]) == 2_000
    assert all("Carried forward" in page for page in pages[2:-1])
    assert "Total" in pages[-1]
    assert "280,628.89" in pages[-1]


def test_each_page_is_reported(bundled: Report) -> None:
    pages = bundled.result.pages
    assert [report[0] for report in bundled.reports] == [*range(1, pages + 1), pages, pages + 1]
    assert bundled.reports[2] == (3, pages + 1, f"Page 3 of {pages}")


def test_the_workbook_works_everything_out_by_formulas(bundled: Report) -> None:
    summary, sales = sheets_of(bundled.book)
    assert sales.max_row == 2_001
    assert [cell.value for cell in sales[1]][3:] == ["Quantity", "Unit price (USD)", "Revenue (USD)"]
    assert sales["F2"].value == "=D2*E2"
    assert sales["F2001"].value == "=D2001*E2001"
    assert (sales["A2"].number_format, sales["E2"].number_format) == ("yyyy-mm-dd", "#,##0.00")
    assert isinstance(sales["A2"].value, datetime)
    assert sales.freeze_panes == "A2"
    assert sales.auto_filter.ref == "A1:F2001"
    assert [summary.cell(row, 2).value for row in range(4, 8)] == [
        "=SUM(Sales!F2:F2001)",
        "=COUNT(Sales!A2:A2001)",
        "=SUM(Sales!D2:D2001)",
        "=IF(B5=0,0,B4/B5)",
    ]
    total = sum(Decimal(str(row[3])) * Decimal(str(row[4])) for row in sales.iter_rows(min_row=2, values_only=True))
    assert total == bundled.result.revenue
    assert len(summary._charts) == 1


def test_the_matrix_names_every_month_region_and_sum(bundled: Report) -> None:
    summary, _ = sheets_of(bundled.book)
    first = workbook.MATRIX_ROW
    months = [cell.value for cell in summary[first]][1:-1]
    assert [month.month for month in months] == list(range(1, 13))
    regions = [summary.cell(row, 1).value for row in range(first + 1, first + 5)]
    assert regions == ["North", "South", "West", "East"]
    assert summary.cell(first + 2, 3).value == (
        "=SUMPRODUCT((Sales!$B$2:$B$2001=$A13)*(Sales!$A$2:$A$2001>=C$11)"
        "*(Sales!$A$2:$A$2001<EDATE(C$11,1))*Sales!$F$2:$F$2001)"
    )
    assert summary.cell(first + 1, 14).value == "=SUM(B12:M12)"
    assert summary.cell(first + 5, 2).value == "=SUM(B12:B15)"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "file is empty"),
        (b"\n  \n", "file is empty"),
        (b"\xef\xbb\xbf\n", "file is empty"),
        (HEADER.encode(), "a header and no rows"),
        (GOOD.encode() * 2, "lacks the columns date, region, product, quantity, unit_price"),
        (b"date,region,product\n", "lacks the columns quantity, unit_price. Its first line has: date, region, product"),
        (HEADER.replace("region", "date").encode() + GOOD.encode(), "lacks the columns region"),
        (HEADER.replace("\n", ",REGION\n").encode() + GOOD.encode(), "columns region twice"),
        (
            (HEADER + GOOD + "2025-03-01,North,Hammock,two,69.90\n").encode(),
            "line 3: quantity 'two' is no whole number",
        ),
        ((HEADER + "2025-03-01,North,Hammock,2,\n").encode(), "line 2: unit_price '' is no amount"),
        ((HEADER + "2025-03-01,North,Hammock,2,nan\n").encode(), "line 2: unit_price 'nan'"),
        ((HEADER + "2025-03-01,North,Hammock,-2,1\n").encode(), "line 2: quantity '-2'"),
        ((HEADER + "01.03.2025,North,Hammock,2,1\n").encode(), "line 2: date '01.03.2025' is no day"),
        ((HEADER + "2025-02-30,North,Hammock,2,1\n").encode(), "line 2: date '2025-02-30'"),
        ((HEADER + "1899-02-03,North,Hammock,2,1\n").encode(), "from 1901 to 2100"),
        ((HEADER + "2025-03-01, ,Hammock,2,1\n").encode(), "line 2: region is empty"),
        ((HEADER + "2025-03-01,North\n").encode(), "line 2 has 2 values and the header has 5"),
        ((HEADER + "2025-03-01,North,Hammock,2,69,90\n").encode(), "line 2 has 6 values"),
        ((HEADER + '2025-03-01,North,"Hammock,2,1\n' + GOOD).encode(), "is no CSV: line 3"),
        ((HEADER + f"2025-03-01,North,{'h' * 201},2,1\n").encode(), "line 2: product has 201 characters"),
        ((HEADER + f"2025-03-01,North,{'h' * 200_000},2,1\n").encode(), "is no CSV: line 2: field larger"),
        ((HEADER + "a" * (8 * 1024 * 1024 + 1)).encode(), "more than 8,388,608 bytes"),
        ((HEADER + GOOD).encode("utf-16"), "zero bytes"),
        (b"PK\x03\x04" + bytes(50), "zero bytes"),
    ],
)
def test_files_that_cannot_be_used_are_refused_with_a_sentence(place: Place, content: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        build_report(place.ctx, place.upload(content))
    assert place.artifacts() == []


def test_all_first_bad_lines_are_named_at_once(place: Place) -> None:
    text = HEADER + (GOOD + "2025-03-01,North,Hammock,x,1\n") * 30
    with pytest.raises(InvalidInputError, match=r"line 3: .*line 5: .*line 7: ") as caught:
        build_report(place.ctx, place.upload(text.encode()))
    assert [row["location"] for row in caught.value.errors] == [["line", line] for line in range(3, 43, 2)]


def test_more_rows_than_allowed_are_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_ROWS", 3)
    assert build_report(place.ctx, place.upload((HEADER + GOOD * 3).encode())).rows == 3
    with pytest.raises(InvalidInputError, match="more than 3 rows"):
        build_report(place.ctx, place.upload((HEADER + GOOD * 4).encode()))


def test_encodings_separators_and_column_order_do_not_matter() -> None:
    plain = (HEADER + "2025-03-01,Köln,Hängematte,2,69.90\n").replace("\n", "\r\n")
    expected = [Sale(date(2025, 3, 1), "Köln", "Hängematte", 2, Decimal("69.90"))]
    assert table.parse(plain.encode()) == (expected, "utf-8")
    assert table.parse(plain.encode("utf-8-sig")) == (expected, "utf-8")
    assert table.parse(plain.encode("latin-1")) == (expected, "latin-1")
    assert table.parse(plain.replace(",", ";").encode())[0] == expected
    assert table.parse(plain.replace(",", "\t").encode())[0] == expected
    shuffled = "Unit_Price, note,PRODUCT,quantity,Region,date\n69.90,x,Hängematte,2,Köln,2025-03-01\n\n"
    assert table.parse(shuffled.encode())[0] == expected


def test_formulas_and_markup_in_cells_stay_text(place: Place) -> None:
    evil = [
        "=cmd|'/c calc'!A1",
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        '=HYPERLINK("http://x")',
        "<b>bold</b> & more",
        "$x$",
        "_hidden",
        "N*",
    ]
    quoted = [name.replace('"', '""') for name in evil]
    rows = [f'2025-03-01,"{name}","{name}",1,1.00\n' for name in quoted]
    result = build_report(place.ctx, place.upload((HEADER + "".join(rows)).encode()), title="=1+1")
    assert list(result.revenue_by_region) == sorted(evil)
    summary, sales = sheets_of(place.artifact("report.xlsx"))
    texts = [sales.cell(row, column) for row in range(2, len(evil) + 2) for column in (2, 3)]
    texts += [summary["A1"], *(summary.cell(workbook.MATRIX_ROW + row, 1) for row in range(1, len(evil) + 1))]
    assert {cell.data_type for cell in texts} == {"s"}
    assert {cell.value for cell in texts} == {*evil, "=1+1"}
    assert all(cell.quotePrefix for cell in texts if str(cell.value).startswith(("=", "+", "-", "@")))
    shown = "".join(text_of(place.artifact("report.pdf")))
    assert "<b>bold</b> & more" in shown
    assert "=1+1" in shown


def test_control_characters_are_left_out_and_spellings_made_one() -> None:
    text = HEADER + "2025-03-01,No\x07rth,A\x1bB,1,1\n2025-03-02, north ,a  b,1,1\n2025-03-02,NORTH,ab,1,1\n"
    rows, _ = table.parse(text.encode())
    assert [row.region for row in rows] == ["North"] * 3
    assert [row.product for row in rows] == ["AB", "a b", "AB"]


def test_every_alphabet_that_the_font_has_is_in_the_pdf(place: Place) -> None:
    text = HEADER + "2025-03-01,Łódź,Гамак,1,1\n2025-03-01,Αθήνα,Hängematte €,1,1\n"
    build_report(place.ctx, place.upload(text.encode()), title="Übersicht — Łódź")
    shown = "".join(text_of(place.artifact("report.pdf")))
    for word in ("Łódź", "Гамак", "Αθήνα", "Hängematte €", "Übersicht"):
        assert word in shown


def test_long_names_keep_within_their_columns(place: Place) -> None:
    text = HEADER + f"2025-03-01,{'W' * 200},{'M' * 200},9999999,999999999.99\n"
    build_report(place.ctx, place.upload(text.encode()), title="T" * 80)
    shown = text_of(place.artifact("report.pdf"))
    assert "W" * 200 not in shown[2]
    assert "W…" in shown[2]
    assert "9,999,998,999,900,000.01" in shown[0]


def test_nothing_sold_is_no_division_by_zero(place: Place) -> None:
    result = build_report(place.ctx, place.upload((HEADER + "2025-03-01,North,Hammock,0,0\n").encode()))
    assert result.revenue == 0
    assert "0.0%" in text_of(place.artifact("report.pdf"))[0]


@given(first=st.dates(date(1901, 1, 1), date(2100, 12, 31)), length=st.integers(0, 6_000), where=st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_every_day_falls_into_the_period_that_holds_it(first: date, length: int, where: float) -> None:
    last = date.fromordinal(min(first.toordinal() + length, date(2100, 12, 31).toordinal()))
    rows = [Sale(day, "North", "Hammock", 1, Decimal(1)) for day in (first, last)]
    periods = Periods.of(Sales.of(rows))
    day = date.fromordinal(round(first.toordinal() + where * (last.toordinal() - first.toordinal())))
    at = periods.place(day)
    assert periods.starts[at] <= day
    assert at == len(periods.starts) - 1 or day < periods.starts[at + 1]
    assert len(periods.names()) == len(periods.starts) <= 200
    assert periods.place(last) == len(periods.starts) - 1


def test_decades_are_shown_by_year(place: Place) -> None:
    rows = "".join(f"{year}-07-01,Region {year % 9},Product {year % 30},1,10\n" for year in range(1901, 2101))
    build_report(place.ctx, place.upload((HEADER + rows).encode()))
    shown = text_of(place.artifact("report.pdf"))
    assert "Revenue by year and region" in shown[0]
    assert "Other (4)" in shown[0]
    assert "Other (19)" in shown[1]
    summary, _ = sheets_of(place.artifact("report.xlsx"))
    assert "EDATE(B$11,12)" in str(summary["B12"].value)


def test_more_regions_than_a_spreadsheet_bears_are_summed_as_other(place: Place) -> None:
    rows = "".join(f"2025-07-01,Region {number:02},Product,1,{100 - number}\n" for number in range(33))
    build_report(place.ctx, place.upload((HEADER + rows).encode()))
    summary, _ = sheets_of(place.artifact("report.xlsx"))
    names = [summary.cell(row, 1).value for row in range(workbook.MATRIX_ROW + 1, workbook.MATRIX_ROW + 32)]
    assert names == [*(f"Region {number:02}" for number in range(29)), "Other (4)", "Total"]
    assert summary["B41"].value == (
        "=SUMPRODUCT((Sales!$A$2:$A$34>=B$11)*(Sales!$A$2:$A$34<EDATE(B$11,1))*Sales!$F$2:$F$34)-SUM(B12:B40)"
    )
    assert summary["B42"].value == "=SUM(B12:B41)"


def test_what_is_too_small_to_show_goes_to_other() -> None:
    sums = {name: Decimal(value) for name, value in zip("abcde", (5, 1, 4, 2, 3), strict=True)}
    assert largest(sums, 5) == [(name, sums[name]) for name in "acedb"]
    assert largest(sums, 3) == [("a", Decimal(5)), ("c", Decimal(4)), ("Other (3)", Decimal(6))]


@pytest.mark.parametrize("wrong", [{"currency": "euro"}, {"title": ""}, {"title": "two\nlines"}, {"title": "x" * 81}])
def test_titles_and_currencies_are_checked_at_the_door(place: Place, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        build_report(place.ctx, **wrong)

"""Reading a table of sales: every row checked, every problem named by its line."""

import codecs
import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal, Self

from backyard.core.errors import InvalidInputError

COLUMNS = ("date", "region", "product", "quantity", "unit_price")
#: Largest file taken, in bytes; it is read as a whole.
MAX_BYTES = 8 * 1024 * 1024
MAX_ROWS = 20_000
LONGEST_TEXT = 200
#: Bad lines after which reading ends, and how many of them the message names.
SHOWN_PROBLEMS, SAID_PROBLEMS = 20, 5
#: Workbooks know no days before 1900, and mistake those of its first two months.
FIRST_YEAR, LAST_YEAR = 1901, 2100
#: Characters that neither a PDF nor a workbook can show.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Sale:
    """One row of the table."""

    day: date
    region: str
    product: str
    quantity: int
    unit_price: Decimal

    @property
    def revenue(self) -> Decimal:
        """Quantity times unit price."""
        return self.quantity * self.unit_price


@dataclass(frozen=True)
class Sales:
    """All rows, in order of their dates, and what they add up to."""

    rows: list[Sale]
    units: int
    revenue: Decimal

    @classmethod
    def of(cls, rows: list[Sale]) -> Self:
        """Sort and add up rows; there is at least one."""
        return cls(
            sorted(rows, key=lambda row: row.day),
            sum(row.quantity for row in rows),
            sum((row.revenue for row in rows), Decimal(0)),
        )

    @property
    def first_day(self) -> date:
        """The day of the first sale."""
        return self.rows[0].day

    @property
    def last_day(self) -> date:
        """The day of the last sale."""
        return self.rows[-1].day

    def by(self, column: Literal["region", "product"]) -> dict[str, Decimal]:
        """Add up the revenue by region or product, largest first."""
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for row in self.rows:
            sums[getattr(row, column)] += row.revenue
        return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def parse(content: bytes) -> tuple[list[Sale], str]:
    """Read a CSV file.

    UTF-8, with or without a byte order mark, and Latin-1 are understood; values may be separated by commas, semicolons
    or tabs. Columns may come in any order, and further ones are ignored, as are empty lines.

    Args:
        content: The file's bytes.

    Returns:
        The rows, and the encoding they were read with.

    Raises:
        InvalidInputError: The file cannot be used; its errors name the first lines that are wrong.
    """
    text, encoding = _decode(content)
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    problems: list[dict[str, Any]] = []
    rows: list[Sale] = []
    spellings: dict[str, str] = {}
    for line, values in _records(reader):
        try:
            rows.append(_sale(values, spellings))
        except ValueError as error:
            problems.append({"location": ["line", line], "message": str(error), "type": "bad_row"})
            if len(problems) == SHOWN_PROBLEMS:
                break
    if problems:
        shown = "; ".join(f"line {row['location'][1]}: {row['message']}" for row in problems[:SAID_PROBLEMS])
        raise InvalidInputError(f"The file has unusable lines: {shown}. Correct them and submit it again.", problems)
    if not rows:
        raise InvalidInputError("The file has a header and no rows. Nothing can be reported on.")
    return rows, encoding


def _decode(content: bytes) -> tuple[str, str]:
    if len(content) > MAX_BYTES:
        raise InvalidInputError(f"The file has more than {MAX_BYTES:,} bytes. Report on a part of it.")
    if not content.removeprefix(codecs.BOM_UTF8).strip():
        raise InvalidInputError("The file is empty. Upload a CSV with a header line.")
    if b"\x00" in content:
        raise InvalidInputError("The file holds zero bytes, so it is no CSV in UTF-8 or Latin-1. Save it as UTF-8.")
    try:
        return content.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "latin-1"


def _records(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Give each record's line number and its values in the order of COLUMNS."""
    try:
        places: list[int] | None = None
        for count, record in enumerate(record for record in reader if any(value.strip() for value in record)):
            if places is None:
                places = _places(record)
                width = len(record)
                continue
            if count > MAX_ROWS:
                raise InvalidInputError(f"The file has more than {MAX_ROWS:,} rows. Report on a part of it.")
            if len(record) != width:
                message = f"line {reader.line_num} has {len(record)} values and the header has {width}"
                raise InvalidInputError(f"The file cannot be used: {message}. Is a quote or a separator missing?")
            yield reader.line_num, [record[place].strip() for place in places]
    except csv.Error as error:
        raise InvalidInputError(f"The file is no CSV: line {reader.line_num}: {error}.") from error


def _places(header: list[str]) -> list[int]:
    names = [name.strip().lower() for name in header]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        shown = ", ".join(name[:40] for name in header[:12])
        raise InvalidInputError(f"The file lacks the columns {', '.join(missing)}. Its first line has: {shown}.")
    doubled = [name for name in COLUMNS if names.count(name) > 1]
    if doubled:
        raise InvalidInputError(f"The file has the columns {', '.join(doubled)} twice. Remove one of each.")
    return [names.index(name) for name in COLUMNS]


def _sale(values: list[str], spellings: dict[str, str]) -> Sale:
    day, region, product, quantity, price = values
    return Sale(
        _date(day),
        _text("region", region, spellings),
        _text("product", product, spellings),
        _units(quantity),
        _price(price),
    )


def _date(text: str) -> date:
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) and FIRST_YEAR <= int(text[:4]) <= LAST_YEAR:
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"date {text[:40]!r} is no day from {FIRST_YEAR} to {LAST_YEAR} written as 2025-01-31")


def _text(column: str, text: str, spellings: dict[str, str]) -> str:
    """Check a name; 'north' and 'North' are the same region, since a spreadsheet's formulas see them so."""
    plain = " ".join(CONTROL.sub("", text).split())
    if not plain:
        raise ValueError(f"{column} is empty")
    if len(plain) > LONGEST_TEXT:
        raise ValueError(f"{column} has {len(plain):,} characters and may have {LONGEST_TEXT}")
    return spellings.setdefault(f"{column}:{plain.casefold()}", plain)


def _units(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", text):
        raise ValueError(f"quantity {text[:40]!r} is no whole number from 0 to 9,999,999")
    return int(text)


def _price(text: str) -> Decimal:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,4})?", text):
        raise ValueError(f"unit_price {text[:40]!r} is no amount written as 1234.50")
    return Decimal(text)

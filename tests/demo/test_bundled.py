from __future__ import annotations

import importlib.util
from pathlib import Path

from backyard.demo.report import table


def test_the_bundled_sales_are_what_their_program_makes() -> None:
    spec = importlib.util.spec_from_file_location("make_sales", Path(__file__).with_name("make_sales.py"))
    assert spec is not None
    assert spec.loader is not None
    make_sales = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_sales)
    assert make_sales.BUNDLED.read_text(encoding="utf-8") == make_sales.sales_csv()
    rows, encoding = table.parse(make_sales.BUNDLED.read_bytes())
    assert (len(rows), encoding) == (make_sales.ROWS, "utf-8")
    assert {row.region for row in rows} == set(make_sales.REGIONS)
    assert {row.product for row in rows} == set(make_sales.PRODUCTS)
    assert len({(row.day.year, row.day.month) for row in rows}) == 12

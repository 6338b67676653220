from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backyard.core.errors import InvalidInputError
from backyard.demo.pipeline import source, stages
from backyard.demo.pipeline.cleaning import label
from backyard.demo.pipeline.definition import run_pipeline
from backyard.demo.pipeline.models import MAX_ROWS
from backyard.demo.pipeline.reference import countries

if TYPE_CHECKING:
    from pathlib import Path

    from demo.conftest import Place

HEADER = "order_id,ordered_on,country,category,quantity,unit_price\n"
GOOD = "A1,2025-03-01,DE,books,2,10.50\n"


def table(place: Place, name: str) -> pl.DataFrame:
    content = io.BytesIO(place.artifact(name))
    return pl.read_parquet(content) if name.endswith(".parquet") else pl.read_csv(content)


def test_generated_orders_end_as_planned(place: Place) -> None:
    result = run_pipeline(place.ctx, rows=10_000)
    assert (result.rows_in, result.rows_out, result.rows_rejected) == (10_000, 9_700, 300)
    reasons = ("missing_value", "bad_date", "bad_quantity", "bad_price", "unknown_country", "duplicate_order")
    assert result.rejected == dict.fromkeys(reasons, 50)
    place.ctx.close()
    assert place.ctx.reports[-1].percent == 100


def test_artifacts_hold_every_row_once_and_add_up(place: Place) -> None:
    result = run_pipeline(place.ctx, rows=5_000)
    assert place.artifacts() == ["orders.parquet", "rejected.parquet", "summary.csv"]
    orders, rejected, summary = (table(place, name) for name in place.artifacts())
    assert len(orders) == result.rows_out
    assert len(rejected) == result.rows_rejected
    assert summary["orders"].sum() == result.rows_out
    assert orders["order_id"].n_unique() == result.rows_out
    assert orders["revenue"].sum() == (orders["quantity"] * orders["unit_price"]).sum()
    assert float(orders["revenue"].sum()) == pytest.approx(result.revenue)
    assert float(summary["revenue"].sum()) == pytest.approx(result.revenue)
    assert orders["region"].null_count() == 0
    assert Counter(rejected["reason"]) == result.rejected
    assert [group.region for group in result.regions] == [
        row[0] for row in orders.group_by("region").agg(pl.col("revenue").sum()).sort("revenue", descending=True).rows()
    ]


def test_a_million_rows_fit_into_a_gibibyte(tmp_path: Path) -> None:
    """In a process of its own, whose peak memory is that of the pipeline and of nothing before it."""
    program = (
        "import resource, sys, backyard.demo; from backyard import Context\n"
        "result = backyard.demo.run_pipeline(Context.local(sys.argv[1]), rows=1_000_000)\n"
        "unit = 1 if sys.platform == 'darwin' else 1024\n"
        "print(result.rows_in, result.rows_out, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows_in, rows_out, peak = map(int, done.stdout.split())
    assert (rows_in, rows_out) == (1_000_000, 970_000)
    assert peak < 1 << 30


def test_the_same_rows_are_generated_every_time(place: Place) -> None:
    first = run_pipeline(place.ctx, rows=777)
    summary = place.artifact("summary.csv")
    second = run_pipeline(place.ctx, rows=777)
    assert first == second
    assert place.artifact("summary.csv") == summary


def test_each_reason_catches_its_row(place: Place) -> None:
    rows = {
        ",,,,,": "empty_row",
        "A2,2025-03-01,DE,books,2,": "missing_value",
        "A3, ,DE,books,2,1": "missing_value",
        "A4,2025-02-29,DE,books,2,1": "bad_date",
        "A5,2025-3-1,DE,books,2,1": "bad_date",
        "A6,1969-12-31,DE,books,2,1": "bad_date",
        "A7,2025-03-01,DE,books,0,1": "bad_quantity",
        "A8,2025-03-01,DE,books,-1,1": "bad_quantity",
        "A9,2025-03-01,DE,books,1.5,1": "bad_quantity",
        "A10,2025-03-01,DE,books,1000001,1": "bad_quantity",
        "A11,2025-03-01,DE,books,1,-0.01": "bad_price",
        "A12,2025-03-01,DE,books,1,1e5": "bad_price",
        "A13,2025-03-01,DE,books,1,nan": "bad_price",
        "A14,2025-03-01,DE,books,1,1.23456": "bad_price",
        "A15,2025-03-01,XX,books,1,1": "unknown_country",
        f"A16,2025-03-01,DE,{'b' * 201},1,1": "too_long",
        "A1,2025-03-01,DE,books,1,1": "duplicate_order",
        "A17,2025-03-01,DE": "missing_value",
    }
    text = HEADER + GOOD + "\n".join(rows) + "\n" + " A18 ,2025-03-01, de ,garden,3.0,0\n"
    result = run_pipeline(place.ctx, place.upload(text.encode()))
    rejected = table(place, "rejected.parquet").sort("row")
    assert rejected["reason"].to_list() == list(rows.values())
    assert rejected["row"].to_list() == list(range(2, len(rows) + 2))
    assert table(place, "orders.parquet")["order_id"].to_list() == ["A1", "A18"]
    assert result.rows_in == len(rows) + 2


def test_a_doubled_order_counts_only_if_the_first_was_usable(place: Place) -> None:
    text = HEADER + "A1,2025-03-01,XX,books,1,1\nA1,2025-03-01,DE,books,1,1\nA1,2025-03-01,FR,books,1,1\n"
    result = run_pipeline(place.ctx, place.upload(text.encode()))
    assert result.rejected == {"duplicate_order": 1, "unknown_country": 1}
    assert table(place, "orders.parquet")["country_code"].to_list() == ["DE"]


def test_bytes_that_are_no_utf8_cost_their_row_alone(place: Place) -> None:
    text = HEADER.encode() + GOOD.encode() + "A2,2025-03-01,DE,Gärten,1,1\n".encode("latin-1")
    result = run_pipeline(place.ctx, place.upload(text))
    assert (result.rows_out, result.rejected) == (1, {"not_utf8": 1})


def test_join_brings_country_region_and_tax(place: Place) -> None:
    run_pipeline(place.ctx, place.upload((HEADER + "A1,2025-03-01,ch,books,3,10.01\n").encode()))
    row = table(place, "orders.parquet").row(0, named=True)
    assert row == {
        "order_id": "A1",
        "ordered_on": date(2025, 3, 1),
        "country_code": "CH",
        "category": "books",
        "quantity": 3,
        "unit_price": Decimal("10.01"),
        "revenue": Decimal("30.03"),
        "country": "Switzerland",
        "region": "Central Europe",
        "vat_percent": Decimal("8.10"),
        "vat": Decimal("2.43"),
    }


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_dialects_of_csv_are_understood(place: Place, separator: str, line_end: str) -> None:
    text = "\ufeff" + (HEADER.upper() + GOOD).replace(",", separator).replace("\n", line_end)
    result = run_pipeline(place.ctx, place.upload(text.encode()))
    assert (result.rows_in, result.rows_out, result.revenue) == (1, 1, 21.0)


def test_columns_may_come_in_any_order_among_others(place: Place) -> None:
    text = "note,unit_price,quantity,category,country,ordered_on,order_id\nx,10.50,2,books,DE,2025-03-01,A1\n"
    assert run_pipeline(place.ctx, place.upload(text.encode())).revenue == 21.0


def test_parquet_with_its_own_types_is_understood(place: Place) -> None:
    buffer = io.BytesIO()
    pl.DataFrame(
        {
            "order_id": [1, 2, 3],
            "ordered_on": [datetime(2025, 3, 1, 12, 30), datetime(2025, 3, 2), None],  # noqa: DTZ001 - files hold such
            "country": pl.Series(["DE", "FR", "IT"], dtype=pl.Categorical),
            "category": ["books", "toys", "toys"],
            "quantity": [2.0, 1.5, 1.0],
            "unit_price": [0.1 + 0.2, 1.0, float("nan")],
        }
    ).write_parquet(buffer)
    result = run_pipeline(place.ctx, place.upload(buffer.getvalue(), "orders.csv"))
    assert result.rejected == {"bad_quantity": 1, "missing_value": 1}
    assert table(place, "orders.parquet").row(0)[:6] == ("1", date(2025, 3, 1), "DE", "books", 2, Decimal("0.3"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The file is empty"),
        (b" \n \n", "The file is empty"),
        (b"a,b\n1,2\n", r"lacks the columns order_id.*has: a, b"),
        (HEADER.replace("country", "order_id").encode() + b"x\n", "lacks the columns country"),
        (HEADER.replace("\n", ",Country\n").encode() + b"x\n", "columns country twice"),
        (b"PAR1 and then nothing sensible", "cannot be read as a table"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10, "lacks the columns"),
        (HEADER.encode() + b'A1,2025-03-01,DE,"books,1,1\n', "cannot be read as a table|does not add up"),
    ],
)
def test_files_that_are_no_orders_are_refused_with_a_sentence(place: Place, content: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        run_pipeline(place.ctx, place.upload(content))
    assert place.artifacts() == []


def test_damaged_parquet_is_refused_wherever_it_is_cut(place: Place) -> None:
    buffer = io.BytesIO()
    pl.DataFrame(dict.fromkeys(source.COLUMNS, ["1"] * 50)).write_parquet(buffer)
    whole = buffer.getvalue()
    for cut in range(4, len(whole) - 1, max(1, len(whole) // 25)):
        with pytest.raises(InvalidInputError):
            run_pipeline(place.ctx, place.upload(whole[:cut]))


def test_a_nested_column_is_refused(place: Place) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({name: [["1"]] for name in source.COLUMNS}).write_parquet(buffer)
    with pytest.raises(InvalidInputError, match="no plain value"):
        run_pipeline(place.ctx, place.upload(buffer.getvalue()))


def test_a_header_alone_gives_an_empty_result(place: Place) -> None:
    result = run_pipeline(place.ctx, place.upload(HEADER.encode()))
    assert (result.rows_in, result.rows_out, result.rejected, result.regions) == (0, 0, {}, [])
    assert len(table(place, "orders.parquet")) == 0


def test_more_rows_than_allowed_are_refused_before_any_work(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_ROWS", 3)
    with pytest.raises(InvalidInputError, match="has 4 rows and the limit is 3"):
        run_pipeline(place.ctx, place.upload((HEADER + GOOD * 4).encode()))
    assert run_pipeline(place.ctx, place.upload((HEADER + GOOD * 3).encode())).rows_in == 3


@pytest.mark.parametrize("rows", [0, -1, MAX_ROWS + 1])
def test_generated_rows_have_bounds(place: Place, rows: Any) -> None:
    with pytest.raises(InvalidInputError):
        run_pipeline(place.ctx, rows=rows)


def test_accounts_that_do_not_add_up_publish_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose a row on purpose between cleaning and joining: the count must notice."""
    monkeypatch.setattr(stages, "label", lambda rows: label(rows).filter(pl.col("row") != 5))
    with pytest.raises(
        InvalidInputError,
        match=r"100 rows came in, 96 passed and 3 were rejected, which does not add up",
    ):
        run_pipeline(place.ctx, rows=100)
    assert place.artifacts() == []


def test_the_reference_table_has_each_country_once() -> None:
    assert countries()["code"].is_unique().all()
    assert countries().null_count().sum_horizontal().item() == 0


cells = st.one_of(
    st.sampled_from(
        ["", " ", "A1", "A2", "2025-01-31", "2025-02-31", "DE", "xx", "fr", "3", "0", "9.99", "nan", "1e3", "=1+1"]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12),
)
records = st.lists(st.lists(cells, min_size=6, max_size=6), max_size=40)
likely = st.tuples(
    st.sampled_from(["A1", "A2", "A3", "A4", ""]),
    st.sampled_from(["2025-01-31", "2025-02-31"]),
    st.sampled_from(["DE", "fr", "XX"]),
    st.sampled_from(["books", 'say "hi", twice', "two\nlines"]),
    st.sampled_from(["1", "7", "0"]),
    st.sampled_from(["1.25", "0", "-1"]),
).map(list)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.one_of(records, st.lists(likely, max_size=40)))
def test_every_row_of_any_dirty_file_is_accounted_for(place: Place, rows: Any) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([HEADER.strip().split(","), *rows])
    result = run_pipeline(place.ctx, place.upload(text.getvalue().encode()))
    assert result.rows_in == len(rows)
    assert result.rows_in == result.rows_out + result.rows_rejected
    orders, rejected = table(place, "orders.parquet"), table(place, "rejected.parquet")
    assert len(orders) + len(rejected) == len(rows)
    assert set(rejected["row"]) <= set(range(1, len(rows) + 1))
    used = [rows[place] for place in range(len(rows)) if place + 1 not in set(rejected["row"])]
    assert orders["order_id"].to_list() == [row[0].strip() for row in used]
    assert sum(orders["revenue"]) == sum(
        int(row[4].strip().partition(".")[0]) * Decimal(row[5].strip()) for row in used
    )

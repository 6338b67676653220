"""The shared nouns: files, progress, and how they look in JSON."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from backyard.core.models import File, Progress

numbers = st.one_of(st.floats(), st.integers(-(10**400), 10**400))


class Holder(BaseModel):
    one: File
    many: list[File] = []
    perhaps: File | None = None


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_file_is_a_string_in_the_schema(mode: str) -> None:
    schema = TypeAdapter(Holder).json_schema(mode=mode)  # type: ignore[arg-type]  # the two words it knows
    file = schema["$defs"]["File"]
    assert file["type"] == "string"
    assert file["format"] == "backyard-file"
    assert "properties" not in file
    assert "required" not in file


def test_file_travels_as_its_id_and_comes_as_id_or_object() -> None:
    holder = Holder.model_validate_json('{"one": "a1", "many": [{"id": "b2"}, "c3"]}')
    assert holder.one == File(id="a1")
    assert [file.id for file in holder.many] == ["b2", "c3"]
    assert holder.model_dump_json() == '{"one":"a1","many":["b2","c3"],"perhaps":null}'
    assert Holder.model_validate_json(holder.model_dump_json()) == holder


@pytest.mark.parametrize("wrong", ["", "x" * 65, 5, None, {}, {"name": "x"}, ["a"]])
def test_file_refuses_what_is_no_id(wrong: object) -> None:
    with pytest.raises(ValidationError):
        File.model_validate(wrong)


@pytest.mark.parametrize(
    ("current", "total", "percent"),
    [
        (0, 10, 0), (3, 10, 30), (1, 3, 33.3), (10, 10, 100), (11, 10, 100), (-1, 10, 0), (5, None, None),
        (5, 0, None), (0, 0, None), (5, -10, 0), (math.nan, 10, None), (5, math.nan, None), (math.inf, 10, None),
        (5, math.inf, None), (10**400, 10**400, None), (1, 5e-324, 100),
    ],
)  # fmt: skip
def test_percent(current: float, total: float | None, percent: float | None) -> None:
    assert Progress.of(current, total, None).percent == percent


@given(numbers, st.none() | numbers, st.none() | st.text())
def test_any_report_can_be_kept_and_read_back(current: float, total: float | None, message: str | None) -> None:
    report = Progress.of(current, total, message)
    assert report.percent is None or 0 <= report.percent <= 100
    assert Progress.model_validate_json(report.model_dump_json()) == report

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backyard import Context
from backyard.core.errors import InvalidInputError, TaskCancelledError
from backyard.demo import calculation, sleep
from backyard.demo.calculation import calculation_task, segments
from backyard.demo.sleep import sleep_task

if TYPE_CHECKING:
    from pathlib import Path

    from demo.conftest import Place


def test_sleep_reports_each_second(place: Place) -> None:
    result = sleep_task(place.ctx, 2)
    assert result.duration == 2
    assert result.slept >= 2
    assert [(report.current, report.total) for report in place.ctx.reports] == [(0, 2), (1, 2), (2, 2)]
    assert place.ctx.reports[-1].message == "Slept 2 of 2 s"


@pytest.mark.parametrize("duration", [0, 301, -1, "x", 1.5, None])
def test_sleep_refuses_durations_at_the_door(place: Place, duration: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        sleep_task(place.ctx, duration)
    assert caught.value.errors[0]["location"] == ["duration"]
    assert place.ctx.reports == []


def test_sleep_longer_than_the_worker_allows_fails_before_it_begins(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sleep, "WORKER_MAX_TIMEOUT", 10)
    with pytest.raises(InvalidInputError, match=r"sleeps 10 s at most .* 11 s were asked"):
        sleep_task(place.ctx, 11)
    assert place.ctx.reports == []


class CancelledAfterOneSecond(Context):
    """Says so from the second report on, as a context does whose task was cancelled."""

    def progress(self, current: float, total: float | None = None, message: str | None = None) -> None:
        super().progress(current, total, message)
        if self.cancelled and current > 1:
            raise TaskCancelledError("stop")

    @property
    def cancelled(self) -> bool:
        return bool(self.reports) and self.reports[-1].current >= 1


def test_a_cancelled_sleep_ends_at_once(tmp_path: Path) -> None:
    ctx = CancelledAfterOneSecond.local(tmp_path)
    with pytest.raises(TaskCancelledError):
        sleep_task(ctx, 300)
    # The report that raises is sent itself, unless it follows the one before too closely.
    assert [report.current for report in ctx.reports] in ([0, 1], [0, 1, 2])


# Numbers of primes and of twin primes: OEIS A006880 and A007508.
@pytest.mark.parametrize(
    ("limit", "primes", "largest", "twins"),
    [
        (1, 0, None, 0),
        (2, 1, 2, 0),
        (4, 2, 3, 0),
        (5, 3, 5, 1),
        (100, 25, 97, 8),
        (1_000_000, 78_498, 999_983, 8_169),
        (10_000_000, 664_579, 9_999_991, 58_980),
    ],
)
def test_primes_are_those_of_the_tables(place: Place, limit: int, primes: int, largest: int | None, twins: int) -> None:
    result = calculation_task(place.ctx, limit)
    assert (result.primes, result.largest, result.twins) == (primes, largest, twins)
    place.ctx.close()
    assert place.ctx.reports[-1].percent == 100


@pytest.mark.parametrize("limit", [0, -5, 1_000_000_001, "many"])
def test_limits_out_of_bounds_are_refused(place: Place, limit: int) -> None:
    with pytest.raises(InvalidInputError):
        calculation_task(place.ctx, limit)


@settings(deadline=None)
@given(limit=st.integers(1, 3_000), segment=st.integers(2, 400))
def test_segments_of_any_size_find_the_same_primes(limit: int, segment: int) -> None:
    expected = [n for n in range(2, limit + 1) if all(n % d for d in range(2, math.isqrt(n) + 1))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calculation, "SEGMENT", segment)
        found = [start + place for start, marks in segments(limit) for place, mark in enumerate(marks) if mark]
        result = calculation_task(Context.local("unused"), limit)
    assert found == expected
    assert result.primes == len(expected)
    assert result.twins == sum(n + 2 in set(expected) for n in expected)

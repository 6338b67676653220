"""Durations as a histogram: exact enough for percentiles, small enough to be kept for each minute.

Buckets grow by a tenth, so that a percentile is right within about 5 %. Source: the idea of HdrHistogram.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

GROWTH: Final = 1.1
_STEP: Final = math.log(GROWTH)


def bucket_of(milliseconds: int) -> int:
    """Return the bucket of a duration; 0 is less than a millisecond."""
    return 0 if milliseconds < 1 else 1 + int(math.log(milliseconds) / _STEP)


def middle_of(bucket: int) -> float:
    """Return the milliseconds that stand for a bucket: the geometric middle of its bounds."""
    return 0.0 if bucket == 0 else math.exp((bucket - 0.5) * _STEP)


def percentile(histogram: Mapping[int, int], share: float) -> float | None:
    """Return the milliseconds within which a share of the durations lies; None where there are none.

    Args:
        histogram: Counts by bucket.
        share: 0 to 1.
    """
    total = sum(histogram.values())
    if not total:
        return None
    wanted, seen = max(1, math.ceil(share * total)), 0
    for bucket in sorted(histogram):
        seen += histogram[bucket]
        if seen >= wanted:
            return middle_of(bucket)
    raise AssertionError(histogram)

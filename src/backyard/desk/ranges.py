"""How far back people look: the ranges that charts and sums are asked for by."""

from __future__ import annotations

import time
from typing import Final

#: The ranges by name, in seconds.
RANGES: Final = {
    "15m": 900,
    "1h": 3_600,
    "6h": 21_600,
    "24h": 86_400,
    "7d": 604_800,
    "30d": 2_592_000,
    "90d": 7_776_000,
}
USUAL: Final = "1h"


def span_of(name: str) -> tuple[int, int]:
    """Return where a range begins and ends now, in milliseconds since 1970.

    Args:
        name: One of the ranges' names.
    """
    until = int(time.time() * 1000)
    return until - RANGES[name] * 1000, until

"""Writes the bundled sales.csv: a year of an invented garden shop, the same on every run.

``python tests/demo/make_sales.py`` writes it anew; a test checks that the file in the package is what this makes.
"""

from __future__ import annotations

import math
import random
from datetime import date, timedelta
from pathlib import Path

BUNDLED = Path(__file__).parents[2] / "src/backyard/demo/report/sales.csv"
ROWS = 2_000
SEED = 20_250_101
FIRST_DAY = date(2025, 1, 1)

REGIONS = {"North": 0.31, "South": 0.27, "East": 0.18, "West": 0.24}
#: Price in cents, how often it sells, usual quantity, and the day of the year around which it sells best.
PRODUCTS = {
    "Bird feeder": (2_450, 12, 3, 350),
    "Compost bin": (8_990, 6, 1, 105),
    "Fire pit": (14_900, 5, 1, 290),
    "Hammock": (6_990, 8, 1, 180),
    "Picnic blanket": (3_490, 11, 2, 170),
    "Raised bed kit": (11_900, 9, 2, 90),
    "Solar lantern": (1_890, 17, 5, 250),
    "Watering can": (1_590, 15, 4, 135),
}


def sales_csv() -> str:
    """Return the file's text."""
    draw = random.Random(SEED)  # noqa: S311 - sample data
    lines = [line(draw) for _ in range(ROWS)]
    return "date,region,product,quantity,unit_price\n" + "".join(sorted(lines))


def line(draw: random.Random) -> str:
    """Draw one sale: the product by its season, a price that rose in July, a discount for larger quantities."""
    while True:
        day = FIRST_DAY + timedelta(days=pick(draw, 365))
        name, (cents, weight, usual, peak) = list(PRODUCTS.items())[pick(draw, len(PRODUCTS))]
        season = 0.35 + 0.65 * (1 + math.cos(2 * math.pi * (day.timetuple().tm_yday - peak) / 365)) / 2
        if draw.random() < season * weight / 17:
            break
    region = weighted(draw)
    quantity = 1 + sum(draw.random() < 0.45 for _ in range(2 * usual))
    price = cents * (104 if day.month >= 7 else 100) * (95 if quantity >= 6 else 100) // 10_000
    return f"{day},{region},{name},{quantity},{price // 100}.{price % 100:02}\n"


def weighted(draw: random.Random) -> str:
    """Draw a region by its share."""
    mark = draw.random()
    for region, share in REGIONS.items():
        mark -= share
        if mark < 0:
            return region
    return "West"


def pick(draw: random.Random, choices: int) -> int:
    """Draw a number below ``choices``; ``random()`` alone is promised to be the same in every Python."""
    return int(draw.random() * choices)


if __name__ == "__main__":
    BUNDLED.write_text(sales_csv(), encoding="utf-8", newline="\n")

"""Bar charts as SVG, written by hand: readable on light and dark pages, and by screen readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

WIDTH: Final = 760
_LABELS: Final = 240
_NUMBERS: Final = 80
_LINE: Final = 28
_TOP: Final = 48
_STYLE: Final = """
    text { font: 14px system-ui, sans-serif; fill: #1f2328; }
    .title { font-weight: 600; font-size: 16px; }
    .page { fill: #ffffff; }
    .other { fill: #8c959f; }
    .bound { fill: #c9d1d9; }
    .ours { fill: #0a7d55; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .page { fill: #0d1117; }
      .other { fill: #6e7681; }
      .bound { fill: #444c56; }
      .ours { fill: #3fb98a; }
    }
"""


class Bar(NamedTuple):
    """One bar.

    Attributes:
        label: Who.
        value: How much.
        kind: ``ours``, ``other``, or ``bound`` for what nobody can pass.
    """

    label: str
    value: float
    kind: str = "other"


def chart(title: str, bars: Sequence[Bar], *, most: bool = True) -> str:
    """Draw bars, the best one first.

    Args:
        title: What the numbers are.
        bars: The bars.
        most: Whether more is better.
    """
    rows = sorted(bars, key=lambda bar: bar.value, reverse=most)
    longest = max((bar.value for bar in rows), default=1.0)
    height = _TOP + _LINE * len(rows) + 12
    told = "; ".join(f"{bar.label} {bar.value:,.0f}" for bar in rows)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"  <title>{escape(title)}</title>",
        f"  <desc>{escape(told)}</desc>",
        f"  <style>{_STYLE}  </style>",
        # A page of its own: what is around may be lighter or darker than the reader's system is set.
        f'  <rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
        f'  <text class="title" x="12" y="28">{escape(title)}</text>',
    ]
    for number, bar in enumerate(rows):
        top = _TOP + _LINE * number
        width = round((WIDTH - _LABELS - _NUMBERS) * bar.value / longest, 1)
        lines += [
            f'  <text x="{_LABELS - 12}" y="{top + 16}" text-anchor="end">{escape(bar.label)}</text>',
            f'  <rect class="{bar.kind}" x="{_LABELS}" y="{top + 2}" width="{width}" height="{_LINE - 8}" rx="2"/>',
            f'  <text x="{_LABELS + width + 8}" y="{top + 16}">{bar.value:,.0f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])

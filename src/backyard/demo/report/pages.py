"""What every page has: fonts, header, footer, and text that keeps within its width."""

import threading
from typing import Any

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from backyard.demo.report.style import INK, MUTED, RULE, font_file

WIDTH, HEIGHT = A4
LEFT = 18 * mm
RIGHT = WIDTH - 18 * mm
TOP = HEIGHT - 26 * mm
REGULAR, BOLD = "Backyard", "Backyard-Bold"

_registering = threading.Lock()


def register_fonts() -> None:
    """Make the fonts known to reportlab, once a process."""
    with _registering:
        if REGULAR not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(REGULAR, str(font_file(bold=False))))
            pdfmetrics.registerFont(TTFont(BOLD, str(font_file(bold=True))))


def fit(text: str, font: str, size: float, width: float) -> str:
    """Cut a text to a width in points, with an ellipsis where something is left out."""
    if pdfmetrics.stringWidth(text, font, size) <= width:
        return text
    keep = len(text)
    while keep and pdfmetrics.stringWidth(text[:keep].rstrip() + "…", font, size) > width:
        keep -= 1
    return text[:keep].rstrip() + "…"


def shrunk(text: str, font: str, size: float, width: float) -> float:
    """Return the size at which a text keeps within a width in points: a number must not lose a digit."""
    taken = float(pdfmetrics.stringWidth(text, font, size))
    return size if taken <= width else size * width / taken


class Pages:
    """Pages of one document, each with its header and its number.

    Args:
        canvas: reportlab's canvas.
        title: Title of the document, in every header.
        total: How many pages there will be.
    """

    def __init__(self, canvas: Any, title: str, total: int) -> None:
        self.canvas = canvas
        self.title = title
        self.total = total
        self.number = 0

    def begin(self, section: str) -> None:
        """Begin a page, with the document's title and the section's name at its top and its number at its foot."""
        self.number += 1
        if self.number > 1:
            self.text(LEFT, HEIGHT - 14 * mm, fit(self.title, REGULAR, 8, (RIGHT - LEFT) * 0.6), size=8, color=MUTED)
            self.text(RIGHT, HEIGHT - 14 * mm, section, size=8, color=MUTED, align="right")
            self.rule(HEIGHT - 16.5 * mm)
        self.rule(14 * mm)
        self.text(LEFT, 9.5 * mm, "Made by Backyard's build_report", size=7, color=MUTED)
        self.text(RIGHT, 9.5 * mm, f"Page {self.number} of {self.total}", size=7, color=MUTED, align="right")

    def end(self) -> None:
        """End the page."""
        self.canvas.showPage()

    def mark(self, name: str) -> None:
        """Add the page to the outline that viewers show at the side."""
        self.canvas.bookmarkPage(name)
        self.canvas.addOutlineEntry(name, name, level=0)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 8,
        bold: bool = False,
        color: str = INK,
        align: str = "left",
    ) -> None:
        """Draw one line of text; x is its left or right end, in points."""
        self.canvas.setFont(BOLD if bold else REGULAR, size)
        self.canvas.setFillColor(HexColor(color))
        (self.canvas.drawRightString if align == "right" else self.canvas.drawString)(x, y, text)

    def rule(self, y: float, color: str = RULE, width: float = 0.6) -> None:
        """Draw a line across the page."""
        self.canvas.setStrokeColor(HexColor(color))
        self.canvas.setLineWidth(width)
        self.canvas.line(LEFT, y, RIGHT, y)

    def box(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """Fill a rectangle; x and y are its lower left corner."""
        self.canvas.setFillColor(HexColor(color))
        self.canvas.rect(x, y, width, height, stroke=0, fill=1)

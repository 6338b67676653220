"""A shop's yard, for the pictures in the documents: what a reader could have written."""

from __future__ import annotations

import os
import time
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from backyard import Backyard, Context

yard = Backyard(os.environ.get("TEST_YARD", "shop"))


class CardDeclinedError(Exception):
    """The bank said no."""


class Customer(BaseModel):
    """Who it is for."""

    name: str = Field(description="As it stands on the cover")
    mail: str = Field(description="Where the report is sent")
    language: Literal["en", "de", "fr"] = "en"


class Report(BaseModel):
    """What was made."""

    pages: int
    file: str


@yard.schedule("0 8 * * mon-fri", tz="Europe/Berlin", input={"to": "team@example.org", "template": "reminder"})
@yard.task(queue="mail", retries=3, example={"to": "ada@example.org", "template": "welcome"})
def send_mail(to: str, template: Literal["welcome", "receipt", "reminder"], order: str | None = None) -> str:
    """Send one mail from a template."""
    time.sleep(0.05)
    return f"{template} for {order or 'nobody'} sent to {to}"


@yard.task(queue="images")
def resize_image(picture: str, width: Annotated[int, Field(ge=16, le=4_096)] = 640) -> str:
    """Make a smaller copy of a product's picture."""
    time.sleep(0.2)
    return f"{picture}@{width}"


@yard.task(queue="payments", unique=True)
def charge_card(order: str, amount: Annotated[float, Field(gt=0)], currency: Literal["EUR", "USD"] = "EUR") -> str:
    """Charge a customer's card for an order."""
    time.sleep(0.1)
    if amount > 900:
        raise CardDeclinedError(f"the bank declined {amount:.2f} {currency} for order {order}")
    return f"paid:{order}"


@yard.task(queue="reports", example={"customer": {"name": "Ada Lovelace", "mail": "ada@example.org"}, "months": 12})
def render_report(
    ctx: Context,
    customer: Customer,
    months: Annotated[int, Field(ge=1, le=36, description="How far it reaches back")] = 12,
    formats: list[Literal["pdf", "csv", "html"]] = ["csv"],  # noqa: B006 - pydantic copies it
    until: date | None = None,
) -> Report:
    """Write a customer's yearly report.

    One chapter a month; the progress is told after each. Cancelled, it stops before the next chapter.
    """
    ctx.log("begin", customer=customer.name, formats=formats, until=until and until.isoformat())
    rows = ["month,orders,revenue"]
    for month in ctx.track(range(months), message="writing chapters"):
        time.sleep(0.5)
        ctx.log("chapter written", month=month + 1)
        rows.append(f"{month + 1},{(month * 37) % 90 + 12},{(month * 911) % 4_000 + 800}")
    return Report(pages=months * 2, file=ctx.save("report.csv", "\n".join(rows)))


@yard.schedule("30 23 * * *", tz="Europe/Berlin", note="The books, before midnight")
@yard.task(queue="reports")
def close_day(ctx: Context) -> int:
    """Close the books of the day."""
    ctx.log("closed")
    return 0

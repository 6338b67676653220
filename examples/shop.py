"""A shop that has its own FastAPI app, and lets Backyard do what takes time: `backyard up examples.shop:app`."""

from decimal import Decimal

from fastapi import FastAPI
from pydantic import BaseModel, Field

from backyard import Backyard, Context

yard = Backyard("shop")


class Invoice(BaseModel):
    order: int
    total: Decimal
    url: str


@yard.task(retries=3, timeout=60)
def make_invoice(ctx: Context, order: int, prices: list[Decimal] = Field(min_length=1)) -> Invoice:
    lines = [f"{number}. {price}" for number, price in enumerate(ctx.track(prices), start=1)]
    url = ctx.save("invoice.txt", "\n".join([f"Order {order}", *lines, f"Total {sum(prices)}"]))
    return Invoice(order=order, total=sum(prices, Decimal(0)), url=url)


@yard.celery.task(name="thank")
def thank(customer: str) -> str:
    return f"Thank you, {customer}!"


app = FastAPI(title="Shop")
yard.mount(app, prefix="/jobs")  # POST /jobs/tasks/make_invoice, GET /jobs/tasks/{task_id} and all the rest


@app.post("/orders/{order}")
async def place_order(order: int, prices: list[Decimal]) -> dict[str, str]:
    handle = await make_invoice.submit(order=order, prices=prices)  # typed, and the event loop never waits
    return {"task_id": handle.task_id}


@app.post("/thanks/{customer}")
def say_thanks(customer: str) -> dict[str, str]:
    return {"task_id": thank.delay(customer).id}  # as with Celery alone

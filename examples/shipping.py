"""Tasks that wait and try again: `backyard up examples.shipping:app`."""

from datetime import UTC, datetime, timedelta

from fastapi import FastAPI

from backyard import Backyard, Context, GiveUp, Retry, Snooze

yard = Backyard("shipping")


class CarrierBusyError(Exception):
    """The carrier answers 429."""


# These errors are tried again up to 5 times: after 0.2, 0.4, 0.8 s and so on, a busy carrier after 0.1, 0.2, 0.4 s.
# All others are bugs, and end the task at once.
@yard.task(retries=5, retry_on=(CarrierBusyError, TimeoutError), backoff={CarrierBusyError: 0.1, "default": 0.2})
def book_parcel(ctx: Context, order: int, breaks: int = 1) -> int:
    if order <= 0:
        raise GiveUp(f"There is no order {order}.")  # FAILURE now, whatever retries are left
    if ctx.attempt == 1:
        raise CarrierBusyError  # the policy says when it is tried again
    if ctx.attempt <= 1 + breaks:
        raise Retry("The carrier wants a break.", after=0.3)  # here the task says it; a retry is spent as well
    return ctx.attempt


@yard.task(expires=3600)  # ends if it has not begun an hour after it was due, however often it was put off
async def send_parcel(ctx: Context, ready_in: float) -> int:
    if ctx.attempt == 1:
        raise Snooze(timedelta(seconds=ready_in), "The shop is packing it.")  # nothing failed, and no retry is spent
    return ctx.attempt


app = FastAPI(title="Shipping")
yard.mount(app)


@app.post("/parcels")
async def send_tomorrow() -> dict[str, str]:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    handle = await send_parcel.with_options(at=tomorrow).submit(ready_in=0.5)  # or delay=60, in seconds
    return {"task_id": handle.task_id}

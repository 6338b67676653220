"""An endpoint that takes the same input and does nothing: what FastAPI itself costs."""

from __future__ import annotations

from benchmarks.peers.inputs import Order
from fastapi import FastAPI

app = FastAPI()


@app.post("/tasks/take_order", status_code=201)
async def submit(order: Order) -> dict[str, str]:
    """Do nothing with an order."""
    return {"task_id": "0197a3a5-2d5c-7d0a-9a51-52b0ffa2a1d5", "note": order.note}

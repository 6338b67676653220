"""Somebody's own FastAPI app, with handlers, routes and a lifespan of its own, and a yard mounted into it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Header
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from backyard import Backyard, Context

yard = Backyard(os.environ.get("TEST_YARD", "test"))


class NotWelcomeError(Exception):
    """What the app's own dependency raises."""


class Problem(BaseModel):
    """A model of the app's own, of the same name as one of ours."""

    mine: str


def guard(stranger: Annotated[str | None, Header()] = None) -> None:
    """Turn strangers away."""
    if stranger == "rude":
        raise NotWelcomeError
    if stranger:
        raise HTTPException(401, "Say who you are.", {"WWW-Authenticate": "Basic"})


def note(event: str) -> None:
    """Write a line into the diary."""
    with Path(os.environ.get("TEST_DIARY", os.devnull)).open("a") as lines:
        lines.write(f"{event}\n")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Note when the app starts and stops."""
    note("started")
    yield
    note("stopped")


app = FastAPI(
    title="Shop",
    lifespan=lifespan,
    dependencies=[Depends(guard)],
    max_body_size=2_000,
    root_path=os.environ.get("TEST_ROOT_PATH", ""),
)


@app.exception_handler(HTTPException)
async def answer_http(_: Request, error: Exception) -> JSONResponse:
    """Answer in the app's own shape."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"mine": error.detail}, error.status_code)


@app.exception_handler(RequestValidationError)
async def answer_validation(_: Request, error: Exception) -> JSONResponse:
    """Answer in the app's own shape."""
    return JSONResponse({"mine": type(error).__name__}, 400)


@app.exception_handler(NotWelcomeError)
async def answer_stranger(_: Request, error: Exception) -> JSONResponse:
    """Answer in the app's own shape."""
    return JSONResponse({"mine": type(error).__name__}, 418)


@app.get("/items/{number}")
async def get_item(number: int) -> Problem:
    """Have a route beside the yard's."""
    return Problem(mine=str(number))


@app.get("/tasks")
async def list_chores() -> list[str]:
    """Have a route that the yard has under its prefix."""
    return ["sweep"]


@app.post("/submit")
async def submit_from_code() -> str:
    """Submit as code does."""
    return (await save.submit(text="from code")).task_id


yard.mount(app, prefix="/jobs")


@yard.task
def save(ctx: Context, text: str) -> str:
    """Save a file; declared after the yard was mounted."""
    return ctx.save("note 1.txt", text)

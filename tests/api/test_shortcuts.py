"""What is answered without FastAPI's own part is answered alike, and nobody's guard is passed by."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from backyard import Backyard
from backyard.api import create_app
from support.web import problem_in


class Order(BaseModel):
    """An input."""

    customer: int
    note: str | None = None


class Witness:
    """Sees by which way requests were answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say it in a header: FastAPI leaves its exit stack in the scope."""

        async def said(message: Any) -> None:
            if message["type"] == "http.response.start":
                way = b"long" if "fastapi_inner_astack" in scope else b"short"
                message["headers"] = [*message["headers"], (b"way", way)]
            await send(message)

        await self.app(scope, receive, said)


def turn_away() -> None:
    """Let nobody in."""
    raise HTTPException(401, "Say who you are.")


def prepared(yard: Backyard) -> Backyard:
    @yard.task
    def order(order: Order, copies: int = 1, when: float | None = None) -> int:
        return order.customer * copies * int(when or 1)

    return yard


ORDER = {"order": {"customer": 7, "note": 'a "quoted" ä\n'}, "copies": 2}


def test_the_answer_to_a_submit_is_what_a_look_shows(new_yard: Backyard) -> None:
    """Field by field: nothing is read back between them, and no worker is there."""
    app = create_app(prepared(new_yard))
    app.add_middleware(Witness)
    with TestClient(app) as client:
        answers = [
            client.post("/tasks/order", json=ORDER),
            client.post("/tasks", json={"name": "order", "input": ORDER, "tags": ["x", "ä"], "priority": "low"}),
            client.post("/tasks/order?delay=3600&expires=60&tags=a", json=ORDER),
            client.post("/tasks/order", json=ORDER, headers={"Idempotency-Key": "k"}),
        ]
        for answer in answers:
            assert answer.status_code == 201
            look = client.get(answer.headers["location"])
            assert list(answer.json().items()) == list(look.json().items())
            assert look.headers["content-type"] == answer.headers["content-type"] == "application/json"
        again = client.post("/tasks/order", json=ORDER, headers={"Idempotency-Key": "k"})
        assert (again.status_code, again.json()) == (200, answers[3].json())
        assert [one.headers["way"] for one in (*answers, look, again)] == [
            "short", "short", "long", "short", "short", "short",
        ]  # fmt: skip
        assert answers[2].json()["state"] == "SCHEDULED"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tasks/order", {"order": {"customer": "x"}}),
        ("POST", "/tasks/order", {"order": {"customer": 1}, "more": 1}),
        ("POST", "/tasks/nobody", {}),
        ("POST", "/tasks", {"name": "order", "input": {"order": 1}}),
        ("POST", "/tasks", {"name": "order", "more": 1}),
        ("GET", "/tasks/nobody", None),
        ("PUT", "/tasks/order", {}),
    ],
)
def test_errors_are_the_same_on_both_ways(new_yard: Backyard, method: str, path: str, body: Any) -> None:
    short, long = FastAPI(), FastAPI(dependencies=[Depends(lambda: None)])
    new_yard.mount(short)
    prepared(new_yard).mount(long)
    answers = []
    for app in (short, long):
        app.add_middleware(Witness)
        with TestClient(app) as client:
            answers.append(client.request(method, path, json=body))
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].json() == answers[1].json()
    if method != "PUT":
        assert [one.headers["way"] for one in answers] == ["short", "long"]


def test_a_guard_is_never_passed_by(new_yard: Backyard) -> None:
    guarded = FastAPI(dependencies=[Depends(turn_away)])
    prepared(new_yard).mount(guarded)
    inner, outer = FastAPI(), FastAPI()
    new_yard.mount(inner)
    outer.include_router(inner.router, dependencies=[Depends(turn_away)])
    for app in (guarded, outer):
        client = TestClient(app)
        problem_in(client.post("/tasks/order", json=ORDER), 401, "unauthorized")
        problem_in(client.post("/tasks", json={"name": "order", "input": ORDER}), 401, "unauthorized")
        problem_in(client.get("/tasks/x"), 401, "unauthorized")
    assert not new_yard.ledger.client.exists(f"{new_yard.ledger.keys.prefix}tasks")
    new_yard.ledger.close()


def test_an_apps_limit_for_bodies_does_not_undercut_ours(new_yard: Backyard) -> None:
    app = FastAPI(max_body_size=100)
    app.add_middleware(Witness)
    prepared(new_yard).mount(app)
    with TestClient(app) as client:
        answer = client.post("/tasks/order", json={"order": {"customer": 1, "note": "x" * 1_000}})
        assert (answer.status_code, answer.headers["way"]) == (201, "long")


def test_an_error_that_the_app_knows_is_answered_by_the_app(
    new_yard: Backyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise KeyError("x")

    app = FastAPI()

    @app.exception_handler(KeyError)
    async def theirs(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"theirs": type(error).__name__}, 418)

    prepared(new_yard).mount(app)
    with TestClient(app) as client:
        monkeypatch.setattr(new_yard, "accept", broken)
        answer = client.post("/tasks/order", json=ORDER)
    assert (answer.status_code, answer.json()) == (418, {"theirs": "KeyError"})

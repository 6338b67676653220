"""Shortcuts: the routes that are asked most are answered without FastAPI's own part of a request.

To find out what a handler depends on, to enter its exit stacks and to check parameters takes FastAPI as long as all
else that a submit needs. A handler that has a shortcut still says what is documented, and it answers where there is
more to do: where the app has dependencies or a limit for bodies, where its routes were put into another app, or where
there is a query.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backyard.api.problems import ProblemRoute

Answer = Callable[[Request], Awaitable[Response]]
Handler = TypeVar("Handler", bound=Callable[..., Any])

_MARK = "backyard_shortcut"


def shortcut(answer: Answer) -> Callable[[Handler], Handler]:
    """Say what may answer in a handler's place.

    Args:
        answer: Does what the handler does for a request without a query.
    """

    def mark(handler: Handler) -> Handler:
        vars(handler)[_MARK] = answer
        return handler

    return mark


class ShortRoute(ProblemRoute):
    """A route that may have a shortcut."""

    _home: FastAPI | None = None
    _answer: Answer
    _methods: frozenset[str]

    def open(self, app: FastAPI) -> None:
        """Use the handler's shortcut, if it has one and this app wants nothing more of its routes.

        Args:
            app: The app that the route was put into.
        """
        answer = vars(self.endpoint).get(_MARK)
        if answer is not None and not self.dependencies and app.max_body_size is None:
            self._home, self._answer, self._methods = app, self.guarded(answer), frozenset(self.methods or ())

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by the shortcut, or as FastAPI does."""
        app = scope.get("app")
        if app is None or app is not self._home or scope["query_string"] or scope["method"] not in self._methods:
            await super().handle(scope, receive, send)
            return
        response = await self._answer(Request(scope, receive, send))
        await response(scope, receive, send)

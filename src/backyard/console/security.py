"""What keeps the console's pages to themselves: one policy for their content, and no writes from elsewhere."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backyard.desk.auditing import DOOR

#: Nothing but this host's own files; no script or style within a page, no frame around it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_SAFE = {"GET", "HEAD", "OPTIONS"}


class Guarded:
    """Sets headers on every answer, and refuses writes that another site's page sends.

    Browsers say where a write comes from, by ``Sec-Fetch-Site`` and ``Origin``
    (https://www.w3.org/TR/fetch-metadata/); what says neither is no browser, and carries nobody's cookies.

    Args:
        app: What answers.
        framed: How the paths of pages end that may stand in a frame of any site; empty where none may.
    """

    def __init__(self, app: ASGIApp, framed: str = "") -> None:
        self._app = app
        self._framed = framed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if self._framed and scope["path"].endswith(self._framed):
                    headers["Content-Security-Policy"] = POLICY.replace("frame-ancestors 'none'", "frame-ancestors *")
            await send(message)

        scope[DOOR] = "console"
        if scope["method"] in _SAFE or _from_here(Headers(scope=scope)):
            await self._app(scope, receive, guarded)
            return
        refused = PlainTextResponse(
            "This form was sent by a page of another site. Open the console itself, and do it there.",
            HTTPStatus.FORBIDDEN,
        )
        await refused(scope, receive, guarded)


def _from_here(headers: Headers) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")

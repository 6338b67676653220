"""One request to the console: what a page needs to know of it, and the ways to answer."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from pydantic_core import from_json, to_json
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from backyard.console.navigation import MENU
from backyard.desk.auditing import audited
from backyard.settings import LOOPBACK

if TYPE_CHECKING:
    from backyard.app import Backyard
    from backyard.console.templating import Templates

THEME = "backyard_theme"
THEMES = ("light", "dark")
NOTICE = "backyard_notice"
#: Seconds that a notice waits for the page that shows it.
_NOTICE_LASTS = 30
#: Characters of a notice: a cookie holds 4 kB.
_LONGEST_NOTICE = 1_000


class Page:
    """A request to the console.

    Args:
        request: The request.
        yard: The yard that the console shows.
        templates: What draws the page.
    """

    def __init__(self, request: Request, yard: Backyard, templates: Templates) -> None:
        self.request = request
        self.yard = yard
        self._templates = templates

    # -- what was asked -------------------------------------------------------------------------------------------

    @cached_property
    def base(self) -> str:
        """What the console's own paths begin with, as the browser sees them."""
        return str(self.request.scope.get("root_path", "")).rstrip("/")

    @cached_property
    def api(self) -> str:
        """What the paths of the API's routes begin with, as the browser sees them."""
        return self.base.removesuffix("/console")

    @property
    def path(self) -> str:
        """The path that was asked for, within the console."""
        return str(self.request.url.path).removeprefix(self.base) or "/"

    @property
    def here(self) -> str:
        """The URL that was asked for, from the host on."""
        query = self.request.url.query
        return f"{self.base}{self.path}" + (f"?{query}" if query else "")

    @property
    def partial(self) -> bool:
        """Whether only what is inside the page is wanted, not what stands around it."""
        return "hx-request" in self.request.headers

    @property
    def region(self) -> str:
        """The id of the region that is wanted alone; empty where the whole page is."""
        return self.request.headers.get("hx-target", "") if self.partial else ""

    def unchanged(self, mark: str) -> bool:
        """Whether the browser has a region as it is, by the mark that came with it; it is answered with 204 then.

        Args:
            mark: Another one for whatever else the region may show; see the macro ``live``.
        """
        return self.partial and self.request.headers.get("x-mark") == mark

    @property
    def flower(self) -> str:
        """Where Flower is, for this browser; empty where none is known to run."""
        url = self.yard.settings.flower_url or ""
        found, host = urlsplit(url), self._host
        if found.hostname not in LOOPBACK or not host or host in LOOPBACK:
            return url
        # It is on the API's machine, which the browser knows by another name.
        name = f"[{host}]" if ":" in host else host
        return found._replace(netloc=f"{name}:{found.port}" if found.port else name).geturl()

    @property
    def _host(self) -> str:
        """The name under which the browser knows the API's machine, without a port; empty where it says none."""
        try:
            return urlsplit(f"//{self.request.headers.get('host', '')}").hostname or ""
        except ValueError:
            return ""

    @property
    def theme(self) -> str:
        """The theme that was chosen; empty where the system's is taken."""
        chosen = self.request.cookies.get(THEME, "")
        return chosen if chosen in THEMES else ""

    def param(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """Return a value of the query."""
        return self.request.query_params.get(name, default)

    async def form(self) -> FormData:
        """Return what the form was filled in with."""
        return await self.request.form(max_part_size=self.yard.settings.max_body)

    # -- links ----------------------------------------------------------------------------------------------------

    def url(self, path: str, /, **query: Any) -> str:
        """Return a link to a page of the console.

        Args:
            path: The page's path within the console, from its ``/`` on.
            query: Its query; values that are None or empty are left out, lists repeat their name.
        """
        given = {name.rstrip("_"): value for name, value in query.items() if value not in (None, "", [], ())}
        return f"{self.base}{path}" + (f"?{urlencode(given, doseq=True)}" if given else "")

    def same(self, **changes: Any) -> str:
        """Return a link to this page with some values of its query changed; None takes one out."""
        given: dict[str, Any] = {}
        for name, value in self.request.query_params.multi_items():
            given.setdefault(name, []).append(value)
        return self.url(self.path, **{**given, **changes})

    def active(self, path: str) -> bool:
        """Whether a row of the menu is where this page belongs."""
        return self.path == "/" if path == "/" else self.path == path or self.path.startswith(path + "/")

    # -- answers --------------------------------------------------------------------------------------------------

    def show(self, template: str, status: int = HTTPStatus.OK, /, **context: Any) -> Response:
        """Answer with a page, or with what is inside of it where only that is wanted.

        Args:
            template: The template's path.
            status: HTTP status.
            context: What it shows.
        """
        notice = None if self.partial else self._notice()
        html = self._templates.draw(
            template, page=self, menu=MENU, notice=notice,
            layout="layouts/partial.html" if self.partial else "layouts/page.html", **context,
        )  # fmt: skip
        answer = HTMLResponse(html, status, {"Vary": "HX-Request", "Cache-Control": "no-store"})
        if NOTICE in self.request.cookies and not self.partial:
            answer.delete_cookie(NOTICE, path=self.base or "/")
        return answer

    def done(self, text: str, to: str, *, undo: tuple[str, str] | None = None, failed: bool = False) -> Response:
        """Answer a form: lead to a page that says what was done.

        Args:
            text: What was done.
            to: A link to the page.
            undo: What a button says that takes it back, and the path within the console that it posts to.
            failed: Whether it was not done.
        """
        notice: dict[str, Any] = {"text": text[:_LONGEST_NOTICE], "failed": failed}
        if undo is not None:
            notice["undo"] = list(undo)
        answer = RedirectResponse(to, HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            NOTICE, base64.urlsafe_b64encode(to_json(notice)).decode(), _NOTICE_LASTS, path=self.base or "/",
            httponly=True, samesite="strict",
        )  # fmt: skip
        return answer

    def back(self, default: str) -> str:
        """Return a link to the page that a form stood on, where that is one of the console's.

        Args:
            default: A link for where that is not known.
        """
        came = urlsplit(self.request.headers.get("referer", ""))
        if came.netloc == self.request.headers.get("host") and came.path.startswith(self.base + "/"):
            return came.path + (f"?{came.query}" if came.query else "")
        return default

    def _notice(self) -> Mapping[str, Any] | None:
        try:
            notice = from_json(base64.urlsafe_b64decode(self.request.cookies.get(NOTICE, "")))
        except ValueError:
            return None
        if not isinstance(notice, dict) or not isinstance(notice.get("text"), str):
            return None
        return {"undo": None, "failed": False, **notice}

    async def audited(self, verb: str, kind: str, subject: str, **details: Any) -> None:
        """Leave a line in the audit trail; see :func:`~backyard.desk.auditing.audited`."""
        await audited(self.yard, self.request, verb, kind, subject, **details)


Handler = Callable[[Page], Awaitable[Response]]
#: A page or an act: its method, its path, what answers.
Address = tuple[str, str, Handler]


def get(path: str, handler: Handler) -> Address:
    """Name where a page is found."""
    return "GET", path, handler


def post(path: str, handler: Handler) -> Address:
    """Name where a form is sent to."""
    return "POST", path, handler


def route_to(address: Address, make: Callable[[Request], Page]) -> Route:
    """Return the route to a page or an act.

    Args:
        address: What it is.
        make: Makes the page of a request.
    """
    method, path, handler = address

    async def answer(request: Request) -> Response:
        return await handler(make(request))

    return Route(path, answer, methods=[method])

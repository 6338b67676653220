"""What a person chooses for their own browser: the theme; the page of keys."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from backyard.console.page import THEME, THEMES, Page, get, post

_YEAR = 31_536_000


async def choose_theme(page: Page) -> Response:
    """Take a theme from now on; anything else takes the system's."""
    chosen = str((await page.form()).get("theme", ""))
    answer = RedirectResponse(page.back(page.url("/")), 303)
    if chosen in THEMES:
        answer.set_cookie(THEME, chosen, _YEAR, path=page.base or "/", httponly=True, samesite="strict")
    else:
        answer.delete_cookie(THEME, path=page.base or "/")
    return answer


async def show_keys(page: Page) -> Response:
    """Say what the keys do."""
    return page.show("keys.html")


ADDRESSES = (get("/keys", show_keys), post("/theme", choose_theme))

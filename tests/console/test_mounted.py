"""The console within somebody's own app: under a prefix, and behind a proxy that takes a part of the path away."""

from __future__ import annotations

import re
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from starlette.testclient import TestClient

from backyard import Backyard


@pytest.mark.parametrize(
    ("root", "kept"),
    [("", ""), ("/shop", "/shop"), ("/shop", "")],
    ids=["prefix", "proxy, told to the server", "proxy, told to the app"],
)
def test_pages_and_files_are_found_and_links_lead_to_where_the_browser_sees_them(
    new_yard: Backyard, root: str, kept: str
) -> None:
    app = FastAPI()
    new_yard.mount(app, prefix="/jobs")
    with TestClient(app, root_path=root) as client:
        page = client.get(f"{kept}/jobs/console/keys")
        assert page.status_code == 200
        assert f'href="{root}/jobs/console/tasks"' in page.text
        assert f'href="{root}/docs"' in page.text, "the documentation is the app's, and not under the prefix"
        (style,) = re.findall(r'rel="stylesheet" href="([^"]+)"', page.text)
        assert style.startswith(f"{root}/jobs/console/static/")
        assert client.get(kept + style.removeprefix(root)).headers["content-type"].startswith("text/css")
        link = client.get(f"{kept}/jobs/t/not-a-link")
        assert link.status_code == 404
        assert "The link leads nowhere" in link.text


def test_what_guards_an_apps_routes_by_dependency_guards_the_console_and_not_public_links(new_yard: Backyard) -> None:
    def guard(key: Annotated[str, Header()] = "") -> None:
        if key != "right":
            raise HTTPException(401)

    app = FastAPI(dependencies=[Depends(guard)])
    new_yard.mount(app)
    with TestClient(app) as client:
        assert client.get("/definitions").status_code == 401
        for path in ("/console", "/console/", "/console/keys", "/console/live"):
            assert client.get(path).status_code == 401, path
        assert client.post("/console/theme", data={"theme": "dark"}).status_code == 401
        assert client.get("/console/keys", headers={"key": "right"}).status_code == 200
        link = client.get("/t/not-a-link")
        assert link.status_code == 404
        (style,) = re.findall(r'rel="stylesheet" href="([^"]+)"', link.text)
        assert client.get(style).headers["content-type"].startswith("text/css")
